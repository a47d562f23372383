"""Exports read by TRL itself, and rows that distilabel itself wrote. Both come from pip, beside this environment's own packages."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from enhanced_rows import done, enhanced, lines, soups, write_lines

from teacherlm.exports.exporting import export_rows
from teacherlm.exports.generated import Columns
from teacherlm.exports.imports import import_file

pytestmark = [pytest.mark.long, pytest.mark.real]
TRL = """
import json, sys
from datasets import load_dataset
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer
from trl.data_utils import is_conversational, maybe_apply_chat_template
model, plain, chat, scratch = sys.argv[1:]
pairs = load_dataset("json", data_files=plain, split="train", cache_dir=scratch)
turns = load_dataset("json", data_files=chat, split="train", cache_dir=scratch)
tokenizer = AutoTokenizer.from_pretrained(model)
arguments = SFTConfig(output_dir=scratch, report_to=[], use_cpu=True, bf16=False, max_length=None)
rows = list(SFTTrainer(model, arguments, train_dataset=pairs, processing_class=tokenizer).train_dataset)
taught = [[label for label in row["labels"] if label >= 0] for row in rows]
tokenizer.chat_template = "{% for turn in messages %}<{{ turn['role'] }}>{{ turn['content'] }}{% endfor %}"
print(json.dumps({
    "conversational": [is_conversational(pairs[0]), is_conversational(turns[0])],
    "whole": [tokenizer.decode(row["input_ids"], skip_special_tokens=True) for row in rows],
    "taught": [tokenizer.decode(tokens, skip_special_tokens=True) for tokens in taught],
    "chat": maybe_apply_chat_template(turns[0], tokenizer)["text"],
}))
"""
DISTILABEL = """
import json, sys
from distilabel.models.llms import TransformersLLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration
if __name__ == "__main__":
    model, output, grouped, rows = sys.argv[1:]
    with Pipeline(name="soups") as pipeline:
        template = "{% for turn in messages %}{{ turn['content'] }}{% endfor %}"
        written = {"max_new_tokens": 8, "do_sample": True}
        llm = TransformersLLM(model=model, torch_dtype="float32", chat_template=template, generation_kwargs=written)
        LoadDataFromDicts(data=json.loads(rows)) >> TextGeneration(llm=llm, num_generations=2, group_generations=grouped == "grouped")
    pipeline.run(use_cache=False).save_to_disk(output)
"""


def from_pip(folder: Path, *packages: str) -> Path:
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *packages]
    installed = subprocess.run(words, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"pip cannot install {', '.join(packages)} here: {installed.stderr.strip().splitlines()[-1:]}")
    return folder


def python(packages: Path, program: Path, *words: object) -> str:
    environment = {**os.environ, "PYTHONPATH": str(packages), "HF_HUB_OFFLINE": "1", "HF_HOME": str(program.parent / "hf")}
    command = [sys.executable, str(program), *map(str, words)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=400, cwd=program.parent)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout


def test_trl_learns_the_completion_and_nothing_else(tmp_path: Path, stories260k: Path):
    packages = from_pip(tmp_path / "packages", "trl==1.16.0")
    told = [enhanced(row, cot=f" Soup {row['id']} flows. The answer is (A).") for row in soups(tmp_path)]
    done(tmp_path / "examples", write_lines(tmp_path / "cot.jsonl", told))
    _, plain = export_rows("trl", tmp_path / "examples", tmp_path / "trl", {"train_on": "cot_head"})
    _, chat = export_rows("messages", tmp_path / "examples", tmp_path / "messages", {"train_on": "cot_head"})
    program = tmp_path / "read.py"
    program.write_text(TRL)
    said = json.loads(python(packages, program, stories260k, plain, chat, tmp_path / "scratch").splitlines()[-1])
    rows = lines(plain)
    assert said["conversational"] == [False, True]
    assert said["whole"] == [row["prompt"] + row["completion"] for row in rows]
    assert [text.strip() for text in said["taught"]] == [row["completion"].strip() for row in rows]
    assert said["chat"] == f"<user>{rows[0]['prompt']}<assistant>{rows[0]['completion'].strip()}"


@pytest.mark.parametrize("shape", ["apart", "grouped"])
def test_what_distilabel_wrote_becomes_rationales(tmp_path: Path, stories260k: Path, shape: str):
    packages = from_pip(tmp_path / "packages", "distilabel==1.5.3", "nest-asyncio", "tblib", "universal-pathlib", "pathlib-abc")
    prepared = soups(tmp_path)
    asked = json.dumps([{"instruction": row["prompt"], "name": row["id"]} for row in prepared])
    program = tmp_path / "write.py"
    program.write_text(DISTILABEL)
    python(packages, program, stories260k, tmp_path / "distiset", shape, asked)
    count = import_file("distilabel", tmp_path / "distiset", tmp_path / "x.jsonl", columns=Columns(questions=tmp_path / "questions"))
    rows = lines(tmp_path / "x.jsonl")
    assert count == len(rows) == 2 * len(prepared)
    assert [(row["id"], row["completion_index"]) for row in rows] == [(row["id"], number) for row in prepared for number in (0, 1)]
    assert all(row["cot"].strip() and row["answer"] == "A" and row["teacher"].endswith("stories260k") for row in rows)
    assert done(tmp_path / "examples", tmp_path / "x.jsonl", verify=[]).counts["out"] == count
