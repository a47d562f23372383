import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from teacherlm.catalog import find
from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.prompts import SUFFIX
from teacherlm.stage import Outcome
from teacherlm.stages.enhance import STAGE, EnhanceConfig, enhance, output_file, parse_shard
from teacherlm.stages.prepare import PrepareConfig, prepare
from teacherlm.store.fingerprint import content_on_disk, fingerprint

KINDS = ("cot", "error", "fundamental")


def config(**values: Any) -> EnhanceConfig:
    return parse_config(EnhanceConfig, {"teacher": "scripted", **values})


def row(number: int, **values: Any) -> dict[str, Any]:
    text = f"Q: Is {number} even? (A) True (B) False A: The answer is ({'AB'[number % 2]})."
    return {"id": str(number), "text": text, **{f"{kind}_text": text + SUFFIX[kind] for kind in KINDS}, **values}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def ledger_keys(folder: Path) -> list[str]:
    return [line["key"] for path in sorted((folder / "ledger").glob("*.jsonl")) for line in lines(path)]


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "EVEN.jsonl", [row(number) for number in range(10)])


def run(output: Path, **values: Any) -> tuple[Outcome, list[dict[str, Any]]]:
    settings = config(output=output, **values)
    outcome = enhance(settings)
    return outcome, lines(output_file(settings, Path(values["input"])))


def test_the_three_kinds_stand_side_by_side_in_one_row(tmp_path: Path, questions: Path):
    outcome, rows = run(tmp_path / "out", input=questions)
    assert (tmp_path / "out" / "EVEN_cot_error_fundamental.jsonl").is_file()
    finishes = [f"{kind}_finish" for kind in KINDS]
    assert list(rows[0]) == [*row(0), *KINDS, "all", "completion_index", "teacher", *finishes]
    assert [one["id"] for one in rows] == [str(n) for n in range(10)]
    for number, one in enumerate(rows):
        assert {column: one[column] for column in row(number)} == row(number)
        assert len({one[kind] for kind in KINDS}) == 3
        assert all(one[kind].startswith(" ") for kind in KINDS)
        assert (one["teacher"], one["completion_index"], one["cot_finish"]) == ("scripted", 0, "stop")
    assert outcome.counts == {"questions": 10, "rows": 10, "dropped": 0, "asked": 30}
    assert outcome.facts["engine"].startswith("scripted@") and outcome.facts["tokens"] == outcome.facts["tokens_asked"] > 0


def test_the_output_is_what_this_version_of_the_stage_writes(tmp_path: Path, questions: Path):
    """When this changes, raise the stage's version: outputs of the old one are then redone."""
    run(tmp_path / "out", input=questions)
    written = (tmp_path / "out" / "EVEN_cot_error_fundamental.jsonl").read_bytes()
    assert (STAGE.version, hashlib.sha256(written).hexdigest()[:16]) == (1, "413f2ccd9c0a7bb3")


def test_a_jsonl_output_is_exactly_that_file_with_its_ledger_beside_it(tmp_path: Path, questions: Path):
    enhance(config(input=questions, output=tmp_path / "X.jsonl", kinds=["cot"]))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["EVEN.jsonl", "X.jsonl", "X.jsonl.work"]
    assert sorted(p.name for p in (tmp_path / "X.jsonl.work").iterdir()) == ["dropped.jsonl", "ledger"]


def test_the_output_of_prepare_is_an_input(tmp_path: Path, creak: Path):
    prepare(PrepareConfig.model_validate({"dataset": "creak", "source": str(creak), "output": tmp_path / "prepared", "limit": 5}))
    enhance(config(input=tmp_path / "prepared", output=tmp_path / "out", kinds="cot,error"))
    rows = lines(tmp_path / "out" / "CREAK_cot_error.jsonl")
    assert len(rows) == 5 and all(one["all"] == one["cot_text"] + one["cot"] for one in rows)


