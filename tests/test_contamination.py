import json
from pathlib import Path
from typing import Any

import pytest

from teacherlm.contamination import Found, Measured, Questions
from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.pipeline import read_pipeline
from teacherlm.plan import plan
from teacherlm.stages.prepare import PrepareConfig, prepare

TRAINED = [
    "The quick brown fox of the old northern forest jumps over nine lazy dogs every single morning.",
    "Do fish live in water?",
    "Which of these rivers flows through the middle of Paris on its way to the sea?",
]
ASKED = [
    "Do fish live in water?",
    "A story: the quick brown fox of the old northern forest jumps over nine lazy dogs, they say. True?",
    "How many legs does a healthy spider have in all?",
]


def test_exact_and_shared_questions_are_counted_apart():
    found = Questions("asked", lambda: ASKED).found_in(lambda: TRAINED)
    assert found == Found(questions=3, exact=1, shared=2)


def test_what_all_questions_of_a_source_begin_with_is_not_compared():
    claims = [f"Determine the correctness of the following sentence, please, my dear student of science: {claim}" for claim in TRAINED]
    others = [
        f"Determine the correctness of the following sentence, please, my dear student of science: {claim}"
        for claim in ("a b", "c d", "e f")
    ]
    assert Questions("claims", lambda: claims).found_in(lambda: others) == Found(3, 0, 0)
    assert Questions("claims", lambda: claims).found_in(lambda: TRAINED) == Found(3, 3, 3)


def write(path: Path, questions: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"question": question, "answer": "yes"}) + "\n" for question in questions))
    return path


def prepared(tmp_path: Path, source: Path, decontaminate: list[Any]) -> list[str]:
    config = PrepareConfig.model_validate(
        {"dataset": "jsonl", "source": str(source), "name": "X", "output": tmp_path / "out", "decontaminate": decontaminate}
    )
    outcome = prepare(config)
    assert outcome.counts["in"] == outcome.counts["out"] + outcome.counts["dropped"]
    return [json.loads(line)["question"] for line in (tmp_path / "out" / "X.jsonl").read_text().splitlines()]


def test_prepare_leaves_out_what_a_split_of_its_own_measures(tmp_path: Path):
    write(tmp_path / "d" / "train.jsonl", TRAINED)
    write(tmp_path / "d" / "test.jsonl", ASKED)
    assert prepared(tmp_path, tmp_path / "d", ["split:test"]) == TRAINED[2:]
    dropped = [json.loads(line) for line in (tmp_path / "out" / "dropped.jsonl").read_text().splitlines()]
    assert [row["split"] for row in dropped] == ["train", "train"]
    assert dropped[0]["reason"].endswith("train.jsonl:1: overlaps with a question of split test")


def test_prepare_leaves_out_what_data_of_ones_own_measures(tmp_path: Path):
    source, asked = write(tmp_path / "train.jsonl", TRAINED), write(tmp_path / "asked.jsonl", ASKED)
    assert prepared(tmp_path, source, [str(asked)]) == TRAINED[2:]


@pytest.mark.slow
@pytest.mark.real
def test_creaks_claims_that_the_task_creak_measures_are_left_out(creak: Path, tmp_path: Path):
    rows = [json.loads(line) for line in (creak / "train.json").read_text().splitlines()[:20]]
    measured = json.loads((creak / "dev.json").read_text().splitlines()[7])
    source = tmp_path / "creak" / "train.json"
    source.parent.mkdir()
    source.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**measured, "ex_id": "copied"}]))
    config = {
        "dataset": "creak",
        "source": str(source.parent),
        "output": tmp_path / "out",
        "decontaminate": [{"task": "creak", "data": str(creak)}],
    }
    assert prepare(PrepareConfig.model_validate(config)).counts["dropped"] == 1
    assert json.loads((tmp_path / "out" / "dropped.jsonl").read_text())["row"]["ex_id"] == "copied"


def test_a_split_that_is_not_there_is_one_line(tmp_path: Path):
    source = write(tmp_path / "train.jsonl", TRAINED)
    with pytest.raises(UserError, match="No split named 'tset'"):
        prepared(tmp_path, source, ["split:tset"])
    with pytest.raises(UserError, match="name a task, the data of one, or a split"):
        parse_config(Measured, {"task": ""})


def test_pipeline_stands_for_everything_its_evaluate_steps_measure(tmp_path: Path):
    source = write(tmp_path / "d" / "train.jsonl", TRAINED).parent
    write(source / "test.jsonl", ASKED)
    file = tmp_path / "p.yaml"
    file.write_text(
        f"""
run_dir: {tmp_path}/run
steps:
  - prepare: {{dataset: jsonl, source: {source}, decontaminate: pipeline}}
  - finetune: {{scratch: {{hidden_size: 16, layers: 1, heads: 1, context: 64}}, train_on: text}}
  - evaluate: {{tasks: [questions], data: $prepare, split: test}}
  - evaluate: {{name: other, tasks: [creak, arc_easy], input: $finetune, data: {{creak: {source}}}}}
"""
    )
    (job,) = [job for job in plan(read_pipeline(file, []), str(file)) if job.step == "prepare"]
    found = [one.model_dump(exclude_defaults=True) for one in job.config.decontaminate]  # type: ignore[attr-defined]
    assert found == [{"split": "test"}, {"task": "creak", "data": source}, {"task": "arc_easy"}]
