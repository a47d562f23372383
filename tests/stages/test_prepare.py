import json
from pathlib import Path
from typing import Any

import pytest

from teacherlm.errors import UserError
from teacherlm.stage import Outcome
from teacherlm.stages.prepare import PrepareConfig, prepare

SEED_COLUMNS = ["ex_id", "sentence", "explanation", "label", "entity", "en_wiki_pageid", "entity_mention_loc"]
TEXTS = ["text", "cot_text", "error_text", "fundamental_text"]
OURS = ["id", "prompt", "choices", "answer", "answer_rule", "template"]


def prepared(output: Path, **values: Any) -> Outcome:
    return prepare(PrepareConfig.model_validate({"dataset": "creak", "output": output, **values}))


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def real(creak: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    output = tmp_path_factory.mktemp("prepare") / "creak"
    return output, prepared(output, source=str(creak))


@pytest.mark.real
def test_creak_becomes_a_dataset_dict_with_the_original_columns_first(real: tuple[Path, Outcome]):
    from datasets import load_from_disk

    output, outcome = real
    dataset = load_from_disk(str(output))
    assert {name: len(split) for name, split in dataset.items()} == {"train": 10176, "validation": 1371}
    assert dataset["train"].column_names == dataset["validation"].column_names == SEED_COLUMNS + TEXTS + OURS
    assert outcome.counts == {"in": 11547, "out": 11547, "dropped": 0, "train": 10176, "validation": 1371}
    assert sorted(p.name for p in output.iterdir()) == ["CREAK.jsonl", "dataset_dict.json", "train", "validation"]


@pytest.mark.real
def test_the_jsonl_holds_the_train_split_with_the_source_columns_untouched(real: tuple[Path, Outcome], creak: Path):
    from datasets import load_from_disk

    source, written = lines(creak / "train.json"), lines(real[0] / "CREAK.jsonl")
    assert [{name: row[name] for name in SEED_COLUMNS} for row in written] == source
    assert written == load_from_disk(str(real[0]))["train"].to_list()
    assert len({row["id"] for row in written}) == 10176


@pytest.mark.real
def test_the_texts_are_the_original_ones_byte_for_byte(real: tuple[Path, Outcome]):
    from datasets import load_from_disk

    dataset = load_from_disk(str(real[0]))
    dev_0, dev_1, train_1 = dataset["validation"][0], dataset["validation"][1], dataset["train"][1]
    assert (dev_0["ex_id"], dev_1["ex_id"], train_1["ex_id"]) == ("dev_0", "dev_1", "train_1")
    start = "Q: Determine the correctness of the following sentence. "
    soup = start + "Eating soup means eating only solids. (A) True (B) False A: The answer is (B)."
    assert dev_0["text"] == soup
    assert dev_0["cot_text"] == soup + " Let's think step by step."
    assert dev_0["error_text"] == soup + " The common mistakes are:"
    assert dev_0["fundamental_text"] == soup + " The fundamental of this question is:"
    assert dev_1["text"] == f"{start}{dev_1['sentence']} (A) True (B) False A: The answer is ({'A' if dev_1['label'] == 'true' else 'B'})."
    marlboro = start + "Marlboro used iconic imagery to promote its brand. (A) True (B) False A:"
    assert train_1["prompt"] == marlboro
    assert train_1["cot_text"] == marlboro + " The answer is (A). Let's think step by step."


@pytest.mark.real
def test_every_real_text_is_the_sentence_as_published(real: tuple[Path, Outcome]):
    for row in lines(real[0] / "CREAK.jsonl"):
        letter = {"true": "A", "false": "B"}[row["label"]]
        question = f"Q: Determine the correctness of the following sentence. {row['sentence']} (A) True (B) False A:"
        assert row["text"] == f"{question} The answer is ({letter})."


@pytest.mark.real
def test_a_folder_of_save_to_disk_gives_the_same_questions(real: tuple[Path, Outcome], creak: Path, tmp_path: Path):
    from datasets import Dataset, DatasetDict

    raw = DatasetDict(
        {"train": Dataset.from_list(lines(creak / "train.json")[:50]), "validation": Dataset.from_list(lines(creak / "dev.json"))}
    )
    raw.save_to_disk(str(tmp_path / "raw"))
    prepared(tmp_path / "out", source=str(tmp_path / "raw"))
    assert lines(tmp_path / "out" / "CREAK.jsonl") == lines(real[0] / "CREAK.jsonl")[:50]


@pytest.mark.real
def test_a_split_without_labels_is_one_clear_error(creak: Path, tmp_path: Path):
    with pytest.raises(UserError) as error:
        prepared(tmp_path / "out", source=str(creak / "test_without_labels.json"))
    assert str(error.value).startswith(f"{creak / 'test_without_labels.json'}:1: column 'label' is missing (found: ex_id, sentence, ")
    assert not (tmp_path / "out").exists()


ROW = {"ex_id": "train_0", "sentence": "Soup is liquid.", "explanation": "It is.", "label": "true"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROW, "{broken"], r"train\.json:2: not valid JSON"),
        ([ROW, {"ex_id": "x", "sentence": "s"}], r"train\.json:2: column 'label' is missing \(found: ex_id, sentence\)"),
        ([{**ROW, "label": "maybe"}], r"train\.json:1: label 'maybe' is neither 'true' nor 'false'"),
        ([], r"train\.json: the file has no rows"),
        ([ROW, "[1]"], r"train\.json:2: expected a JSON object, found list"),
        ([ROW, {**ROW, "explanation": 7}], r"/bad: column 'explanation': values in rows 1-2 cannot share a type"),
    ],
)
def test_bad_input_is_one_line_with_its_place_and_overwrites_nothing(rows: list[Any], message: str, tmp_path: Path):
    prepared(tmp_path / "out", source=str(write_lines(tmp_path / "good" / "train.json", [ROW])))
    before = {p: p.read_bytes() for p in sorted((tmp_path / "out").rglob("*")) if p.is_file()}
    write_lines(tmp_path / "bad" / "train.json", rows)
    with pytest.raises(UserError, match=message):
        prepared(tmp_path / "out", source=str(tmp_path / "bad"))
    assert {p: p.read_bytes() for p in sorted((tmp_path / "out").rglob("*")) if p.is_file()} == before
    with pytest.raises(UserError, match=message):
        prepared(tmp_path / "new", source=str(tmp_path / "bad"))
    assert not (tmp_path / "new").exists()


