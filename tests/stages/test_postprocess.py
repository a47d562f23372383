from collections.abc import Callable
from pathlib import Path

import pytest
from enhanced_rows import Row, dataset, done, enhanced, lines, soups, write_lines

from teacherlm.errors import UserError
from teacherlm.prompts import SUFFIX, clean
from teacherlm.stages.prepare import PrepareConfig, prepare

SEED_COLUMNS = ["ex_id", "sentence", "explanation", "label", "entity", "en_wiki_pageid", "entity_mention_loc"]
SEED_COLUMNS += ["text", "cot_text", "error_text", "fundamental_text", "cot", "all", "cot_tail"]


@pytest.fixture
def questions(tmp_path: Path) -> list[Row]:
    return soups(tmp_path)


def says(letter: str) -> Callable[[Row], str]:
    return lambda row: f" {row['sentence']} The answer is ({letter})."


@pytest.mark.slow
@pytest.mark.real
def test_creak_has_the_seeds_14_columns_first_and_every_question_is_kept_or_dropped(creak: Path, tmp_path: Path):
    prepare(PrepareConfig.model_validate({"dataset": "creak", "source": str(creak), "output": tmp_path / "questions"}))
    rows = lines(tmp_path / "questions" / "CREAK.jsonl")
    texts = [" It is so. The answer is (A).", " Nobody  knows. ", " No. The answer is (B).", "", " A dog."]
    written = [enhanced(row, cot=texts[i % 5]) for i, row in enumerate(rows)]
    outcome = done(tmp_path / "out", write_lines(tmp_path / "enhanced" / "CREAK_cot.jsonl", written).parent)
    kept, rejected = dataset(tmp_path / "out"), lines(tmp_path / "out" / "rejected.jsonl")
    assert kept.column_names[:14] == SEED_COLUMNS
    assert kept.column_names[14:] == [
        *("cot_head", "cot_think", "id", "prompt", "choices", "answer", "answer_rule", "template"),
        *("completion_index", "teacher", "cot_finish", "cot_verdict"),
    ]
    assert outcome.counts == {"in": 10176, "out": len(kept), "dropped": len(rejected)}
    assert len(kept) + len(rejected) == 10176
    assert {row["id"] for row in rows} == {*kept["id"], *(row["id"] for row in rejected)}
    by_id = {row["id"]: row for row in written}
    for row in kept.select(range(200)):
        assert row["cot"] == by_id[row["id"]]["cot"]
        assert row["cot_tail"] == clean(row["all"])
        assert row["cot_verdict"] == ("unparsed" if "answer" not in row["cot"] else "right")
    assert {row["reason"] for row in rejected} == {"gate agreement: cot is wrong", "cot is empty"}
    funnel = outcome.facts["funnel"]
    assert funnel["questions in"] == 10176 and funnel["kept"] == len(kept)
    assert sum(funnel["agreement"].values()) + funnel["unusable"] == 10176
    assert set(funnel["agreement"]) == {"right", "wrong", "unparsed"}


def test_only_wrong_is_dropped_and_a_measured_gate_drops_nothing(questions: list[Row], tmp_path: Path):
    texts = [" So. The answer is (A).", " So. The answer is (B).", " Who knows?", " "]
    source = write_lines(tmp_path / "X_cot.jsonl", [enhanced(q, cot=t) for q, t in zip(questions, texts, strict=True)])
    outcome = done(tmp_path / "out", source)
    assert outcome.facts["funnel"] == {
        **{"questions in": 4, "unusable": 1},
        **{"agreement": {"wrong": 1, "right": 1, "unparsed": 1}, "kept": 2},
    }
    assert outcome.facts["rejected"] == {"gate agreement: cot is wrong": 1, "cot is empty": 1}
    measured = done(tmp_path / "measured", source, verify=[], measure=["agreement"])
    assert measured.counts == {"in": 4, "out": 3, "dropped": 1}
    assert dataset(tmp_path / "measured")["cot_verdict"][:] == ["right", "wrong", "unparsed"]
    assert "cot_verdict" not in dataset_columns(done_folder(tmp_path / "none", source))


def done_folder(output: Path, source: Path) -> Path:
    done(output, source, verify=[])
    return output


def dataset_columns(folder: Path) -> list[str]:
    return list(dataset(folder).column_names)


