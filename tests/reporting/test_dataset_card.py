"""The card of a dataset: valid front matter, figures out of the manifests, model text that stays text."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from enhanced_rows import Row, done, enhanced, lines, soups, write_lines
from typer.testing import CliRunner

from teacherlm.cli import build_app
from teacherlm.reporting import cards
from teacherlm.reporting.dataset_card import dataset_card
from teacherlm.store.manifest import Manifest, lineage

ATTACK = "~~~\n```\n````\n# Not a heading\n<script>alert(1)</script>\n---\n|a|b|\n{{ 7 * 7 }}\r\x1b[31m"


def front_matter(card: str) -> dict[str, Any]:
    from huggingface_hub import DatasetCard

    found: dict[str, Any] = DatasetCard(card, ignore_metadata_errors=False).data.to_dict()
    assert found == yaml.safe_load(card.split("---")[1])
    return found


def body(card: str) -> str:
    """What is no block of code."""
    return re.sub(r"^(`{3,})[^\n]*\n.*?^\1$", "", card.partition("\n---\n")[2], flags=re.S | re.M)


def examples(folder: Path, texts: list[str], **settings: Any) -> str:
    told = [enhanced(row, cot=text) for row, text in zip(soups(folder, len(texts)), texts, strict=True)]
    done(folder / "examples", write_lines(folder / "cot.jsonl", told), **settings)
    return (folder / "examples" / "README.md").read_text(encoding="utf-8")


@pytest.mark.real
def test_the_card_of_a_real_chain_says_what_its_manifests_say(creak: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-verysecretindeed123")
    asked = [
        "--teacher",
        "scripted",
        "--set",
        "teacher.reply= It is so. The answer is (A).",
        "--set",
        "kinds=[cot]",
        "--temperature",
        "0.7",
    ]
    chain = [
        ["prepare", "creak", "--source", str(creak), "--limit", "30", "--output", "questions"],
        ["enhance", "--input", "questions", *asked, "--output", "rationales"],
        ["postprocess", "--input", "rationales", "--output", "examples"],
    ]
    for words in chain:
        result = CliRunner().invoke(build_app([]), words)
        assert result.exit_code == 0, result.output
    card = (tmp_path / "examples" / "README.md").read_text(encoding="utf-8")
    manifests = {manifest.stage: manifest for _, manifest in lineage(Path("examples"))}
    kept, dropped = manifests["postprocess"].counts["out"], manifests["postprocess"].counts["dropped"]
    assert 0 < kept < 30 and kept + dropped == 30
    front = front_matter(card)
    assert (front["license"], front["size_categories"], front["pretty_name"]) == ("mit", "n<1K", "CREAK with rationales")
    assert "language" not in front
    for line in (
        f"| examples | {kept} |",
        f"| written by scripted | {kept} |",
        "| source of creak | creak, split train |",
        "| licence of the source | mit |",
        "| enhance | temperature | 0.7 |",
        "| prepare, split train | 30 | 0 |",
        f"| postprocess | {kept} | {dropped} |",
        f"| gate agreement\\: cot is wrong | {dropped} |",
        f"Gate agreement: wrong {dropped}, right {kept}",
    ):
        assert line in card, line
    assert card.count("\n### ") == min(kept, 10)
    shown = {row["id"] for row in lines(tmp_path / "rationales" / "CREAK_cot.jsonl")}
    assert {name.replace("\\", "") for name in re.findall(r"^### (.*)$", card, re.M)} <= shown
    assert "sk-very" not in card and str(tmp_path) not in card
    commands = card.rpartition("```sh\n")[2].partition("\n```")[0].splitlines()
    again = [line.replace("questions", "q2").replace("rationales", "r2").replace("examples", "e2") for line in commands]
    for line in again:
        result = CliRunner().invoke(build_app([]), shlex.split(line)[1:])
        assert result.exit_code == 0, (line, result.output)
    assert [m.fingerprint for _, m in lineage(Path("e2"))] == [m.fingerprint for _, m in lineage(Path("examples"))]


def test_load_dataset_takes_what_the_card_names(tmp_path: Path):
    from datasets import load_dataset, load_from_disk

    examples(tmp_path, [" So. The answer is (A).", " Not so. The answer is (B).", " Yes. The answer is (A)."], exports=["trl", "parquet"])
    pushed = tmp_path / "pushed"
    for path in (tmp_path / "examples").rglob("*"):
        if path.is_file() and (path.name == "README.md" or path.suffix == ".arrow" or "exports" in path.parts):
            target = pushed / path.relative_to(tmp_path / "examples")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    found = load_dataset(str(pushed), cache_dir=str(tmp_path / "cache"))
    kept = load_from_disk(str(tmp_path / "examples"))
    assert list(found) == ["train"] and len(kept) == 2
    assert found["train"][:] == kept[:] and found["train"].column_names == kept.column_names


def test_text_of_a_model_stays_inside_its_fence(tmp_path: Path):
    card = examples(tmp_path, [f" {ATTACK}{n}" for n in range(3)], verify=[])
    outside = body(card)
    assert "alert(1)" in card and "alert" not in outside and "Not a heading" not in outside and "49" not in card
    assert "\x1b" not in card and "\r" not in card
    assert outside.count("\n### ") == 3 and front_matter(card)["size_categories"] == "n<1K"
    long = examples(tmp_path / "long", [" word" * 2000 + ".", " x.", " y."], verify=[])
    assert f"({len(' word' * 2000 + '.') - cards.LONGEST} more characters)" in long and len(long) < 12_000


def test_names_from_the_data_cannot_become_markup(tmp_path: Path):
    row = soups(tmp_path, 1)[0]
    name = "<img src=x onerror=alert(2)>| `x` [a](b)"
    told = {**enhanced(row, cot=" So."), "id": name, "teacher": name, "answer": "A"}
    done(tmp_path / "examples", write_lines(tmp_path / "cot.jsonl", [told]), verify=[])
    outside = body((tmp_path / "examples" / "README.md").read_text(encoding="utf-8"))
    assert "<img" not in outside.replace("\\<img", "") and "](" not in outside.replace("\\](", "").replace("\\]\\(", "")
    table = next(line for line in outside.splitlines() if line.startswith("| written by"))
    assert len(re.findall(r"(?<!\\)\|", table)) == 3


def test_secrets_and_home_folders_do_not_enter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.chdir(tmp_path)
    config = {"output": "/home/ann/x", "input": str(tmp_path / "q"), "teacher": {"name": "scripted", "model": "/home/ann/m"}, "limit": 2}
    told = """teacherlm enhance --output ~/x --input ./q --set 'teacher={"name": "scripted", "model": "~/m"}' --limit 2"""
    assert cards.command_of(Manifest("enhance", 1, "", config, {})) == told
    assert cards.public("https://ann:pass@host/v1?api_key=abc123&x=1 sk-abcdefghijk") == "https://***@host/v1?api_key=***&x=1 ***"
    recorded = Manifest("gone", 1, "", {}, {}, command="teacherlm gone --token hf_abcdefghijklmnop --set a.password=hunter2")
    assert cards.command_of(recorded) == "teacherlm gone --token *** --set a.password=***"


@pytest.mark.parametrize(
    ("stated", "front"),
    [
        ([], {}),
        (["MIT"], {"license": "mit"}),
        (["CC-BY-SA-4.0", "mit", "mit"], {"license": ["cc-by-sa-4.0", "mit"]}),
        (["Community Data License, v1"], {"license": "other", "license_name": "community-data-license-v1"}),
        (["mit", "own"], {"license": "other", "license_name": "mit-and-own"}),
    ],
)
def test_licences_are_spelled_as_the_hub_spells_them(stated: list[str], front: Row):
    assert cards.licence_fields(stated) == front


def test_sizes_have_the_hubs_names():
    assert [cards.size_category(n) for n in (1, 999, 1000, 99_999, 10_000_000)] == ["n<1K", "n<1K", "1K<n<10K", "10K<n<100K", "n>10M"]


def test_a_card_of_rows_from_elsewhere_says_what_it_knows(tmp_path: Path):
    card = examples(tmp_path, [" So.", " Yes."], verify=[], best=1)
    assert "license" not in front_matter(card) and "its source states none that is known here" in card
    own = Manifest("postprocess", 3, "", json.loads('{"verify": []}'), {})
    assert "| examples | 2 |" in dataset_card(tmp_path / "examples", own)