def test_a_folder_without_the_published_files_and_a_wrong_path_are_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"holds neither train\.json, dev\.json nor a dataset written by save_to_disk"):
        prepared(tmp_path / "out", source=str(tmp_path))
    with pytest.raises(UserError, match=r"nowhere\.json: no such file or folder"):
        prepared(tmp_path / "out", source=str(tmp_path / "nowhere.json"))
    with pytest.raises(UserError, match=r"No split named 'tran'. Did you mean 'train'\?"):
        prepared(tmp_path / "out", source=str(write_lines(tmp_path / "train.json", [ROW])), split="tran")


def test_repeated_ids_get_an_occurrence_and_never_collide(tmp_path: Path):
    ids = ["x", "x", "x-2", "x", None, None]
    source = write_lines(tmp_path / "train.json", [{**ROW, "ex_id": one} for one in ids])
    prepared(tmp_path / "out", source=str(source))
    found = [row["id"] for row in lines(tmp_path / "out" / "CREAK.jsonl")]
    assert found[:4] == ["x", "x-2", "x-2-2", "x-3"]
    assert found[5] == f"{found[4]}-2" and len(found[4]) == 16


def test_a_value_after_many_nulls_and_a_late_column_widen_the_types(tmp_path: Path):
    from datasets import load_from_disk

    rows: list[Any] = [{**ROW, "entity": None, "n": 1} for _ in range(2500)]
    rows[2100] = {**ROW, "entity": "soup", "n": 1.5, "late": [["a"]], "where": {"page": 1}}
    rows[2200] = {**ROW, "entity": "soup", "n": 2, "where": {"line": "x"}}
    prepared(tmp_path / "out", source=str(write_lines(tmp_path / "train.json", rows)))
    train = load_from_disk(str(tmp_path / "out"))["train"]
    assert len(train) == 2500
    assert train.column_names[-10:] == TEXTS + OURS
    assert (train[0]["entity"], train[0]["n"], train[0]["late"]) == (None, 1.0, None)
    assert (train[2100]["entity"], train[2100]["n"], train[2100]["late"]) == ("soup", 1.5, [["a"]])
    assert train[2200]["where"] == {"page": None, "line": "x"}


def test_types_that_conflict_across_batches_name_the_column(tmp_path: Path):
    rows: list[Any] = [{**ROW, "n": 1} for _ in range(1500)] + [{**ROW, "n": "one"} for _ in range(1000)]
    with pytest.raises(UserError, match="column 'n': values"):
        prepared(tmp_path / "out", source=str(write_lines(tmp_path / "train.json", rows)))
    rows = [{**ROW, "n": 1} for _ in range(1000)] + [{**ROW, "n": "one"} for _ in range(1000)]
    with pytest.raises(UserError, match=r"column 'n': values cannot share a type \(int64 in earlier rows, string later\)"):
        prepared(tmp_path / "out", source=str(write_lines(tmp_path / "train.json", rows)))


def test_source_columns_named_like_ours_are_kept_beside_them(tmp_path: Path):
    source = write_lines(tmp_path / "train.json", [{**ROW, "id": 5, "prompt": "p", "source_id": "s", "cot": "c"}])
    prepared(tmp_path / "out", source=str(source))
    (row,) = lines(tmp_path / "out" / "CREAK.jsonl")
    assert (row["source_source_id"], row["source_prompt"], row["source_id"], row["source_cot"]) == (5, "p", "s", "c")
    assert row["id"] == "train_0" and row["prompt"].startswith("Q: Determine") and "cot" not in row


