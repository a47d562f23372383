"""What the quickstart claims, from its own report: nothing in it is fixed beforehand."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def run_quickstart(run: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "teacherlm.cli", "run", "--jobs", "2", "--set", f"run_dir={run}", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2400)
    assert done.returncode == 0, done.stderr[-4000:]
    return done


def claims(run: Path) -> dict[str, Any]:
    """Checks the report of a quickstart run and returns the comparison with the best rationale student."""
    report = json.loads((run / "report/report.json").read_text())
    assert {(row["trained_on"], row["seed"]) for row in report["rows"]} == {
        (t, s) for t in ("text", "cot_tail", "cot_head") for s in (0, 1)
    }
    best = max((c for c in report["comparisons"] if c["metric"] == "acc"), key=lambda c: c["difference"])
    assert best["baseline"] == "text"
    assert best["difference"] >= 0.20
    assert best["ci_low"] > 0
    assert best["n"] >= 400
    return dict(best)


def trained_tokens(run: Path, train_on: str, seed: int) -> int:
    return int(json.loads((run / f"students/{train_on}-{seed}/manifest.json").read_text())["metrics"]["trained_tokens"])


def last_loss(run: Path, train_on: str, seed: int) -> float:
    return float((run / f"students/{train_on}-{seed}/metrics.jsonl").read_text().splitlines()[-1].split('"loss":')[1].split(",")[0])


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_quickstart_shows_what_rationales_do_and_a_second_run_does_nothing(tmp_path: Path) -> None:
    run_quickstart(tmp_path / "run")
    claims(tmp_path / "run")
    for seed in (0, 1):
        assert last_loss(tmp_path / "run", "text", seed) < 0.02, "the label-only student is trained to convergence"
        for rationale in ("cot_tail", "cot_head"):
            assert trained_tokens(tmp_path / "run", "text", seed) >= trained_tokens(tmp_path / "run", rationale, seed)
    funnel = json.loads((tmp_path / "run/postprocess/manifest.json").read_text())["counts"]
    assert funnel["in"] == funnel["out"] + funnel["dropped"]
    assert "Nothing to do" in run_quickstart(tmp_path / "run").stderr


@pytest.mark.long
@pytest.mark.timeout(2700)
def test_another_seed_gives_other_numbers_and_the_same_conclusion(tmp_path: Path) -> None:
    run_quickstart(tmp_path / "three", "--set", "seed=3")
    run_quickstart(tmp_path / "four", "--set", "seed=4")
    assert claims(tmp_path / "three")["difference"] != claims(tmp_path / "four")["difference"]
