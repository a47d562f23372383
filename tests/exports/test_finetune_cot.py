"""Completion files of Fine-tune-CoT: read, verified, made rationales of, written again the same."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from teacherlm.errors import UserError
from teacherlm.exports.exporting import export_rows
from teacherlm.exports.finetune_cot import identifier, read_completions
from teacherlm.exports.imports import import_file
from teacherlm.stages.postprocess import PostprocessConfig, postprocess

Row = dict[str, Any]
ASKING = "\nTherefore, the answer is"


def sample(index: int, completion_index: int, thoughts: str, said: str) -> Row:
    question, answer = [("Ann has 3 apples and eats 1. How many?", "2.0"), ("Bob has 1,000 and gets 1.  How many?\n", "1,001")][index]
    prompt = f"Q: {question}\nA: Let's think step by step."
    return {
        "sample_index": index,
        "completion_index": completion_index,
        "question": question,
        "answer": answer,
        "reasoning_prompt": prompt,
        "reasoning_completion": thoughts,
        "reasoning_finish_reason": "stop",
        "prompt": f"{prompt}{thoughts}{ASKING}",
        "completion": said,
        "finish_reason": "stop",
    }


def specimen(**changes: Any) -> Row:
    metadata = {
        **{"base_model": "text-davinci-002", "dataset_key": "svamp", "completion_key": "zs_cot_t70", "finetune_key": None},
        **{"train_key": None, "epoch": None, "prediction_template": "zs_cot", "temperature": 0.7, "max_tokens": 128},
    }
    data = {
        "0": [sample(0, 0, " 3 - 1 = 2.", " 2."), sample(0, 1, "\n\nShe eats 1 of 3 → 2 left.", " 3 apples."), sample(0, 2, "Hm.", "")],
        "1": [sample(1, 0, " 1,000 + 1 = 1,001.", " 1,001"), sample(1, 1, " It is 1001.", ": 1001.0")],
    }
    return {"metadata": {**metadata, **changes}, "data": data}


def write(path: Path, content: Row) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=4), encoding="utf-8")
    return path


def store(folder: Path, content: Row, name: str = "D_svamp.json", inside: str = "B_text-davinci-002__C_zs_cot_t70") -> Path:
    return write(folder / inside / name, content)


def lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_what_is_imported_and_exported_again_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    path = store(tmp_path, specimen())
    assert import_file("finetune_cot", path, tmp_path / "x.jsonl") == 5
    count, written = export_rows("finetune_cot", tmp_path / "x.jsonl", tmp_path / "again", {})
    assert count == 5
    assert written == tmp_path / "again" / path.relative_to(tmp_path)
    assert json.loads(written.read_text(encoding="utf-8")) == specimen()
    assert written.read_bytes() == path.read_bytes()


def test_imported_rows_are_those_that_postprocess_takes(tmp_path: Path) -> None:
    from datasets import load_from_disk

    import_file("finetune_cot", store(tmp_path, specimen()), tmp_path / "x.jsonl")
    first = lines(tmp_path / "x.jsonl")[0]
    prompt = "Q: Ann has 3 apples and eats 1. How many? A:"
    wanted = {
        **{"id": "svamp-0", "prompt": prompt, "choices": [], "answer": "2.0", "answer_rule": "number", "template": "teacherlm"},
        **{"text": f"{prompt} The answer is 2.0.", "cot_text": f"{prompt} The answer is 2.0. Let's think step by step."},
        **{"cot": " 3 - 1 = 2.", "completion_index": 0, "teacher": "text-davinci-002", "cot_finish": "stop", "found": "2"},
        "all": "Q: Ann has 3 apples and eats 1. How many?\nA: Let's think step by step. 3 - 1 = 2.",
    }
    assert {key: first[key] for key in wanted} == wanted
    assert [row["found"] for row in lines(tmp_path / "x.jsonl")] == ["2", "3", None, "1001", "1001.0"]
    config = {"input": [tmp_path / "x.jsonl"], "output": tmp_path / "out", "verify": []}
    outcome = postprocess(PostprocessConfig.model_validate(config))
    assert outcome.counts == {"in": 5, "out": 5, "dropped": 0}
    examples = load_from_disk(str(tmp_path / "out"))
    assert examples["completion_index"][:] == [0, 1, 2, 0, 1]
    assert examples[2]["cot_tail"] == f"{prompt} The answer is 2.0. Let's think step by step. Hm."
    assert export_rows("finetune_cot", tmp_path / "out", tmp_path / "again", {})[0] == 5
    again = json.loads((tmp_path / "again/B_text-davinci-002__C_zs_cot_t70/D_svamp.json").read_text(encoding="utf-8"))
    assert again == specimen()


def test_choices_in_a_question_become_choices(tmp_path: Path) -> None:
    content = specimen(dataset_key="date_understanding")
    question = "It was Sept. 1st. What is the date\ntoday? Answer choices: (A) 09/22/2021, (B) 09/09/2021, (C) 9 (B)."
    one = {**sample(0, 0, " Hm. The answer is (C).", " C."), "question": question, "answer": "B"}
    path = write(tmp_path / "any.json", {**content, "data": {"0": [one]}})
    import_file("finetune_cot", path, tmp_path / "x.jsonl")
    (row,) = lines(tmp_path / "x.jsonl")
    assert (row["choices"], row["answer"], row["answer_rule"]) == (["09/22/2021", "09/09/2021", "9 (B)"], "B", "letter")
    assert row["prompt"] == "Q: It was Sept. 1st. What is the date\ntoday? (A) 09/22/2021 (B) 09/09/2021 (C) 9 (B) A:"
    assert (row["question"], row["found"]) == (question, "C")


def test_students_completions_are_cut_where_the_answer_is_stated(tmp_path: Path) -> None:
    one = {key: value for key, value in sample(0, 0, "", " 3 - 1 is 2 --> 2 ").items() if not key.startswith("reasoning")}
    content = specimen(prediction_template="ft_cot_token", completion_key="ft_cot", base_model="curie", train_key="ft_cot", epoch=7)
    path = store(tmp_path, {**content, "data": {"0": [one]}}, "D_svamp__T_ft_cot__E_007.json", "B_curie__C_ft_cot")
    import_file("finetune_cot", path, tmp_path / "x.jsonl")
    (row,) = lines(tmp_path / "x.jsonl")
    assert (row["cot"], row["found"], row["cot_finish"]) == (" 3 - 1 is 2 ", "2", "stop")
    assert export_rows("finetune_cot", tmp_path / "x.jsonl", tmp_path / "again", {})[1].name == "D_svamp__T_ft_cot__E_007.json"


@pytest.mark.parametrize(
    ("name", "inside", "changes", "said"),
    [
        ("D_svamp.json", "B_curie__C_zs_cot_t70", {}, "metadata key 'base_model' is 'text-davinci-002', its path says 'curie'"),
        ("D_svamp.json", "B_text-davinci-002__C_zs_cot", {}, "key 'completion_key' is 'zs_cot_t70', its path says 'zs_cot'"),
        ("D_addsub.json", "", {}, "key 'dataset_key' is 'svamp', its path says 'addsub'"),
        ("D_svamp.json", "", {"train_key": "ft_cot"}, "key 'train_key' is 'ft_cot', its path says None"),
        ("D_svamp__T_lr__E_003.json", "", {"train_key": "ft_cot", "epoch": 3}, "key 'train_key' is 'ft_cot', its path says 'lr'"),
        ("D_svamp__E_003.json", "", {"epoch": 4}, "key 'epoch' is 4, its path says 3"),
        ("F_a__D_svamp.json", "", {"finetune_key": "b"}, "key 'finetune_key' is 'b', its path says 'a'"),
        ("F_a__T_x__D_svamp.json", "", {"finetune_key": "a", "train_key": "y"}, "key 'train_key' is 'y', its path says 'x'"),
    ],
)
def test_metadata_that_contradicts_the_path_is_refused(tmp_path: Path, name: str, inside: str, changes: Row, said: str) -> None:
    path = store(tmp_path, specimen(**changes), name, inside or "B_text-davinci-002__C_zs_cot_t70")
    with pytest.raises(UserError, match=re.escape(f"{path}: ") + ".*" + re.escape(said)):
        read_completions(path)


def test_both_forms_of_names_are_read(tmp_path: Path) -> None:
    readme = specimen(finetune_key="zs_cot_multiarith", train_key="ft_cot")
    assert len(read_completions(store(tmp_path, readme, "F_zs_cot_multiarith__D_svamp.json")).data) == 2
    assert len(read_completions(store(tmp_path, readme, "F_zs_cot_multiarith__T_ft_cot__D_svamp.json")).data) == 2
    assert read_completions(write(tmp_path / "downloaded.json", specimen())).metadata["epoch"] is None
    found = identifier(Path("saved/B_a__b__C_zs/D_last_letter_concatenation__T_x__y__E_012.json"))
    assert found == {
        **{"base_model": "a__b", "completion_key": "zs", "dataset_key": "last_letter_concatenation"},
        **{"train_key": "x__y", "epoch": 12},
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "expected {'metadata'"),
        ({"metadata": {}, "data": {}}, "the file has no completions"),
        ({"metadata": {}, "data": {"0": {}}}, 'data "0": expected a list of samples'),
        ({"metadata": {}, "data": {"x": [{}]}}, 'data "x": expected the number of a question'),
        ({"metadata": {}, "data": {"0": [{"sample_index": 1}]}}, "key 'sample_index' is 1, it stands under \"0\""),
    ],
)
def test_another_schema_is_refused(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        read_completions(write(tmp_path / "x.json", content))


def test_a_sample_that_lacks_a_key_is_named(tmp_path: Path) -> None:
    content = specimen()
    del content["data"]["1"][1]["completion"]
    path = write(tmp_path / "x.json", content)
    with pytest.raises(UserError, match=re.escape(f"{path}: data \"1\"[1]: column 'completion' is missing")):
        import_file("finetune_cot", path, tmp_path / "x.jsonl")
    assert not (tmp_path / "x.jsonl").exists() and [p.name for p in tmp_path.iterdir()] == ["x.json"]


def enhanced(number: int, sample_number: int, **values: Any) -> Row:
    """A row as `enhance` writes it."""
    prompt = f"Q: Is {number} even? (A) True (B) False A:"
    text = f"{prompt} The answer is (A)."
    cot = f" Half of {number} is {number // 2}. "
    return {
        **{"number": number, "text": text, "cot_text": f"{text} Let's think step by step.", "id": f"q{number}", "prompt": prompt},
        **{"choices": ["True", "False"], "answer": "A", "answer_rule": "letter", "template": "teacherlm", "cot": cot},
        **{"all": f"{text} Let's think step by step.{cot}", "completion_index": sample_number, "teacher": "t", "cot_finish": "length"},
        **values,
    }


def write_rows(path: Path, rows: list[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


KEYS = {"base_model": "opt-125m", "completion_key": "zs_cot", "dataset_key": "parity"}


def test_rows_of_enhance_become_two_steps(tmp_path: Path) -> None:
    solved = {
        "all": "Q: Is 8 even? (A) True (B) False\nA: Let's think step by step. Half of 8 is 4. ",
        "found": "B",
        "conclusion": " (B) False.",
    }
    rows = [enhanced(4, 0), enhanced(4, 1, found=None), enhanced(6, 0, found="B"), enhanced(8, 0, **solved)]
    write_rows(tmp_path / "in" / "X_cot.jsonl", rows)
    write_rows(tmp_path / "in" / "dropped.jsonl", [{"reason": "x"}])
    count, path = export_rows("finetune_cot", tmp_path / "in", tmp_path / "out", {**KEYS, "template": "zs_cot"})
    assert (count, path) == (4, tmp_path / "out/B_opt-125m__C_zs_cot/D_parity.json")
    read = read_completions(path)
    assert list(read.metadata)[:7] == [
        *("base_model", "dataset_key", "completion_key", "finetune_key", "train_key", "epoch", "prediction_template")
    ]
    assert read.metadata["answer_rule"] == "letter"
    assert {index: [one["completion"] for one in found] for index, found in read.data.items()} == {
        **{"0": [" A.", ""], "1": [" B."], "2": [" (B) False."]}
    }
    assert read.data["0"][0] == {
        "sample_index": 0,
        "completion_index": 0,
        "question": "Is 4 even? (A) True (B) False",
        "answer": "A",
        "reasoning_prompt": "Q: Is 4 even? (A) True (B) False A: The answer is (A). Let's think step by step.",
        "reasoning_completion": " Half of 4 is 2. ",
        "reasoning_finish_reason": "length",
        "prompt": "Q: Is 4 even? (A) True (B) False A: The answer is (A). Let's think step by step. Half of 4 is 2."
        "\nTherefore, the answer is",
        "completion": " A.",
        "finish_reason": "stop",
    }
    assert read.data["2"][0]["reasoning_prompt"] == "Q: Is 8 even? (A) True (B) False\nA: Let's think step by step."
    import_file("finetune_cot", path, tmp_path / "x.jsonl")
    assert [row["found"] for row in lines(tmp_path / "x.jsonl")] == ["A", None, "B", "(B) False"]
    assert [row["prompt"] for row in lines(tmp_path / "x.jsonl")] == [row["prompt"] for row in rows]


def test_other_content_is_not_overwritten_unasked(tmp_path: Path) -> None:
    source = write_rows(tmp_path / "x.jsonl", [enhanced(4, 0)])
    _, path = export_rows("finetune_cot", source, tmp_path / "out", KEYS)
    before = path.read_bytes()
    export_rows("finetune_cot", source, tmp_path / "out", KEYS)
    other = write_rows(tmp_path / "y.jsonl", [enhanced(6, 0)])
    with pytest.raises(UserError, match=r"D_parity.json: is there already with other content; .* --overwrite"):
        export_rows("finetune_cot", other, tmp_path / "out", KEYS)
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1
    export_rows("finetune_cot", other, tmp_path / "out", KEYS, overwrite=True)
    assert path.read_bytes() != before


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([enhanced(4, 0)], {**KEYS, "base_model": None}, "--base-model is required: the rows do not say it."),
        ([enhanced(4, 0)], {**KEYS, "base_model": "facebook/opt"}, "--base-model 'facebook/opt' becomes part of a file's name"),
        ([enhanced(4, 0)], {**KEYS, "base_model": ".."}, "--base-model '..' becomes part of a file's name"),
        ([enhanced(4, 0)], {**KEYS, "dataset_key": "a__T_b"}, "metadata key 'dataset_key' is 'a__T_b', its path says 'a'"),
        ([enhanced(4, 0), enhanced(4, 0)], KEYS, "x.jsonl:2: question 0 has completion_index 0 already."),
        ([{"id": "a", "answer": "b"}], KEYS, "x.jsonl:1: column 'cot' is missing"),
        ([enhanced(4, 0)], {**KEYS, "kind": "cot"}, "--kind does not belong to `export finetune_cot`."),
    ],
)
def test_what_cannot_be_exported_is_refused(tmp_path: Path, rows: list[Row], options: Row, said: str) -> None:
    given = {key: value for key, value in options.items() if value is not None}
    with pytest.raises(UserError, match=re.escape(said)):
        export_rows("finetune_cot", write_rows(tmp_path / "x.jsonl", rows), tmp_path / "out", given)
    assert not list(tmp_path.rglob("D_*"))


def test_unknown_systems_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No import named 'finetune_cto'\. Did you mean 'finetune_cot'"):
        import_file("finetune_cto", tmp_path / "x", tmp_path / "x.jsonl")
    with pytest.raises(UserError, match="No export named 'csv'"):
        export_rows("csv", tmp_path, tmp_path, {})
