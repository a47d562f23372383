"""Pipelines on a real Slurm of two nodes: the same as `run`, and what happens when jobs fail, are cancelled, or are too many."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from slurm_cluster import MAX_ARRAY, Cluster

from teacherlm.errors import UserError
from teacherlm.launch.cancel import cancel_run
from teacherlm.launch.local import Failure
from teacherlm.launch.records import read_submitted
from teacherlm.launch.run import run_pipeline
from teacherlm.launch.status import StepStatus, read_status
from teacherlm.launch.submit import submit_pipeline
from teacherlm.store.manifest import read_manifest

PLUGINS = Path(__file__).parent.parent / "plugins"
CHAIN = [{"number": {"matrix": {"value": [1, 2]}}}, {"add": {"amount": 10, "shards": 2}}, {"total": {}}]
pytestmark = [pytest.mark.real, pytest.mark.slow]


def write(folder: Path, steps: list[Any] = CHAIN, run: str = "run", **more: Any) -> str:
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump({"run_dir": str(folder / run), "steps": steps, **more}, sort_keys=False))
    return str(path)


def submit(file: str, *assignments: str) -> list[str]:
    return submit_pipeline(file, list(assignments), [PLUGINS], dry_run=False)


def run_here(file: str, *assignments: str) -> dict[str, Failure]:
    return run_pipeline(file, list(assignments), [PLUGINS], dry_run=False, workers=1, only=[])


def status(run_dir: Path) -> tuple[dict[str, StepStatus], dict[str, str]]:
    rows, problems = read_status(run_dir)
    return {row.step: row for row in rows}, problems


def outputs(run_dir: Path) -> dict[str, str]:
    return {str(path.relative_to(run_dir)): path.read_text() for path in sorted(run_dir.rglob("number.txt"))}


def logs_of(run_dir: Path) -> str:
    return "\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted((run_dir / "slurm/logs").iterdir()))


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def test_submit_gives_what_run_gives_and_a_second_submit_does_nothing(
    slurm: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = submit(write(tmp_path))
    slurm.wait_idle()
    (tmp_path / "here").mkdir()
    assert run_here(write(tmp_path / "here")) == {}
    assert outputs(tmp_path / "run") == outputs(tmp_path / "here/run"), logs_of(tmp_path / "run")
    assert len(numbers) == 4, "number, the shards of add, add, total"
    steps, problems = status(tmp_path / "run")
    assert {step: (row.jobs, row.done) for step, row in steps.items()} == {"number": (2, 2), "add": (6, 6), "total": (1, 1)}
    assert problems == {}
    capsys.readouterr()
    assert submit(write(tmp_path)) == []
    assert "Nothing to do: all 9 jobs are done." in capsys.readouterr().err
    assert run_here(write(tmp_path)) == {}


def test_a_failed_job_stops_only_what_needs_it_each_with_one_line_that_names_it(slurm: Cluster, tmp_path: Path) -> None:
    steps = [
        {"number": {"value": 1}},
        {"add": {"matrix": {"amount": [13, 14, 15, 1]}}},
        {"total": {}},
        {"total": {"name": "sum", "input": "$total"}},
    ]
    file = write(tmp_path, steps)
    submit(file)
    slurm.wait_idle()
    rows, problems = status(tmp_path / "run")
    assert {step: (row.done, row.failed) for step, row in rows.items()} == {"number": (1, 0), "add": (1, 3), "total": (0, 1), "sum": (0, 1)}
    assert problems["add/13"] == "thirteen is not added"
    assert problems["add/14"] == "RuntimeError: a bug"
    assert "killed" in problems["add/15"].lower() or "failed" in problems["add/15"], problems
    assert problems["total"] == problems["sum"] == "not started: it needs add/13, which failed"
    [log] = [path for path in (tmp_path / "run/slurm/logs").iterdir() if "total (job" in path.read_text()]
    assert log.read_text().splitlines()[1:] == ["teacherlm: not started: it needs add/13, which failed"]
    submit(file, "add.matrix.amount=[1]")
    slurm.wait_idle()
    assert (tmp_path / "run/sum/number.txt").read_text() == "2"
    assert status(tmp_path / "run")[1] == {}


def test_more_jobs_than_an_array_may_have_are_split(slurm: Cluster, tmp_path: Path) -> None:
    count = MAX_ARRAY + 2
    numbers = submit(write(tmp_path, [{"number": {"matrix": {"value": list(range(count))}}}, {"total": {}}]))
    slurm.wait_idle(120)
    assert len(numbers) == 3
    assert [len(record.labels) for record in read_submitted(tmp_path / "run")] == [MAX_ARRAY, 2, 1]
    assert (tmp_path / "run/total/number.txt").read_text() == str(sum(range(count))), logs_of(tmp_path / "run")


SLOW = [{"number": {"value": 1}}, {"count": {"matrix": {"upto": [200, 201]}, "seconds": 0.2}}]


def test_cancelled_in_the_middle_and_submitted_again(slurm: Cluster, tmp_path: Path) -> None:
    file = write(tmp_path, SLOW)
    submit(file)
    texts = [tmp_path / f"run/count/{upto}/numbers.txt" for upto in (200, 201)]
    wait_until(lambda: all(text.is_file() and "end 2" in text.read_text() for text in texts))
    rows, _ = status(tmp_path / "run")
    assert rows["count"].running == 2
    with pytest.raises(UserError, match=r"jobs are queued or running on Slurm \(count/200, count/201\)"):
        run_here(file)
    assert submit(file) == [], "what runs is not submitted twice"
    with pytest.raises(UserError, match=r"has changed, and jobs of the old one are queued or running \(count/201\)"):
        submit(file, "count.matrix.upto=[200, 5]")
    assert {job.label for job in cancel_run(tmp_path / "run")} == {"count/200", "count/201"}
    slurm.wait_idle()
    assert cancel_run(tmp_path / "run") == []
    rows, problems = status(tmp_path / "run")
    assert (rows["count"].stopped, rows["count"].failed) == (2, 0)
    assert problems["count/200"].startswith("stopped: at ")
    submit(file, "count.seconds=0")
    slurm.wait_idle()
    assert all(text.read_text().count("begin") == text.read_text().count("end") for text in texts), "what was in hand was finished"
    assert status(tmp_path / "run")[0]["count"].done == 2


def test_jobs_that_wait_are_waited_for_by_what_is_submitted_later(slurm: Cluster, tmp_path: Path) -> None:
    file = write(tmp_path, [{"count": {"upto": 3}}])
    submit(file)
    more = write(tmp_path, [{"count": {"upto": 3}}, {"number": {"value": 4}}, {"add": {"input": "$number", "inner": {"model": "$number"}}}])
    assert len(submit(more)) == 2
    slurm.wait_idle()
    assert (tmp_path / "run/add/number.txt").read_text() == "9"


HOSTILE = 'it\'s $(touch pwned) `touch pwned` "x"; touch pwned %j\n&'


def test_names_and_folders_with_shell_characters_are_only_names(slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    step = HOSTILE.replace("$", "").replace("/", "")
    path = tmp_path / "pipeline.yaml"
    steps = [{"number": {"name": step, "value": 1}}, {"add": {"matrix": {"amount": [2, 3]}}}, {"total": {}}]
    path.write_text(yaml.safe_dump({"run_dir": str(tmp_path / HOSTILE), "steps": steps}, sort_keys=False))
    submit(str(path))
    slurm.wait_idle()
    assert (tmp_path / HOSTILE / "total/number.txt").read_text() == "7"
    assert not list(tmp_path.rglob("pwned"))
    assert len(list((tmp_path / HOSTILE / "slurm/logs").iterdir())) == 4


def test_logs_of_a_step_and_of_one_job(slurm: Cluster, tmp_path: Path) -> None:
    submit(write(tmp_path))
    slurm.wait_idle()
    shown = subprocess.run([sys.executable, "-m", "teacherlm.cli", "logs", str(tmp_path / "run"), "number"], capture_output=True, text=True)
    assert [line.partition(":")[0] for line in shown.stdout.splitlines() if line.startswith("==")] == ["== number/1", "== number/2"]
    one = subprocess.run(
        [sys.executable, "-m", "teacherlm.cli", "logs", str(tmp_path / "run"), "add", "2/1-of-2"], capture_output=True, text=True
    )
    assert one.stdout.startswith("add/2/1-of-2 (job ")
    none = subprocess.run(
        [sys.executable, "-m", "teacherlm.cli", "logs", str(tmp_path / "run"), "add", "3"], capture_output=True, text=True
    )
    assert (none.returncode, none.stderr.startswith("teacherlm: No job of add named '3'.")) == (2, True)


def test_a_job_over_two_nodes_is_one_process_on_each(slurm: Cluster, tmp_path: Path) -> None:
    loopback = ["export GLOO_SOCKET_IFNAME=lo"]
    submit(write(tmp_path, [{"meet": {"value": 5, "slurm": {"nodes": 2, "setup": loopback}}}]))
    slurm.wait_idle(90)
    assert (tmp_path / "run/meet/number.txt").read_text() == "10", logs_of(tmp_path / "run")
    manifest = read_manifest(tmp_path / "run/meet")
    assert manifest is not None
    assert manifest.facts == {"hosts": "2"}


def test_shards_that_were_cancelled_are_done_by_the_next_submit_and_no_others(slurm: Cluster, tmp_path: Path) -> None:
    rows = [
        {"id": f"q{n}", "prompt": f"Q: {n}? A:", "cot_text": f"Q: {n}? A: The answer is ({n}). Let's think step by step."}
        for n in range(64)
    ]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    teacher = {"name": "scripted", "delay": 0.1}
    enhance = {"input": str(tmp_path / "questions.jsonl"), "kinds": ["cot"], "teacher": teacher, "shards": 16, "slurm": {"throttle": 6}}
    file = write(tmp_path, [{"enhance": enhance}])
    shards, whole = submit(file)
    slurm.ask("scancel", f"{shards}_3", f"{shards}_15")
    slurm.ask("scancel", whole)
    slurm.wait_idle(90)
    status_, problems = status(tmp_path / "run")
    assert status_["enhance"].done == 14, logs_of(tmp_path / "run")
    assert set(problems) == {"enhance/3-of-16", "enhance/15-of-16", "enhance"}
    assert problems["enhance/15-of-16"].startswith("cancelled")
    assert len(submit(file)) == 2
    assert read_submitted(tmp_path / "run")[-2].labels == ("enhance/3-of-16", "enhance/15-of-16")
    slurm.wait_idle(90)
    alone = write(tmp_path, [{"enhance": {**enhance, "shards": 1}}], run="alone")
    assert run_here(alone) == {}
    name = "enhance/questions_cot.jsonl"
    assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    requests = [json.loads(line)["key"] for path in (tmp_path / "run/enhance/ledger").rglob("*.jsonl") for line in path.open()]
    assert len(requests) == len(set(requests)) == 64, "nothing was asked twice"