def test_the_original_flags_and_names_are_understood(tmp_path: Path, questions: Path):
    from teacherlm.options import given_values, stage_callback

    given: dict[str, Any] = dict.fromkeys(stage_callback("enhance", STAGE, print).__signature__.parameters)  # type: ignore[attr-defined]
    aliases = {"--name": "T", "--dtype": "float16", "--num_tokens": "64", "--task_type": ["cot_text"]}
    found = {}
    for field, info in EnhanceConfig.model_fields.items():
        for number, mark in enumerate(m for m in info.metadata if hasattr(m, "flag")):
            found[mark.flag] = f"{field}_alias_{number}"
    given |= {found[flag]: word for flag, word in aliases.items()}
    given |= {"input": str(questions), "output": str(tmp_path / "X.jsonl"), "batch_size": "8"}
    settings = parse_config(EnhanceConfig, given_values(STAGE, given))
    assert settings.teacher.model_dump()["model"] == "T" and settings.teacher.model_dump()["dtype"] == "float16"
    assert (settings.teacher.name, settings.kinds, settings.max_new_tokens, settings.batch_size) == ("transformers", ["cot"], 64, 8)


def test_kinds_have_one_order_and_unknown_ones_are_named(tmp_path: Path, questions: Path):
    assert config(input=questions, output=tmp_path / "o", kinds=["error_text", "cot"]).kinds == ["cot", "error"]
    with pytest.raises(UserError, match=r"kinds: No kind named 'cott'\. Did you mean 'cot'\? Known: cot, error, fundamental\."):
        config(input=questions, output=tmp_path / "o", kinds=["cott"])


@pytest.mark.real
@pytest.mark.slow
def test_defect_2_int8_is_really_used_and_not_ignored(tmp_path: Path, questions: Path, stories260k: Path):
    chosen = config(input=questions, output=tmp_path / "o", teacher={"name": "transformers", "model": str(stories260k), "dtype": "int8"})
    engine = find("engines", "transformers").build(chosen.teacher)
    held = {str(weights.dtype) for name, weights in engine.loaded.model.named_parameters() if name.endswith("proj.weight")}
    assert held == {"torch.int8"}
    assert engine.identity.endswith("int8, seed 0")


def test_defect_3_shards_share_the_work_and_the_whole_job_finds_it_done(tmp_path: Path, questions: Path):
    output = tmp_path / "out"
    asked = []
    for shard in ("2/3", "0/3", "1/3"):
        outcome = enhance(config(input=questions, output=output, shard=shard))
        asked.append(outcome.counts["asked"])
        assert not list(output.glob("*.jsonl"))
    assert asked == [9, 12, 9]
    outcome, rows = run(output, input=questions)
    assert outcome.counts == {"questions": 10, "rows": 10, "dropped": 0, "asked": 0}
    assert rows == run(tmp_path / "whole", input=questions)[1]
    assert len(ledger_keys(output)) == len(set(ledger_keys(output))) == 30


def test_defect_4_a_second_run_asks_only_what_is_missing(tmp_path: Path, questions: Path):
    output = tmp_path / "out"
    assert run(output, input=questions, limit=4)[0].counts["asked"] == 12
    assert run(output, input=questions)[0].counts["asked"] == 18
    assert run(output, input=questions)[0].counts["asked"] == 0


def test_added_kinds_ask_only_themselves(tmp_path: Path, questions: Path):
    output = tmp_path / "out"
    assert run(output, input=questions, kinds="cot")[0].counts["asked"] == 10
    assert run(output, input=questions, kinds="cot,error")[0].counts["asked"] == 10


def test_a_changed_prompt_asks_only_for_itself(tmp_path: Path, questions: Path):
    run(tmp_path / "out", input=questions)
    changed = [row(number) for number in range(10)]
    changed[3]["error_text"] += " Namely:"
    write_rows(questions, changed)
    assert run(tmp_path / "out", input=questions)[0].counts["asked"] == 1


@pytest.mark.parametrize("batch_size", [1, 3, 10, 64])
def test_defect_5_a_batch_larger_than_the_rows_repeats_nothing(tmp_path: Path, questions: Path, batch_size: int):
    outcome, rows = run(tmp_path / "out", input=questions, batch_size=batch_size)
    assert outcome.counts == {"questions": 10, "rows": 10, "dropped": 0, "asked": 30}
    assert len(ledger_keys(tmp_path / "out")) == 30
    assert rows == run(tmp_path / "other", input=questions)[1]


def test_defect_6_a_question_that_contains_the_suffix_keeps_its_rationale(tmp_path: Path):
    trap = 'Q: Who says "Let\'s think step by step." The common mistakes are: many? A: The answer is X.'
    one = {"id": "trap", "text": trap, **{f"{kind}_text": trap + SUFFIX[kind] for kind in KINDS}}
    path = write_rows(tmp_path / "T.jsonl", [one])
    _, rows = run(tmp_path / "out", input=path, teacher={"name": "scripted", "reply": "It is so. Let's think step by step. The end."})
    for kind in KINDS:
        assert rows[0][kind] == " It is so. Let's think step by step. The end."
    assert rows[0]["all"] == trap + SUFFIX["cot"] + rows[0]["cot"]