def test_defect_7_specialists_are_joined_by_id_and_all_belongs_to_the_first_kind(questions: list[Row], tmp_path: Path):
    errors = write_lines(tmp_path / "e" / "X_error.jsonl", [enhanced(q, error=" Not so.", fundamental=" It flows.") for q in questions])
    cots = write_lines(tmp_path / "c" / "X_cot.jsonl", [enhanced(q, cot=says("A")(q)) for q in reversed(questions)])
    outcome = done(tmp_path / "out", errors.parent, cots.parent)
    rows = dataset(tmp_path / "out")
    assert outcome.counts == {"in": 4, "out": 4, "dropped": 0} and outcome.facts["kinds"] == ["cot", "error", "fundamental"]
    assert not (tmp_path / "out" / "rejected.jsonl").exists()
    assert rows["id"][:] == [q["id"] for q in questions]
    names = rows.column_names
    assert names[names.index("cot") :] == [
        *("cot", "all", "cot_tail", "error", "fundamental", "error_tail", "fundamental_tail", "cot_head", "error_head", "fundamental_head"),
        *("cot_think", "error_think", "fundamental_think"),
        *("id", "prompt", "choices", "answer", "answer_rule", "template", "completion_index", "teacher"),
        *("cot_finish", "error_finish", "fundamental_finish", "cot_verdict", "error_verdict", "fundamental_verdict"),
    ]
    row, question = rows[0], questions[0]
    assert row["all"] == question["cot_text"] + says("A")(question)
    assert row["cot_tail"] == clean(row["all"])
    assert row["error_tail"] == question["error_text"] + " Not so."
    assert row["fundamental_head"] == question["prompt"] + SUFFIX["fundamental"] + " It flows. The answer is (A)."
    assert row["cot_head"] == question["prompt"] + SUFFIX["cot"] + says("A")(question)
    assert row["fundamental_think"] == question["prompt"] + " <think>\nIt flows.\n</think>\nThe answer is (A)."
    assert (row["teacher"], row["error_verdict"], row["fundamental_verdict"]) == ("cot, error", "not judged", "unparsed")


def test_a_question_that_one_input_lacks_is_dropped_with_a_reason(questions: list[Row], tmp_path: Path):
    cots = write_lines(tmp_path / "X_cot.jsonl", [enhanced(q, cot=says("A")(q)) for q in questions[:3]])
    errors = write_lines(tmp_path / "X_error.jsonl", [enhanced(q, error=" Not so.") for q in questions[1:]])
    outcome = done(tmp_path / "out", cots, errors)
    assert outcome.counts == {"in": 4, "out": 2, "dropped": 2}
    rejected = [(row["id"], row["reason"]) for row in lines(tmp_path / "out" / "rejected.jsonl")]
    assert rejected == [("t0", "no row in X_error.jsonl"), ("t3", "no row in X_cot.jsonl")]


def test_samples_of_one_question_are_rows_of_their_own(questions: list[Row], tmp_path: Path):
    samples = [{**enhanced(questions[0], cot=says("A")(questions[0])), "completion_index": i} for i in range(3)]
    assert done(tmp_path / "out", write_lines(tmp_path / "X_cot.jsonl", samples)).counts["out"] == 3
    assert dataset(tmp_path / "out")["completion_index"][:] == [0, 1, 2]


def test_bad_input_is_one_line_and_overwrites_nothing(questions: list[Row], tmp_path: Path):
    good = [enhanced(q, cot=says("A")(q)) for q in questions]
    done(tmp_path / "out", write_lines(tmp_path / "good.jsonl", good))
    before = {p: p.read_bytes() for p in sorted((tmp_path / "out").rglob("*")) if p.is_file()}
    without_answer = [good[0], {name: value for name, value in good[1].items() if name != "answer"}]
    without_cot = [good[0], {name: value for name, value in good[1].items() if name != "cot"}]
    wrong = [enhanced(q, cot=says("B")(q)) for q in questions]
    cases = {
        r"bad\.jsonl:2: column 'answer' is missing \(found: ex_id, ": without_answer,
        r"bad\.jsonl:2: column 'cot' is missing": without_cot,
        r"bad\.jsonl:1: there is no rationale \(column cot, error, fundamental\)": questions,
        r"bad\.jsonl: the file has no rows": [],
        r"bad\.jsonl:5: id 't0' with completion_index 0 stands in line 1 already": [*good, good[0]],
        r"bad\.jsonl: none of 4 rows is left \(gate agreement: cot is wrong: 4\)": wrong,
    }
    for message, rows in cases.items():
        with pytest.raises(UserError, match=message):
            done(tmp_path / "out", write_lines(tmp_path / "bad.jsonl", rows))
    assert {p: p.read_bytes() for p in sorted((tmp_path / "out").rglob("*")) if p.is_file()} == before


def test_inputs_that_do_not_belong_together_are_refused(questions: list[Row], tmp_path: Path):
    cots = write_lines(tmp_path / "a.jsonl", [enhanced(q, cot=" So.") for q in questions])
    others = [{**enhanced(q, error=" So."), "prompt": "Q: Else? A:"} for q in questions]
    with pytest.raises(UserError, match=r"c\.jsonl:1: id 't0' has another prompt than in .*a\.jsonl:1"):
        done(tmp_path / "out", cots, write_lines(tmp_path / "c.jsonl", others))
    with pytest.raises(UserError, match=r"expected one \.jsonl of rationales, found a\.jsonl, c\.jsonl"):
        done(tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()
