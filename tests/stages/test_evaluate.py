"""The stage: every checkpoint on every task, once; equal to plain lm-eval; clear about what cannot be measured."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from word_students import write_checkpoint, write_questions

from teacherlm.errors import UserError
from teacherlm.launch.perform import perform
from teacherlm.parsing import parse_config
from teacherlm.prompts import template
from teacherlm.records import Question
from teacherlm.stages.evaluate import STAGE, EvaluateConfig, evaluate
from teacherlm.store.files import read_jsonl
from teacherlm.store.manifest import read_manifest


def config(**values: Any) -> EvaluateConfig:
    return parse_config(EvaluateConfig, {**values, "input": str(values["input"])})


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_jsonl(path)]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return write_questions(tmp_path / "prepare", range(8))


def test_every_checkpoint_is_measured_once_and_a_new_one_costs_only_itself(tmp_path: Path, words: Path) -> None:
    run, output = tmp_path / "finetune", tmp_path / "evaluate"
    write_checkpoint(run, 10), write_checkpoint(run, 20)
    asked = config(input=run, output=output, tasks="questions", data=words, max_new_tokens=8)
    outcome = evaluate(asked)
    assert (outcome.counts["measured"], outcome.counts["already measured"]) == (2, 0)
    first = (output / "results.jsonl").read_bytes()
    rows = rows_of(output / "results.jsonl")
    assert [(row["checkpoint"], row["step"], row["epoch"], row["metric"]) for row in rows] == [
        ("checkpoint-10", 10, 1.0, "acc"),
        ("checkpoint-10", 10, 1.0, "parsed"),
        ("checkpoint-20", 20, 2.0, "acc"),
        ("checkpoint-20", 20, 2.0, "parsed"),
    ]
    assert all(row["template"] == "teacherlm" and row["n"] == 8 and row["shots"] == 0 for row in rows)
    predictions = rows_of(output / rows[0]["predictions"])
    assert [row["item"] for row in predictions] == [f"q{n}" for n in range(8)]
    assert all(0 < row["tokens"] <= 8 and isinstance(row["output"], str) for row in predictions)

    outcome = evaluate(asked)
    assert outcome.counts["measured"] == 0 and (output / "results.jsonl").read_bytes() == first
    write_checkpoint(run, 30)
    assert evaluate(asked).counts["measured"] == 1
    last = evaluate(config(**{**asked.model_dump(), "checkpoints": "last"}))
    assert last.counts["checkpoints"] == 1 and {row["step"] for row in rows_of(output / "results.jsonl")} == {30}


def test_a_killed_measurement_is_done_again_and_the_finished_ones_are_not(tmp_path: Path, words: Path) -> None:
    run, output = tmp_path / "finetune", tmp_path / "evaluate"
    write_checkpoint(run, 10), write_checkpoint(run, 20)
    asked = config(input=run, output=output, tasks="questions", data=words, max_new_tokens=8)
    evaluate(asked)
    before = rows_of(output / "results.jsonl")
    folder = (output / before[0]["predictions"]).parent
    (folder / "result.json").unlink()
    (folder / ".predictions.jsonl.1.part").write_bytes(b'{"item": "q0"')
    assert evaluate(asked).counts["measured"] == 1
    values = [{**row, "seconds": 0} for row in rows_of(output / "results.jsonl")]
    assert values == [{**row, "seconds": 0} for row in before]
    assert STAGE.keeps == ("measured",)


def test_batch_size_changes_no_answer(tmp_path: Path, words: Path) -> None:
    run = tmp_path / "finetune"
    write_checkpoint(run, 10)
    answers = []
    for batch_size in (1, 3, 32):
        output = tmp_path / f"evaluate-{batch_size}"
        evaluate(config(input=run, output=output, tasks="questions", data=words, max_new_tokens=8, batch_size=batch_size))
        answers.append(rows_of(output / rows_of(output / "results.jsonl")[0]["predictions"]))
    assert answers[0] == answers[1] == answers[2]


def test_another_template_than_the_taught_one_is_refused_unless_allowed(tmp_path: Path, words: Path) -> None:
    run, output = tmp_path / "finetune", tmp_path / "evaluate"
    write_checkpoint(run, 10, template="other")
    values = {"input": run, "output": output, "tasks": "questions", "data": words, "max_new_tokens": 4}
    with pytest.raises(
        UserError, match=r"asks by the template 'teacherlm', .*checkpoint-10 was taught by 'other'.*allow_template_mismatch"
    ):
        evaluate(config(**values))
    assert not output.exists()
    evaluate(config(**values, allow_template_mismatch=True))
    row = rows_of(output / "results.jsonl")[0]
    assert (row["task_template"], row["student_template"]) == ("teacherlm", "other")


def test_a_base_model_declares_no_template_and_the_result_says_so(tmp_path: Path, words: Path) -> None:
    folder = write_checkpoint(tmp_path, 10)
    (folder / "complete.json").unlink()
    output = tmp_path / "evaluate"
    evaluate(config(input=folder, output=output, tasks="questions", data=words, max_new_tokens=4))
    row = rows_of(output / "results.jsonl")[0]
    assert (row["checkpoint"], row["template"], row["task_template"]) == ("checkpoint-10", None, "teacherlm")


def test_the_others_are_measured_beside_a_torn_checkpoint_and_one_alone_is_refused(
    tmp_path: Path, words: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, output = tmp_path / "finetune", tmp_path / "evaluate"
    write_checkpoint(run, 10)
    torn = write_checkpoint(run, 20)
    (torn / "model.safetensors").write_bytes(b"half")
    values = {"output": output, "tasks": "questions", "data": words, "max_new_tokens": 4}
    with pytest.raises(UserError, match=r"checkpoint-20 is torn: remove it, or train it again \(measured and kept in "):
        evaluate(config(input=run, **values))
    assert "checkpoint-20 is torn" in capsys.readouterr().err
    assert {row["checkpoint"] for row in rows_of(output / "results.jsonl")} == {"checkpoint-10"}
    with pytest.raises(UserError, match=r"checkpoint-20: this checkpoint is torn"):
        evaluate(config(input=torn, **values))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no model"):
        evaluate(config(input=tmp_path / "empty", **values))


def test_a_best_checkpoint_that_is_torn_or_gone_is_one_clear_line(tmp_path: Path, words: Path) -> None:
    run = tmp_path / "finetune"
    write_checkpoint(run, 10)
    best = write_checkpoint(run, 20)
    (run / "best.json").write_text(json.dumps({"checkpoint": "checkpoint-20", "metric": "held_out_loss", "value": 1.0}))
    asked = config(input=run, output=tmp_path / "out", tasks="questions", data=words, checkpoints="best")
    (best / "config.json").unlink()
    with pytest.raises(
        UserError, match=r"checkpoint-20: this checkpoint, which best\.json names, is torn \(not all of its files are there\)"
    ):
        evaluate(asked)
    shutil.rmtree(best)
    with pytest.raises(UserError, match=r"checkpoint-20: this checkpoint, which best\.json names, is not there; measure") as error:
        evaluate(asked)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shots", [[], {"questions": []}, {"questions": 0, "creak": []}])
def test_a_list_of_shots_without_a_number_is_one_clear_line(tmp_path: Path, shots: object) -> None:
    with pytest.raises(UserError, match=r"shots: .*names no number; leave it out, or give 0") as error:
        config(input="m", output=tmp_path, tasks="questions", shots=shots)
    assert "\n" not in str(error.value)


def test_a_prompt_longer_than_the_context_is_one_clear_line(tmp_path: Path, words: Path) -> None:
    run = tmp_path / "finetune"
    write_checkpoint(run, 10)
    prompt = template("teacherlm").prompt(Question("How much is " + "1 plus " * 200 + "1 ?", "1"))
    row = {"id": "long", "prompt": prompt, "choices": [], "answer": "1", "answer_rule": "number", "template": "teacherlm"}
    (tmp_path / "long.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"task 'questions', item 'long'.*") as error:
        evaluate(config(input=run, output=tmp_path / "out", tasks="questions", data=tmp_path / "long.jsonl", max_new_tokens=4))
    assert "\n" not in str(error.value)


def test_the_originals_flags_are_understood() -> None:
    asked = config(output="o", input="pretrained=facebook/opt-1.3b,revision=abc,dtype=float16", tasks="creak,mmlu_*")
    assert (asked.input, asked.revision, asked.dtype, asked.tasks) == ("facebook/opt-1.3b", "abc", "float16", ["creak", "mmlu_*"])
    assert config(output="o", input="m", tasks=["a,b", "c"]).tasks == ["a", "b", "c"]
    with pytest.raises(UserError, match="--model_args: 'peft' is not known; known: pretrained, revision"):
        config(output="o", input="pretrained=x,peft=y", tasks="creak")
    with pytest.raises(UserError, match="tasks"):
        config(output="o", input="m", tasks="")


def test_these_are_the_columns_other_stages_read(tmp_path: Path, words: Path) -> None:
    """Whoever changes them, or what decides a score, raises the stage's version."""
    write_checkpoint(tmp_path / "finetune", 10)
    evaluate(config(input=tmp_path / "finetune", output=tmp_path / "out", tasks="questions", data=words, max_new_tokens=4))
    row = rows_of(tmp_path / "out" / "results.jsonl")[0]
    columns = "checkpoint step epoch task metric value stderr n higher_is_better shots template task_template student_template task_hash"
    assert " ".join(row) == f"{columns} predictions tokens seconds"
    prediction = rows_of(tmp_path / "out" / row["predictions"])[0]
    assert " ".join(prediction) == "item doc_id prompt gold answer output correct tokens"
    assert set(prediction["correct"]) == {"acc", "parsed"} and STAGE.version == 1


