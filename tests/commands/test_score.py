"""`teacherlm score`, `import` and `export` from the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

Row = dict[str, Any]


def teacherlm(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "teacherlm.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def scored(*words: str | Path) -> Row:
    done = teacherlm("score", *words, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found: Row = json.loads(done.stdout)
    return found


def write(path: Path, *rows: Row) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def shares(found: Row) -> tuple[Any, ...]:
    return tuple(found[key] for key in ("n", "accuracy", "contains_answer", "correct_format", "complete"))


ROWS = (
    {"completion": " 3 + 4 = 7 --> 7", "answer": "7.0", "finish_reason": "stop"},
    {"completion": " 1,000 --> 8 or 1000", "answer": 1000, "finish_reason": "stop"},
    {"completion": " 3 and 5", "answer": "5", "finish_reason": "length"},
    {"completion": "", "answer": "5", "finish_reason": "stop"},
)


def test_lines_are_scored_by_a_rule_and_a_prefix(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", *ROWS)
    assert shares(scored(path, "--rule", "multiarith", "--template", "ft_cot_token")) == (4, 0.5, 0.75, 0.5, 0.75)
    assert shares(scored(path, "--rule", "multiarith", "--prefix", "-->")) == (4, 0.5, 0.75, 0.5, 0.75)
    assert shares(scored(path, "--rule", "multiarith")) == (4, 0.25, 0.75, 1.0, 0.75)
    table = teacherlm("score", path, "--rule", "gsm8k").stdout.splitlines()
    assert table[0].split() == ["file", "rule", "n", "accuracy", "contains_answer", "correct_format", "complete"]
    assert table[1].split() == [str(path), "gsm8k", "4", "0.25000", "0.75000", "1.00000", "0.75000"]


def test_other_keys_and_the_rows_own_rules_are_read(tmp_path: Path) -> None:
    rows = [
        {"cot": f" So. The answer is {said}.", "gold": "A", "answer_rule": "letter", "choices": ["True", "False"]} for said in ("True", "B")
    ]
    found = scored(write(tmp_path / "x.jsonl", *rows), "--completion-key", "cot", "--gold-key", "gold")
    assert (found["rule"], shares(found)) == ("letter", (2, 0.5, 0.5, 1.0, None))


def completions(template: str | None, *samples: Row, key: str = "coin_flip") -> Row:
    metadata = {"base_model": "curie", "dataset_key": key, "completion_key": "c", "train_key": None, "epoch": None}
    data = {str(n): [{"sample_index": n, "completion_index": 0, **one}] for n, one in enumerate(samples)}
    return {"metadata": {**metadata, "prediction_template": template}, "data": data}


def test_completion_files_and_folders_of_them_say_their_rule_and_prefix(tmp_path: Path) -> None:
    folder = tmp_path / "B_curie__C_c"
    folder.mkdir()
    right = {"completion": "no. --> yes", "answer": "yes", "finish_reason": "stop"}
    wrong = {"completion": "no or yes", "answer": "no", "finish_reason": "length"}
    (folder / "D_coin_flip.json").write_text(json.dumps(completions("ft_cot_token", right, wrong)))
    assert shares(scored(folder / "D_coin_flip.json")) == (2, 0.5, 1.0, 0.5, 0.5)
    three = completions(None, {"completion": " 3.", "answer": "3.0"}, key="svamp")
    (folder / "D_svamp.json").write_text(json.dumps(three))
    (folder / "notes.json").write_text("{}")
    both = scored(tmp_path)
    assert shares(both)[:2] == (3, pytest.approx(2 / 3))
    assert [(Path(one["file"]).name, one["rule"], one["accuracy"]) for one in both["files"]] == [
        *(("D_coin_flip.json", "coin_flip", 0.5), ("D_svamp.json", "svamp", 1.0)),
    ]
    assert teacherlm("score", tmp_path, "--format", "files").stdout.splitlines()[-1].split()[:2] == ["all", "3"]
    assert teacherlm("score", tmp_path).stdout.splitlines() == [
        "base model  completions  trained on   SVAMP   Coin",
        "random                                 0.00  50.00",
        "curie       c                        100.00  50.00",
    ]
    (folder / "D_svamp.json").write_text(json.dumps(completions(None, right)))
    refused = teacherlm("score", folder)
    assert refused.returncode == 2 and "metadata key 'dataset_key' is 'coin_flip', its path says 'svamp'" in refused.stderr


@pytest.mark.parametrize(
    ("line", "words", "said"),
    [
        ('{"completion": "a"}', ("--rule", "aqua"), "x.jsonl:2: column 'answer' is missing (found: completion)."),
        (
            '{"completion": null, "answer": "1"}',
            ("--rule", "aqua"),
            "x.jsonl:2: key 'completion': expected a text or a number, found None.",
        ),
        ('{"completion": "1", "answer": [1]}', ("--rule", "aqua"), "x.jsonl:2: key 'answer': expected a text or a number, found [1]."),
        ("{oops", ("--rule", "aqua"), "x.jsonl:2: not valid JSON"),
        ("[1]", ("--rule", "aqua"), "x.jsonl:2: expected a JSON object, found list."),
        ('{"completion": "1", "answer": "1", "finish_reason": 3}', ("--rule", "aqua"), "x.jsonl:2: key 'finish_reason': expected a text"),
        ("", (), "x.jsonl:1: nothing says which rule finds the answer; give one with --rule: addsub, aqua,"),
        ("", ("--rule", "multiarit"), "No answer rule named 'multiarit'. Did you mean 'multiarith'?"),
        ("", ("--rule", "aqua", "--template", "ft"), "No template of prediction named 'ft'."),
        ("", ("--rule", "aqua", "--template", "zs", "--prefix", "x"), "--prefix and --template say the same thing"),
    ],
)
def test_what_cannot_be_scored_is_one_clear_line(tmp_path: Path, line: str, words: tuple[str, ...], said: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f'{{"completion": "A", "answer": "A"}}\n{line}\n')
    refused = teacherlm("score", path, *words)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert said in refused.stderr and refused.stderr.count("\n") == 1


def test_a_missing_or_empty_source_is_refused(tmp_path: Path) -> None:
    assert "no such file or folder" in teacherlm("score", tmp_path / "x", "--rule", "aqua").stderr
    assert "holds neither a .jsonl nor a completion file" in teacherlm("score", tmp_path, "--rule", "aqua").stderr
    (tmp_path / "x.jsonl").touch()
    assert "the file has no rows" in teacherlm("score", tmp_path / "x.jsonl", "--rule", "aqua").stderr


@pytest.mark.real
@pytest.mark.slow
def test_the_published_accuracies_come_out_of_the_command_line(test_data: Path, tmp_path: Path) -> None:
    published = {"multiarith": (600, 78.667), "aqua": (254, 33.465), "coin_flip": (500, 91.4), "date_understanding": (369, 67.480)}
    logs = test_data / "data" / "zero_shot_cot" / "log"
    for name, (rows, percent) in published.items():
        output = tmp_path / f"{name}.jsonl"
        done = teacherlm("import", "zero_shot_cot", logs / f"{name}_zero_shot_cot.log", "--output", output)
        assert (done.returncode, done.stdout) == (0, "") and f"{rows} rows" in done.stderr
        for found in (scored(output), scored(output, "--rule", name)):
            assert (found["n"], round(found["accuracy"] * 100, 3)) == (rows, percent)

    for form, line in (
        ("table", "gpt3-xl     zs_cot                   78.67  33.46  67.48  91.40"),
        ("markdown", "| gpt3-xl | zs_cot |  | 78.67 | 33.46 | 67.48 | 91.40 |"),
    ):
        done = teacherlm("score", logs, "--format", form)
        assert (done.returncode, done.stderr) == (0, "") and line in done.stdout.splitlines()


@pytest.mark.slow
def test_completions_travel_through_import_and_export(tmp_path: Path) -> None:
    one = {"question": "Is it?", "answer": "yes", "prompt": "p", "completion": " Yes.", "finish_reason": "stop"}
    two = {**one, "reasoning_prompt": "Q: Is it?\nA: Let's think step by step.", "reasoning_completion": " It is."}
    source = tmp_path / "saved/B_curie__C_c/D_coin_flip.json"
    source.parent.mkdir(parents=True)
    source.write_text(json.dumps(completions("zs_cot", two)))
    assert teacherlm("import", "finetune_cot", source, "-o", tmp_path / "x.jsonl").returncode == 0
    done = teacherlm("export", "finetune_cot", tmp_path / "x.jsonl", "-o", tmp_path / "again", "--base-model", "ada")
    assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / "again/B_ada__C_c/D_coin_flip.json").read_text())
    assert again["data"] == completions("zs_cot", two)["data"] and again["metadata"]["base_model"] == "ada"
    assert scored(tmp_path / "again")["accuracy"] == 1.0
    words = ("-o", tmp_path / "f.jsonl", "--template", "ft_cot_token")
    assert teacherlm("export", "prompt_completion", tmp_path / "x.jsonl", *words).returncode == 0
    assert (tmp_path / "f.jsonl").read_text() == '{"prompt": "Is it? ###", "completion": " It is. --> yes END"}'
    refused = teacherlm("export", "prompt_completion", tmp_path / "x.jsonl", *words, "--stop-phrase", "")
    assert refused.returncode == 2 and "--overwrite" in refused.stderr