def test_booleans_limit_name_and_explanations(tmp_path: Path):
    source = write_lines(tmp_path / "train.json", [{**ROW, "label": False}, ROW])
    prepared(tmp_path / "out", source=str(source), limit=1, name="MINE", explanations=True)
    (row,) = lines(tmp_path / "out" / "MINE.jsonl")
    assert row["answer"] == "B"
    assert row["explanation_tail"] == row["cot_text"] + " It is."
    assert row["explanation_head"] == row["prompt"] + " Let's think step by step. It is. The answer is (B)."


def test_what_a_killed_attempt_left_does_not_matter(tmp_path: Path):
    source = str(write_lines(tmp_path / "train.json", [ROW]))
    (tmp_path / "out" / ".part" / "train").mkdir(parents=True)
    (tmp_path / "out" / ".part" / "train" / "data-00000-of-00009.arrow").write_bytes(b"torn")
    prepared(tmp_path / "out", source=source)
    prepared(tmp_path / "again", source=source)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out" / "train").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "again" / "train").iterdir()
    }


def test_every_column_that_a_gate_writes_is_kept_free():
    from teacherlm.catalog import HERE
    from teacherlm.rows import RESERVED

    gates = {path.stem for path in (HERE / "gates").glob("[!_]*.py")}
    assert gates and {f"cot_{'verdict' if name == 'agreement' else name}" for name in gates} <= RESERVED


def test_bad_rows_are_dropped_with_place_and_reason_and_counted(tmp_path: Path):
    missing, outside = {"ex_id": "x", "sentence": "s"}, {**ROW, "label": "maybe"}
    source = write_lines(tmp_path / "train.json", [ROW, "{broken", missing, outside, {**ROW, "sentence": " "}, "[1]"])
    with pytest.raises(UserError, match=r"train\.json:2: not valid JSON"):
        prepared(tmp_path / "out", source=str(source))
    assert not (tmp_path / "out").exists()
    outcome = prepared(tmp_path / "out", source=str(source), on_bad_row="drop")
    assert outcome.counts == {"in": 6, "out": 1, "dropped": 5, "train": 1}
    dropped = lines(tmp_path / "out" / "dropped.jsonl")
    assert [row["where"] for row in dropped] == [f"{source}:{number}" for number in (2, 3, 4, 5, 6)]
    assert all(row["reason"].startswith(f"{row['where']}: ") and row["split"] == "train" for row in dropped)
    assert [row["row"] for row in dropped] == [{"line": "{broken"}, missing, outside, {**ROW, "sentence": " "}, {"value": [1]}]
    assert len(lines(tmp_path / "out" / "CREAK.jsonl")) == 1


def test_a_split_of_which_nothing_can_be_used_is_an_error_with_the_first_reason(tmp_path: Path):
    source = write_lines(tmp_path / "train.json", [{**ROW, "label": "maybe"}, "{broken"])
    with pytest.raises(UserError, match=r"split 'train': none of its 2 rows can be used; the first: .*train\.json:1: label 'maybe'"):
        prepared(tmp_path / "out", source=str(source), on_bad_row="drop")
    assert not (tmp_path / "out").exists()


def test_files_in_another_encoding_are_read_when_it_is_said(tmp_path: Path):
    text = json.dumps({**ROW, "sentence": "Ein Café."}, ensure_ascii=False)
    (tmp_path / "train.json").write_bytes(f"{text}\n".encode("cp1252"))
    with pytest.raises(UserError, match=r"train\.json:1: byte 0xe9 at column \d+ is not utf-8; say encoding: latin-1"):
        prepared(tmp_path / "out", source=str(tmp_path / "train.json"))
    prepared(tmp_path / "out", source=str(tmp_path / "train.json"), encoding="cp1252")
    assert lines(tmp_path / "out" / "CREAK.jsonl")[0]["sentence"] == "Ein Café."
    with pytest.raises(UserError, match="encoding: 'cp-none' is not known"):
        prepared(tmp_path / "new", source=str(tmp_path / "train.json"), encoding="cp-none")


def test_a_gzipd_folder_gives_the_same_rows(tmp_path: Path):
    import gzip

    source = write_lines(tmp_path / "a" / "train.json", [ROW, {**ROW, "ex_id": "y"}])
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "train.json.gz").write_bytes(gzip.compress(source.read_bytes()))
    for name in ("a", "b"):
        prepared(tmp_path / f"out-{name}", source=str(tmp_path / name))
    assert lines(tmp_path / "out-a" / "CREAK.jsonl") == lines(tmp_path / "out-b" / "CREAK.jsonl")