def test_a_measurement_that_was_kept_before_a_column_was_added_is_read_without_it(tmp_path: Path, words: Path) -> None:
    write_checkpoint(tmp_path / "finetune", 10)
    asked = config(input=tmp_path / "finetune", output=tmp_path / "out", tasks="questions", data=words, max_new_tokens=4)
    evaluate(asked)
    [place] = (tmp_path / "out").glob("measured/*/result.json")
    kept = json.loads(place.read_text())
    metrics = [{key: metric[key] for key in ("name", "value", "stderr", "n", "scale")} for metric in kept["metrics"]]
    place.write_text(json.dumps({"metrics": metrics, "tokens": kept["tokens"], "seconds": kept["seconds"]}))
    before = rows_of(tmp_path / "out" / "results.jsonl")
    assert evaluate(asked).counts["measured"] == 0
    after = rows_of(tmp_path / "out" / "results.jsonl")
    assert after == [{key: value for key, value in row.items() if key != "higher_is_better"} for row in before] != before


@pytest.mark.parametrize(("missing", "problem"), [("model.safetensors", "holds no weights"), ("tokenizer", "holds no tokenizer")])
def test_a_model_folder_without_weights_or_tokenizer_is_one_clear_line(tmp_path: Path, words: Path, missing: str, problem: str) -> None:
    folder = write_checkpoint(tmp_path, 10)
    for path in [folder / "complete.json", *folder.glob(f"{missing}*")]:
        path.unlink()
    with pytest.raises(UserError, match=problem):
        evaluate(config(input=folder, output=tmp_path / "out", tasks="questions", data=words))


