"""Pipelines run here: real worker processes, stages of the tests' own plugin folder."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from teacherlm.errors import UserError
from teacherlm.launch.local import Failure, holding
from teacherlm.launch.run import run_pipeline
from teacherlm.launch.status import read_status
from teacherlm.store.manifest import lineage, read_manifest

PLUGINS = Path(__file__).parent.parent / "plugins"
CHAIN = [{"number": {"matrix": {"value": [1, 2]}}}, {"add": {"amount": 10}}, {"total": {}}]


def run(tmp_path: Path, *assignments: str, steps: list | None = None, workers: int = 1, **options: object) -> dict[str, Failure]:
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump({"run_dir": str(tmp_path / "run"), "steps": steps or CHAIN}, sort_keys=False))
    arguments = {"dry_run": False, "only": [], **options}
    return run_pipeline(str(path), list(assignments), [PLUGINS], workers=workers, **arguments)  # type: ignore[arg-type]


def calls(tmp_path: Path) -> list[str]:
    path = tmp_path / "run" / "number" / "calls.txt"
    return path.read_text().split() if path.exists() else []


def test_a_chain_runs_and_leaves_a_manifest_for_each_job(tmp_path: Path) -> None:
    assert run(tmp_path, workers=2) == {}
    assert (tmp_path / "run/total/number.txt").read_text() == "23"
    manifest = read_manifest(tmp_path / "run/add/1")
    assert manifest is not None
    assert (manifest.entry, manifest.counts, manifest.metrics) == ({"value": "1"}, {"rows": 1}, {"total": 11})
    assert [path.name for path, _ in lineage(tmp_path / "run/total")] == ["total", "1", "2", "1", "2"]


def test_a_second_run_does_nothing_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path)
    capsys.readouterr()
    run(tmp_path)
    assert "Nothing to do: all 5 jobs are done." in capsys.readouterr().err
    assert calls(tmp_path) == ["1", "2"]


def test_a_dry_run_says_what_and_why_and_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, dry_run=True)
    assert "add/1: not there yet" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_only_what_changed_is_redone_and_the_old_output_is_kept_aside(tmp_path: Path) -> None:
    run(tmp_path)
    kept = tmp_path / "run/add/1/kept/ledger.txt"
    kept.parent.mkdir()
    kept.write_text("still valid")
    run(tmp_path, "add.amount=20")
    assert (tmp_path / "run/total/number.txt").read_text() == "43"
    assert calls(tmp_path) == ["1", "2"]
    assert kept.read_text() == "still valid"
    assert len(list((tmp_path / "run/add/.stale").glob("1-*/1/number.txt"))) == 1


@pytest.mark.slow
def test_a_changed_seed_of_the_run_redoes_what_uses_it(tmp_path: Path) -> None:
    run(tmp_path)
    run(tmp_path, "seed=5")
    assert (tmp_path / "run/total/number.txt").read_text() == "33"


def test_only_a_named_step(tmp_path: Path) -> None:
    run(tmp_path, only=["number"])
    assert not (tmp_path / "run/add").exists()
    with pytest.raises(UserError, match=r"No step named 'totl'. Did you mean 'total'"):
        run(tmp_path, only=["totl"])


def test_shards_run_before_the_whole(tmp_path: Path) -> None:
    run(tmp_path, steps=[{"number": {"value": 1}}, {"add": {"shards": 3}}], workers=2)
    assert (tmp_path / "run/add/number.txt").read_text() == "2"
    assert sorted(p.name for p in (tmp_path / "run/add/shards").iterdir()) == ["0-of-3", "1-of-3", "2-of-3"]
    run(tmp_path, steps=[{"number": {"value": 1}}, {"add": {"shards": 2}}])
    assert sorted(p.name for p in (tmp_path / "run/add/shards").iterdir()) == ["0-of-3", "1-of-3", "2-of-3"]


@pytest.mark.parametrize(
    ("amount", "words"), [(13, "thirteen is not added"), (14, "RuntimeError: a bug (traceback in"), (15, "its process was killed")]
)
def test_a_job_that_fails_stops_only_what_needs_it(tmp_path: Path, amount: int, words: str) -> None:
    steps = [{"number": {"value": 1}}, {"add": {"matrix": {"amount": [amount, 1]}}}, {"total": {}}]
    failures = run(tmp_path, steps=steps)
    assert words in failures[f"add/{amount}"].message
    assert failures[f"add/{amount}"].by_user is (amount == 13)
    assert failures["total"].message == f"not started: it needs add/{amount}, which failed"
    assert (tmp_path / "run/add/1/number.txt").read_text() == "2"
    status, problems = read_status(tmp_path / "run")
    assert [(row.step, row.done, row.failed) for row in status] == [("number", 1, 0), ("add", 1, 1), ("total", 0, 1)]
    assert problems == {label: failure.message for label, failure in failures.items()}
    if amount == 14:
        assert "Traceback" in (tmp_path / "run/logs/add/14.log").read_text()


def test_a_run_that_is_being_worked_on_is_refused(tmp_path: Path) -> None:
    with holding(tmp_path / "run"), pytest.raises(UserError, match="another `teacherlm run` is at work"):
        run(tmp_path)


@pytest.mark.slow
def test_workers_end_when_the_run_is_killed_and_the_next_run_goes_on(tmp_path: Path) -> None:
    steps = [{"number": {"value": 1}}, {"add": {"amount": 16}}]
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({"run_dir": str(tmp_path / "run"), "steps": steps}, sort_keys=False))
    command = [sys.executable, "-m", "teacherlm.cli", "run", str(tmp_path / "p.yaml"), "--plugins", str(PLUGINS)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        pid_file = tmp_path / "run/add/pid.txt"
        assert wait_until(lambda: pid_file.is_file() and pid_file.read_text() != "")
        status, _ = read_status(tmp_path / "run")
        assert [(row.step, row.done, row.running) for row in status] == [("number", 1, 0), ("add", 0, 1)]
        process.kill()
    assert wait_until(lambda: not Path(f"/proc/{pid_file.read_text()}").exists())
    assert run(tmp_path, "add.amount=2", steps=steps) == {}


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.1)
    return holds()


def test_the_job_file_is_the_whole_config(tmp_path: Path) -> None:
    run(tmp_path)
    manifest = read_manifest(tmp_path / "run/add/2")
    assert manifest is not None
    job = json.loads((tmp_path / "run/jobs" / f"{manifest.fingerprint}.json").read_text())
    assert job["config"]["amount"] == 10
    assert job["config"]["input"] == str(tmp_path / "run/number/2")


@pytest.mark.parametrize(("amount", "code"), [(1, 0), (13, 2), (14, 1)])
def test_the_exit_code_tells_what_the_user_can_mend_from_a_bug(tmp_path: Path, amount: int, code: int) -> None:
    steps = [{"number": {"value": 1}}, {"add": {"amount": amount}}, {"total": {}}]
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({"run_dir": str(tmp_path / "run"), "steps": steps}, sort_keys=False))
    command = [sys.executable, "-m", "teacherlm.cli", "run", str(tmp_path / "p.yaml"), "--plugins", str(PLUGINS)]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == code


ROUNDS = [
    {"number": {"value": 1}},
    {"rounds": {"times": 2, "start": {"tune": "$number"}, "steps": [{"add": {"input": "$tune"}}, {"add": {"name": "tune", "amount": 10}}]}},
    {"total": {"input": "$tune@all"}},
]


def test_rounds_run_one_after_another_and_raising_their_number_does_only_the_new_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, steps=ROUNDS) == {}
    assert (tmp_path / "run/round-2/tune/number.txt").read_text() == "23"
    assert (tmp_path / "run/total/number.txt").read_text() == "35"
    manifest = read_manifest(tmp_path / "run/round-2/add")
    assert manifest is not None
    assert manifest.entry == {"round": "2"}
    status, _ = read_status(tmp_path / "run")
    assert [(row.step, row.done) for row in status][1:4] == [("round-1/add", 1), ("round-1/tune", 1), ("round-2/add", 1)]
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("round-[12]/*/manifest.json")}
    capsys.readouterr()
    assert run(tmp_path, "rounds.times=3", steps=ROUNDS) == {}
    assert capsys.readouterr().err.splitlines()[:5] == [
        "8 jobs, 3 to do:",
        "  round 3 of 3:",
        "    round-3/add: not there yet (reads round-2/tune)",
        "    round-3/tune: not there yet (reads round-3/add)",
        "  total: its settings or inputs have changed",
    ]
    assert (tmp_path / "run/total/number.txt").read_text() == "69"
    assert {path: path.stat().st_mtime_ns for path in times} == times


@pytest.mark.parametrize(("only", "done"), [("tune", []), ("add", ["round-1/add"]), ("round-1", ["round-1/add", "round-1/tune"])])
def test_only_a_step_of_all_rounds_or_a_whole_round(tmp_path: Path, only: str, done: list[str]) -> None:
    run(tmp_path, steps=ROUNDS, only=["number"])
    run(tmp_path, steps=ROUNDS, only=[only])
    folders = [path.parent for path in sorted((tmp_path / "run").glob("round-*/*/manifest.json"))]
    assert [str(path.relative_to(tmp_path / "run")) for path in folders] == done


def test_only_one_step_of_one_round(tmp_path: Path) -> None:
    run(tmp_path, steps=ROUNDS)
    run(tmp_path, "tune.amount=20", steps=ROUNDS, only=["round-1/tune"])
    assert (tmp_path / "run/round-1/tune/number.txt").read_text() == "22"
    assert (tmp_path / "run/round-2/add/number.txt").read_text() == "13"