def test_defect_7_all_belongs_to_the_first_kind_whatever_is_asked_later(tmp_path: Path, questions: Path):
    _, rows = run(tmp_path / "a", input=questions, kinds="fundamental,error")
    assert all(one["all"] == one["error_text"] + one["error"] for one in rows)
    enhance(config(input=questions, output=tmp_path / "first.jsonl", kinds="error"))
    enhance(config(input=tmp_path / "first.jsonl", output=tmp_path / "second.jsonl", kinds="fundamental"))
    enhance(config(input=tmp_path / "second.jsonl", output=tmp_path / "third.jsonl", kinds="cot"))
    assert all(one["all"] == one["error_text"] + one["error"] for one in lines(tmp_path / "second.jsonl"))
    assert lines(tmp_path / "third.jsonl") == run(tmp_path / "b", input=questions)[1]


def test_a_kind_that_is_there_already_is_not_overwritten(tmp_path: Path, questions: Path):
    enhance(config(input=questions, output=tmp_path / "first.jsonl", kinds="cot"))
    with pytest.raises(UserError, match=r"first\.jsonl:1: column 'cot' is there already"):
        enhance(config(input=tmp_path / "first.jsonl", output=tmp_path / "second.jsonl", kinds="cot"))


def test_defect_8_sampling_is_seeded_and_the_seed_matters(tmp_path: Path, questions: Path):
    texts = [
        [one["cot"] for one in run(tmp_path / f"{i}", input=questions, temperature=1.0, seed=seed)[1]] for i, seed in enumerate((1, 1, 2))
    ]
    assert texts[0] == texts[1] != texts[2]


def test_the_same_question_twice_is_asked_once_and_answered_twice(tmp_path: Path):
    path = write_rows(tmp_path / "T.jsonl", [row(1), row(1, id="again"), row(2)])
    outcome, rows = run(tmp_path / "out", input=path)
    assert outcome.counts == {"questions": 3, "rows": 3, "dropped": 0, "asked": 6}
    assert rows[0]["cot"] == rows[1]["cot"] and [one["id"] for one in rows] == ["1", "again", "2"]


def test_questions_that_fail_are_dropped_with_a_reason_and_never_lost(tmp_path: Path, questions: Path):
    teacher = {"name": "scripted", "fail_on": "Is 7 even? (A) True (B) False A: The answer is (B). The common"}
    outcome, _ = run(tmp_path / "out", input=questions, teacher=teacher)
    dropped = lines(tmp_path / "out" / "dropped.jsonl")
    assert outcome.counts == {"questions": 10, "rows": 9, "dropped": 1, "asked": 30}
    assert [one["id"] for one in dropped] == ["7"] and dropped[0]["reason"].startswith("error: told to fail on")
    assert {column: dropped[0][column] for column in row(7)} == row(7)
    assert outcome.facts["finish"] == {"error": 1, "stop": 29}
    assert run(tmp_path / "out", input=questions, teacher=teacher)[0].counts["asked"] == 0


def long_questions(tmp_path: Path) -> Path:
    rows = [row(number) for number in range(4)]
    rows[2]["error_text"] = "word " * 30 + rows[2]["error_text"]
    rows[3]["cot_text"] = "word " * 40 + rows[3]["cot_text"]
    return write_rows(tmp_path / "LONG.jsonl", rows)


def test_a_prompt_longer_than_the_context_fails_before_anything_is_asked(tmp_path: Path):
    with pytest.raises(UserError) as told:
        run(tmp_path / "out", input=long_questions(tmp_path), teacher={"name": "scripted", "context": 40}, on_overlong="fail")
    assert str(told.value) == (
        f"{tmp_path}/LONG.jsonl:3: the prompt has 47 tokens, the model's context is 40 (1 more are too long); "
        "shorten it, or drop such questions (on_overlong: drop)."
    )
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["ledger"] and not list((tmp_path / "out" / "ledger").iterdir())