def test_importing_the_stage_imports_nothing_heavy() -> None:
    code = "import sys, teacherlm.stages.evaluate; print([m for m in ('torch', 'transformers', 'datasets', 'lm_eval') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.real
def test_the_originals_command_line_runs_as_it_was_spelled(tmp_path: Path, creak: Path, stories260k: Path) -> None:
    words = f"--model_args pretrained={stories260k},dtype=float32 --tasks creak --num_fewshot 0 --limit 4 --batch_size 2 --device cpu"
    command = [str(Path(sys.executable).parent / "teacherlm"), "eval", *words.split(), "--output_path", str(tmp_path / "out")]
    done = subprocess.run([*command, "--data", str(creak)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (row,) = rows_of(tmp_path / "out" / "results.jsonl")
    assert (row["checkpoint"], row["task"], row["n"], row["shots"]) == ("stories260k", "creak", 4, 0)


@pytest.mark.parametrize(("shots", "found"), [("x", "'x'"), ("-1", "'-1'"), (-1, "-1"), ("0,x", "'x'"), ({"creak": [0, "x"]}, "'x'")])
def test_shots_that_are_no_number_are_one_clear_line(tmp_path: Path, shots: object, found: str) -> None:
    line = rf"^shots: expected a number from 0 on, several \(0,5\), or \{{task: number\}}, found {found}\.$"
    with pytest.raises(UserError, match=line):
        parse_config(EvaluateConfig, {"input": "m", "output": tmp_path / "out", "tasks": "creak", "shots": shots})


def test_each_number_of_shots_is_a_measurement_of_its_own_and_one_more_measures_only_that(
    stories260k: Path, creak: Path, tmp_path: Path
) -> None:
    """As the command reads them: `0,2`, then `{creak: [0, 1, 2], strategyqa_no_facts: 0}` over the same output."""
    truths = creak.parent / "strategyqa" / "train.json"
    words = {
        "input": stories260k,
        "output": tmp_path / "out",
        "tasks": "creak,strategyqa_no_facts",
        "data": {"creak": creak, "strategyqa_no_facts": truths},
    }
    words |= {"split": {"strategyqa_no_facts": "train"}, "limit": 6, "device": "cpu"}

    def measured(shots: object, overwrite: bool = False) -> tuple[Mapping[str, int], dict[str, float]]:
        perform("evaluate", STAGE, config(**words, shots=shots), {}, overwrite=overwrite)
        done = read_manifest(tmp_path / "out")
        assert done is not None
        return done.counts, dict(done.metrics)

    counts, metrics = measured("0,2")
    assert counts["measured"] == 4
    assert sorted(metrics) == [f"stories260k.{task}@{shots}.acc" for task in ("creak", "strategyqa_no_facts") for shots in (0, 2)]
    solved = {
        (row["task"], row["shots"]): max(
            asked["prompt"].count("The answer is (") - 1 for asked in rows_of(tmp_path / "out" / row["predictions"])
        )
        for row in rows_of(tmp_path / "out" / "results.jsonl")
    }
    assert solved == {("creak", 0): 0, ("creak", 2): 2, ("strategyqa_no_facts", 0): 0, ("strategyqa_no_facts", 2): 2}
    more = {"creak": [0, 1, 2], "strategyqa_no_facts": 0}
    with pytest.raises(
        UserError, match=r"--overwrite to redo it \(the old one moves to .stale/; what is in measured stays, and is not done again"
    ):
        measured(more)
    counts, metrics = measured(more, overwrite=True)
    assert (counts["measured"], counts["already measured"]) == (1, 3)
    assert sorted(metrics) == [*(f"stories260k.creak@{shots}.acc" for shots in (0, 1, 2)), "stories260k.strategyqa_no_facts.acc"]
    with pytest.raises(UserError, match=r"shots\.creek: is not among the tasks measured \(creak, strategyqa_no_facts\)"):
        measured({"creek": 5}, overwrite=True)
