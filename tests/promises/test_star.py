"""The pipeline with rounds, cut down: it runs, a second time does nothing, one more round does only that, the report shows each."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PIPELINE = Path(__file__).resolve().parent.parent.parent / "pipelines/star.yaml"
SMALLER = [
    "textbook.dataset={name: word_problems, textbook: 240, practice: 200, test: 100, min_steps: 2, max_steps: 2}",
    "questions.dataset={name: word_problems, textbook: 240, practice: 200, test: 100, min_steps: 2, max_steps: 2}",
    "base.epochs=4",
    "explains.epochs=4",
    "finetune.epochs=1",
]


def star(run: Path, times: int) -> str:
    sets = [word for value in (*SMALLER, f"run_dir={run}", f"rounds.times={times}") for word in ("--set", value)]
    command = [sys.executable, "-m", "teacherlm.cli", "run", str(PIPELINE), *sets]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr


@pytest.mark.slow
def test_a_student_learns_from_itself_round_by_round(tmp_path: Path) -> None:
    run = tmp_path / "run"
    star(run, times=2)
    assert "Nothing to do: all 14 jobs are done." in star(run, times=2)
    before = {path: path.read_bytes() for path in run.glob("round-*/**/manifest.json")}
    assert len(before) == 6
    told = star(run, times=3)
    assert "18 jobs, 5 to do:\n  round 3 of 3:\n" in told
    assert {path: path.read_bytes() for path in before} == before, "no round was done again"
    teachers = [json.loads((run / f"round-{n}/enhance/tiny/manifest.json").read_text())["config"]["teacher"]["model"] for n in (1, 2, 3)]
    assert [str(Path(teacher).relative_to(run)) for teacher in teachers] == ["base/tiny", "round-1/finetune/tiny", "round-2/finetune/tiny"]
    rows = [json.loads(line) for line in next((run / "round-3/enhance/tiny").glob("*_cot.jsonl")).read_text().splitlines()]
    assert {row["hinted"] for row in rows} == {True, False}
    report = json.loads((run / "report/report.json").read_text())
    assert [row["trained_on"] for row in report["students"]] == ["explanation_head", *(f"cot_head, round {n}" for n in (1, 2, 3))]
    assert {(row["baseline"], row["n"]) for row in report["comparisons"]} == {("explanation_head", 100)}
    assert {"round-1/postprocess", "round-2/postprocess", "round-3/postprocess"} == set(report["funnel"])