def test_overlong_prompts_are_dropped_where_that_is_wanted_and_fail_again_where_not(tmp_path: Path):
    values = {"input": long_questions(tmp_path), "teacher": {"name": "scripted", "context": 40}}
    outcome, _ = run(tmp_path / "out", **values)
    assert outcome.counts == {"questions": 4, "rows": 2, "dropped": 2, "asked": 12}
    reasons = [one["reason"] for one in lines(tmp_path / "out" / "dropped.jsonl")]
    assert reasons == [f"{kind}: prompt too long: it has {n} tokens, the model's context is 40" for kind, n in (("error", 47), ("cot", 58))]
    with pytest.raises(UserError, match=r"LONG.jsonl:3: the prompt has 47 tokens"):
        run(tmp_path / "out", **values, on_overlong="fail")


def test_a_prompt_that_leaves_little_room_gets_what_is_left(tmp_path: Path, questions: Path):
    _, rows = run(
        tmp_path / "out", input=questions, kinds="cot", teacher={"name": "scripted", "context": 25, "reply": "one two three " * 9}
    )
    prompt = len(row(0)["cot_text"].split())
    assert all(len(one["cot"].split()) == 25 - prompt and one["cot_finish"] == "length" for one in rows)


def test_text_ends_before_the_next_question_unless_told_otherwise(tmp_path: Path, questions: Path):
    teacher = {"name": "scripted", "reply": "So it is.\nQ: Another question? A: Yes."}
    assert run(tmp_path / "a", input=questions, teacher=teacher)[1][0]["cot"] == " So it is."
    assert run(tmp_path / "b", input=questions, teacher=teacher, stop=[])[1][0]["cot"] == " So it is.\nQ: Another question? A: Yes."


def bad_inputs(folder: Path) -> Iterator[tuple[str, Path, str]]:
    missing, broken, empty, null = row(1), folder / "B.jsonl", folder / "E.jsonl", row(1, error_text=None)
    del missing["error_text"]
    yield "missing column", write_rows(folder / "M.jsonl", [row(0), missing]), "M.jsonl:2: column 'error_text' is missing (found: id, text,"
    broken.write_text(json.dumps(row(0)) + "\n{oops\n")
    yield "broken line", broken, "B.jsonl:2: not valid JSON"
    empty.write_text("")
    yield "empty file", empty, "E.jsonl: the file has no rows."
    yield (
        "null prompt",
        write_rows(folder / "N.jsonl", [null]),
        "N.jsonl:1: column 'error_text': expected the teacher's prompt, found None.",
    )
    yield "nothing there", folder / "nowhere", "nowhere: no such file or folder."
    (folder / "two").mkdir()
    for name in ("A.jsonl", "B.jsonl"):
        write_rows(folder / "two" / name, [row(0)])
    yield "two files", folder / "two", "expected one .jsonl of questions, found A.jsonl, B.jsonl"


def test_bad_input_is_one_clear_line_and_writes_no_rows(tmp_path: Path):
    for number, (case, path, message) in enumerate(bad_inputs(tmp_path)):
        output = tmp_path / f"out{number}"
        with pytest.raises(UserError) as told:
            enhance(config(input=path, output=output))
        assert message in str(told.value) and "\n" not in str(told.value), case
        assert not list(output.glob("*.jsonl")), case


@pytest.mark.parametrize("bad", ["3", "3/3", "a/b", "-1/2", "0/0"])
def test_a_shard_is_i_of_n(bad: str):
    with pytest.raises(UserError, match="expected i/n with i from 0 to n-1"):
        parse_shard(bad)
    assert parse_shard("0/1") == (0, 1)


def test_batches_and_shards_stay_out_of_the_fingerprint_and_the_rest_does_not(tmp_path: Path, questions: Path):
    def print_of(**values: Any) -> str:
        return fingerprint("enhance", STAGE, config(input=questions, output=tmp_path / "o", **values), content_on_disk)

    same = [
        {},
        {"batch_size": 7},
        {"batch_tokens": 1},
        {"shard": "1/2"},
        {"kinds": "fundamental,error_text,cot"},
        {"teacher": {"name": "scripted", "delay": 1}},
    ]
    assert len({print_of(**values) for values in same}) == 1
    others = [
        {},
        {"kinds": "cot"},
        {"seed": 1},
        {"temperature": 0.7},
        {"stop": []},
        {"max_new_tokens": 3},
        {"teacher": {"name": "scripted", "reply": "x"}},
    ]
    assert len({print_of(**values) for values in others}) == len(others)
