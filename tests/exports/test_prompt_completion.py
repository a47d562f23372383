"""Finetune files of Fine-tune-CoT: golden strings of every template and type of model."""

import json
from pathlib import Path
from typing import Any

import pytest

from teacherlm.errors import UserError
from teacherlm.exports.exporting import export_rows
from teacherlm.exports.prompt_completion import TAUGHT, prompt_completion

Q, R, A = " Which is it? \n", "\n\nIt must be {red}. ", " B "
GOLDEN = {
    ("ft_natural", "decoder"): ("Q: Which is it?\n\nA:", " B END"),
    ("ft_natural", "encoder_decoder"): ("Q: Which is it?", "B END"),
    ("ft_token", "decoder"): ("Which is it? ###", " B END"),
    ("ft_token", "encoder_decoder"): ("Which is it?", "B END"),
    ("ft_cot_token", "decoder"): ("Which is it? ###", " It must be {red}. --> B END"),
    ("ft_cot_token", "encoder_decoder"): ("Which is it?", "It must be {red}. --> B END"),
    ("ft_cot_natural", "decoder"): (
        *("Q: Which is it?\n\nA: Let's think step by step.\n\n", " It must be {red}.\n\nTherefore the answer is B END"),
    ),
}


@pytest.mark.parametrize(("template", "model_type"), list(GOLDEN))
def test_every_template_is_byte_for_byte_the_originals(template: str, model_type: str) -> None:
    prompt, completion = GOLDEN[template, model_type]
    assert prompt_completion(template, model_type, Q, A, R) == {"prompt": prompt, "completion": completion}
    bare = prompt_completion(template, model_type, Q, A, R, stop="")
    assert bare["completion"] == completion.removesuffix(" END")


def test_every_template_that_teaches_has_its_golden_line() -> None:
    taught = {(name, model_type) for model_type, names in TAUGHT.items() for name in names}
    assert taught == set(GOLDEN)


@pytest.mark.parametrize(("template", "model_type"), [("zs", "decoder"), ("ft_cot_natural", "encoder_decoder"), ("ft", "decoder")])
def test_a_template_that_teaches_nothing_or_not_that_model_is_refused(template: str, model_type: str) -> None:
    with pytest.raises(UserError, match=f"No template for a {model_type} named '{template}'.* Known: .*ft_token"):
        prompt_completion(template, model_type, Q, A, R)
    with pytest.raises(UserError, match="No model type named 'encoder'"):
        prompt_completion("ft_token", "encoder", Q, A, R)


def examples(path: Path, *letters: str) -> Path:
    rows: list[dict[str, Any]] = [
        {"id": f"q{n}", "prompt": "Q: Is it 1? (A) True (B) False A:", "answer": letter, "template": "teacherlm", "cot": " It is."}
        for n, letter in enumerate(letters)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def test_the_file_is_written_as_the_original_does_and_never_replaced_by_another(tmp_path: Path) -> None:
    source = examples(tmp_path / "x.jsonl", "A", "B")
    options = {"template": "ft_cot_token", "finetune_key": "zs_cot_parity"}
    count, path = export_rows("prompt_completion", source, tmp_path / "saved", options)
    assert (count, path) == (2, tmp_path / "saved/P_openai/F_zs_cot_parity.jsonl")
    one = '{"prompt": "Is it 1? (A) True (B) False ###", "completion": " It is. --> A END"}'
    assert path.read_text(encoding="utf-8") == f"{one}\n{one.replace('> A', '> B')}"
    export_rows("prompt_completion", source, tmp_path / "saved", options)
    with pytest.raises(UserError, match="is there already with other content"):
        export_rows("prompt_completion", examples(tmp_path / "y.jsonl", "A"), tmp_path / "saved", options)
    export_rows("prompt_completion", examples(tmp_path / "y.jsonl", "A"), tmp_path / "saved", options, overwrite=True)
    assert path.read_text(encoding="utf-8") == one
    named = export_rows("prompt_completion", source, tmp_path / "z.jsonl", {"template": "ft_token", "model_type": "encoder_decoder"})
    assert named == (2, tmp_path / "z.jsonl")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "--template is required"),
        ({"template": "ft_token"}, "--finetune-key is required where --output is a folder"),
        ({"template": "ft_token", "finetune_key": "../x"}, "may hold no slash"),
        ({"template": "ft_cot_token", "finetune_key": "x", "kind": "error"}, "x.jsonl:1: column 'error' is missing"),
        (
            {"template": "ft_cot_token", "finetune_key": "x", "base_model": "m"},
            "--base-model does not belong to `export prompt_completion`",
        ),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        export_rows("prompt_completion", examples(tmp_path / "x.jsonl", "A"), tmp_path / "out", options)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("*.jsonl"))
