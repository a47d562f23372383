"""Files for other trainers: golden lines, what loads them, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from enhanced_rows import Row, done, enhanced, lines, soups, write_lines

from teacherlm.errors import UserError
from teacherlm.exports.exporting import export_rows
from teacherlm.exports.training_files import TRAINING_FILES
from teacherlm.stages.prepare import PrepareConfig, prepare

PROMPT = "Q: Is it 1? (A) True (B) False A:"
TAIL = f"{PROMPT} The answer is (A). Let's think step by step. \u2713 It is."
CHAT = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Is it 1?"}, {"role": "assistant", "content": "Yes."}]


def row(**changes: Any) -> Row:
    return {"id": "q", "prompt": PROMPT, "text": f"{PROMPT} The answer is (A).", "cot_tail": TAIL, "n": 1, **changes}


def exported(folder: Path, what: str, *rows: Row, **options: str) -> Path:
    count, path = export_rows(what, write_lines(folder / "rows.jsonl", list(rows)), folder / what, options)
    assert count == len(rows)
    return path


def loaded(path: Path, tmp_path: Path) -> Any:
    from datasets import load_dataset

    kind = "parquet" if path.suffix == ".parquet" else "json"
    return load_dataset(kind, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))


def test_trl_gets_the_column_cut_behind_the_prompt_byte_for_byte(tmp_path: Path):
    path = exported(tmp_path, "trl", row())
    assert path == tmp_path / "trl" / "cot_tail.jsonl"
    assert lines(path) == [{"prompt": PROMPT, "completion": TAIL.removeprefix(PROMPT)}]
    assert lines(exported(tmp_path, "trl", row(), train_on="text")) == [{"prompt": PROMPT, "completion": " The answer is (A)."}]


def test_chat_forms_have_two_turns_without_spaces_around(tmp_path: Path):
    turns = [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": TAIL.removeprefix(PROMPT).strip()}]
    for what in ("messages", "axolotl", "openai", "llama_factory"):
        assert lines(exported(tmp_path, what, row())) == [{"messages": turns}]
    assert lines(exported(tmp_path, "alpaca", row())) == [{"instruction": PROMPT, "input": "", "output": TAIL.removeprefix(PROMPT).strip()}]


def test_a_conversation_of_the_source_is_kept_and_a_rationale_takes_the_place_of_its_bare_answer(tmp_path: Path):
    spoken = row(messages=CHAT)
    assert lines(exported(tmp_path, "messages", spoken, train_on="text")) == [{"messages": CHAT}]
    told = {"role": "assistant", "content": TAIL.removeprefix(PROMPT).strip()}
    assert lines(exported(tmp_path, "openai", spoken)) == [{"messages": [*CHAT[:2], told]}]
    assert lines(exported(tmp_path, "trl", spoken, train_on="text")) == [{"prompt": CHAT[:2], "completion": CHAT[2:]}]
    with pytest.raises(UserError, match=r"rows\.jsonl:2: there are no `messages`, .*rows\.jsonl:1 has some"):
        exported(tmp_path / "mixed", "trl", spoken, row())


@pytest.mark.parametrize("what", [*TRAINING_FILES, "parquet"])
@pytest.mark.real
def test_datasets_loads_every_export_of_real_examples(creak: Path, tmp_path: Path, what: str):
    prepare(PrepareConfig.model_validate({"dataset": "creak", "source": str(creak), "limit": 40, "output": tmp_path / "questions"}))
    told = [enhanced(one, cot=f" {one['explanation']}") for one in lines(tmp_path / "questions" / "CREAK.jsonl")]
    outcome = done(tmp_path / "examples", write_lines(tmp_path / "cot.jsonl", told), verify=[], exports=[what])
    count, path = export_rows(what, tmp_path / "examples", tmp_path / "out", {})
    found = loaded(path, tmp_path)
    assert len(found) == count == outcome.counts["out"] == 40
    inside = tmp_path / "examples" / "exports" / what / path.name
    assert inside.read_bytes() == path.read_bytes()
    from datasets import load_from_disk

    examples = load_from_disk(str(tmp_path / "examples"))
    if what == "parquet":
        assert found.features == examples.features and found[:] == examples[:]
    elif what == "trl":
        assert [a + b for a, b in zip(found["prompt"], found["completion"], strict=True)] == examples["cot_tail"][:]


def test_dataset_info_keeps_its_other_datasets_and_is_written_once(tmp_path: Path):
    folder = tmp_path / "llama_factory"
    folder.mkdir()
    other = {"mine": {"file_name": "mine.json", "columns": {"prompt": "q"}}}
    (folder / "dataset_info.json").write_text(json.dumps(other))
    path = exported(tmp_path, "llama_factory", row())
    known = json.loads((folder / "dataset_info.json").read_text())
    assert list(known) == ["mine", "rows_cot_tail"] and known["mine"] == other["mine"]
    entry = known["rows_cot_tail"]
    assert entry["file_name"] == path.name and entry["columns"] == {"messages": "messages"} and entry["formatting"] == "sharegpt"
    tags, turn = entry["tags"], lines(path)[0]["messages"][-1]
    assert turn[tags["role_tag"]] == tags["assistant_tag"] and turn[tags["content_tag"]]
    exported(tmp_path, "llama_factory", row())
    exported(tmp_path, "llama_factory", row(), train_on="text", name="labels")
    assert list(json.loads((folder / "dataset_info.json").read_text())) == ["mine", "rows_cot_tail", "labels"]
    with pytest.raises(UserError, match="has another dataset named 'mine'; give this one another --name"):
        exported(tmp_path, "llama_factory", row(), name="mine")
    (folder / "dataset_info.json").write_text("[]")
    with pytest.raises(UserError, match=r"dataset_info\.json: expected \{name: description\}"):
        exported(tmp_path, "llama_factory", row(), name="new")


def test_llama_factory_takes_only_turns_that_alternate(tmp_path: Path):
    with pytest.raises(UserError, match=r"rows\.jsonl:1: LLaMA-Factory wants user and assistant in turn .* found user, user, assistant"):
        exported(tmp_path, "llama_factory", row(messages=[CHAT[1], CHAT[1], CHAT[2]]))


def test_alpaca_takes_one_question_and_one_answer(tmp_path: Path):
    (line,) = lines(exported(tmp_path, "alpaca", row(messages=CHAT[1:]), train_on="text"))
    assert line == {"instruction": "Is it 1?", "input": "", "output": "Yes."}
    with pytest.raises(UserError, match=r"rows\.jsonl:1: has 3 turns, alpaca has no place for more than two; export `messages`"):
        exported(tmp_path, "alpaca", row(messages=CHAT))


def test_the_snippet_for_axolotl_names_the_file_and_its_columns(tmp_path: Path):
    path = exported(tmp_path, "axolotl", row())
    (dataset,) = yaml.safe_load(path.with_suffix(".yaml").read_text())["datasets"]
    turns = lines(path.parent / dataset["path"])[0][dataset["field_messages"]]
    assert dataset["type"] == "chat_template" and dataset["roles_to_train"] == [turns[-1]["role"]]
    assert set(dataset["message_property_mappings"].values()) == set(turns[0])


def test_openai_is_told_when_there_are_too_few_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    exported(tmp_path, "openai", *[row()] * 9)
    assert "has 9 rows; openai asks for 10 at least" in capsys.readouterr().err
    exported(tmp_path / "enough", "openai", *[row()] * 10)
    assert "at least" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"cot_tail": "Another text"}, "rows.jsonl:2: column 'cot_tail' does not begin with the row's prompt"),
        ({"cot_tail": f"{PROMPT} "}, "rows.jsonl:2: column 'cot_tail' has nothing behind the prompt"),
        ({"cot_tail": None}, "rows.jsonl:2: column 'cot_tail': expected a text, found None"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "rows.jsonl:2: column 'messages': turn 1: role 'bot' is none of system"),
        ({"messages": CHAT[:2]}, "rows.jsonl:2: column 'messages': the last turn is the user's"),
        ({"messages": [CHAT[1], {"role": "assistant", "content": " "}]}, "turn 2: expected a text as content, found ' '"),
        ({"messages": "hello"}, "expected a list of"),
        ({"messages": [CHAT[0], CHAT[2]]}, "there is no turn of a user"),
    ],
)
def test_a_row_that_teaches_nothing_is_named_and_nothing_is_left(tmp_path: Path, bad: Row, said: str):
    with pytest.raises(UserError) as refused:
        exported(tmp_path, "openai", row(), row(**bad))
    assert said in str(refused.value)
    assert not [path for path in (tmp_path / "openai").rglob("*") if path.is_file()]


def test_unknown_columns_and_options_are_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"no column 'cot_tial' to train on; there are: text, cot_tail\."):
        exported(tmp_path, "trl", row(), train_on="cot_tial")
    with pytest.raises(UserError, match="--train-on does not belong to `export parquet`"):
        exported(tmp_path, "parquet", row(), train_on="text")
    with pytest.raises(UserError, match=r"--name '\.\./x' names a file; it may hold no slash"):
        exported(tmp_path, "llama_factory", row(), name="../x")
    with pytest.raises(UserError, match=r"No export named 'lama-factory'\. Did you mean 'llama_factory'"):
        exported(tmp_path, "lama-factory", row())


def test_another_content_is_replaced_only_when_asked(tmp_path: Path):
    for what, file in (("trl", "cot_tail.jsonl"), ("parquet", "train.parquet"), ("axolotl", "cot_tail.yaml")):
        path = exported(tmp_path, what, row()).parent / file
        before = path.read_bytes()
        exported(tmp_path, what, row())
        assert path.read_bytes() == before
        path.write_bytes(b"mine")
        with pytest.raises(UserError, match="is there already with other content"):
            exported(tmp_path, what, row())
        assert path.read_bytes() == b"mine"
        export_rows(what, tmp_path / "rows.jsonl", tmp_path / what, {}, overwrite=True)
        assert path.read_bytes() == before


def test_a_column_that_no_example_has_is_refused_before_anything_is_written(tmp_path: Path):
    told = write_lines(tmp_path / "cot.jsonl", [enhanced(one, cot=" So.") for one in soups(tmp_path)])
    with pytest.raises(UserError, match=r"exports\.1\.train_on: there is no column 'error_tail'; there are: text, .*cot_tail, cot_head"):
        done(tmp_path / "out", told, verify=[], exports=["trl", {"format": "openai", "train_on": "error_tail"}])
    assert not (tmp_path / "out").exists()
    done(tmp_path / "out", told, verify=[], exports=["llama-factory", {"format": "trl", "train_on": "cot_head"}])
    assert sorted(path.name for path in (tmp_path / "out" / "exports").rglob("*.json*")) == [
        *("cot_head.jsonl", "dataset_info.json", "out_cot_tail.jsonl"),
    ]
