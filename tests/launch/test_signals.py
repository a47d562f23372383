"""Ctrl-C and SIGTERM, sent to real processes: what is in hand is finished, nothing is lost, the same command goes on."""

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from teacherlm.catalog import use_plugins
from teacherlm.launch.status import read_status

PLUGINS = Path(__file__).parent.parent / "plugins"
COUNT = [{"count": {"upto": 8}}, {"add": {"input": "$count"}}]


@contextmanager
def started(*words: str) -> Iterator["subprocess.Popen[str]"]:
    """A `teacherlm` in a process group of its own, as a shell starts it."""
    command = [sys.executable, "-m", "teacherlm.cli", *words, "--plugins", str(PLUGINS)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def pipeline(tmp_path: Path, steps: list) -> str:
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump({"run_dir": str(tmp_path / "run"), "steps": steps}, sort_keys=False))
    return str(path)


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def kinds(run: Path) -> dict[str, tuple[int, int, int, int]]:
    """Step -> (done, stopped, failed, to do)."""
    use_plugins([PLUGINS])
    return {row.step: (row.done, row.stopped, row.failed, row.to_do) for row in read_status(run)[0]}


def to_group(process: "subprocess.Popen[str]", number: signal.Signals, times: int) -> None:
    for _ in range(times):
        os.killpg(process.pid, number)


def to_itself(process: "subprocess.Popen[str]", number: signal.Signals, times: int) -> None:
    for _ in range(times):
        process.send_signal(number)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("send", "number", "times"),
    [
        (to_group, signal.SIGINT, 1),  # a terminal's Ctrl-C
        (to_itself, signal.SIGTERM, 1),
        (to_group, signal.SIGTERM, 2),  # as `timeout` and batch systems do it
    ],
)
def test_a_signal_lets_a_run_finish_what_is_in_hand_and_the_next_run_goes_on(
    tmp_path: Path, send: Callable[..., None], number: signal.Signals, times: int
) -> None:
    numbers = tmp_path / "run/count/numbers.txt"
    with started("run", pipeline(tmp_path, COUNT)) as process:
        wait_until(lambda: "begin 2" in text(numbers))
        send(process, number, times)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "Traceback" not in told
    assert told.count("stopping: what is in hand is finished first (count); Ctrl-C again ends it at once.\n") == 1
    assert "(1/2) count: stopped: at 2 of 8 (" in told
    assert told.splitlines()[-1] == f"teacherlm: stopped by {number.name}: 0 of 2 jobs done; the same command goes on from there."
    assert text(numbers).split("\n")[-2] == "end 2", "the number in hand was finished"
    assert kinds(tmp_path / "run") == {"count": (0, 1, 0, 0), "add": (0, 0, 0, 1)}
    with started("run", pipeline(tmp_path, COUNT[:1])) as process:
        _, told = process.communicate(timeout=30)
    assert "count: begun and not ended: it continues" in told
    assert process.returncode == 0
    assert text(numbers) == "".join(f"begin {n}\nend {n}\n" for n in range(1, 9)), "nothing was done twice"
    assert not (tmp_path / "run/.stale").exists()


@pytest.mark.slow
def test_a_second_ctrl_c_ends_a_run_at_once(tmp_path: Path) -> None:
    numbers = tmp_path / "run/count/numbers.txt"
    with started("run", pipeline(tmp_path, [{"count": {"upto": 2, "seconds": 300}}])) as process:
        wait_until(lambda: "begin 1" in text(numbers))
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(1)
        assert process.poll() is None, "the first one waits for what is in hand"
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=10)
        wait_until(lambda: not group_is_alive(process.pid))
    assert process.returncode == 130
    assert "Traceback" not in told
    assert kinds(tmp_path / "run") == {"count": (0, 1, 0, 0)}


def group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_job_that_does_not_look_out_for_signals_ends_at_the_first(tmp_path: Path, number: signal.Signals) -> None:
    steps = [{"number": {"value": 1}}, {"add": {"amount": 17}}]
    with started("run", pipeline(tmp_path, steps)) as process:
        wait_until(lambda: text(tmp_path / "run/add/pid.txt") != "")
        os.killpg(process.pid, number)
        _, told = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert "(2/2) add: stopped: add was ended by SIGTERM; the same command goes on from there.\n" in told
    assert "Traceback" not in told
    assert kinds(tmp_path / "run") == {"number": (1, 0, 0, 0), "add": (0, 1, 0, 0)}
    with started("run", pipeline(tmp_path, steps)) as process:
        assert process.wait(timeout=30) == 0


@pytest.mark.slow
def test_a_signal_while_the_workers_start_leaves_no_traceback(tmp_path: Path) -> None:
    steps = [{"count": {"matrix": {"upto": [101, 102, 103, 104]}}}]
    for delay in (0.0, 0.05, 0.1, 0.2, 0.3, 0.5):
        with started("run", pipeline(tmp_path, steps), "--jobs", "2") as process:
            assert process.stderr is not None
            lines = [process.stderr.readline() for _ in range(2)]
            time.sleep(delay)
            os.killpg(process.pid, signal.SIGINT)
            _, told = process.communicate(timeout=20)
        assert lines[0] == "4 jobs, 4 to do:\n"
        assert "Traceback" not in told
        assert process.returncode == 130, told


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("words", "file"), [(("count",), "numbers.txt"), (("add", "--amount", "17"), "pid.txt")])
def test_a_stage_called_by_hand_ends_in_one_line_and_goes_on(
    tmp_path: Path, words: tuple[str, ...], file: str, number: signal.Signals
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/number.txt").write_text("1")
    more = ("--input", str(tmp_path / "in")) if words[0] == "add" else ()
    call = (*words, *more, "--output", str(tmp_path / "out"))
    with started(*call) as process:
        wait_until(lambda: text(tmp_path / "out" / file) != "")
        for _ in range(2 if words[0] == "count" else 1):  # `timeout` sends its signal twice
            os.killpg(process.pid, number)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    expected = "at 1 of 8 (" if words[0] == "count" else f"add was ended by {number.name}; the same command goes on from there."
    assert told.startswith(f"teacherlm: {expected}")
    assert told.count("\n") == 1
    with started(*call) as process:
        _, told = process.communicate(timeout=20)
    assert (process.returncode, told) == (0, "")


def test_a_job_that_stops_by_itself_ends_the_run_with_its_exit_code_and_holds_up_what_needs_it(tmp_path: Path) -> None:
    """As a cap does: nobody has sent `run` a signal."""
    numbers = tmp_path / "run/count/numbers.txt"
    steps = [*COUNT, {"number": {"value": 3}}]
    with started("run", pipeline(tmp_path, steps)) as process:
        wait_until(lambda: "begin 2" in text(numbers))
        [worker] = [pid for pid in children(process.pid) if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
        os.kill(worker, signal.SIGTERM)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    assert "add: not started: it needs count, which was stopped" in told
    assert kinds(tmp_path / "run") == {"count": (0, 1, 0, 0), "add": (0, 0, 0, 1), "number": (1, 0, 0, 0)}
    assert read_status(tmp_path / "run")[1]["count"] == "stopped: at 2 of 8 (SIGTERM)"


def test_ctrl_c_typed_in_a_terminal_takes_the_live_view_down(tmp_path: Path) -> None:
    row = {"id": "1", "text": "Q: Is 1 odd?", "cot_text": "Q: Is 1 odd? A: The answer is 1."}
    (tmp_path / "ODD.jsonl").write_text("".join(json.dumps({**row, "id": str(n), "cot_text": f"Q: {n}?"}) + "\n" for n in range(500)))
    words = ["enhance", "--input", str(tmp_path / "ODD.jsonl"), "--output", str(tmp_path / "out"), "--kinds", "cot"]
    words += ["--teacher", "{name: scripted, delay: 0.02}"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "teacherlm.cli", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    written = b""
    while not re.search(rb"[1-9]\d*/500", written):
        written += os.read(ours, 4096)
    os.write(ours, b"\x03")
    try:
        while block := os.read(ours, 4096):
            written += block
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    assert process.wait(timeout=10) == 130
    assert "━".encode() in written
    assert written.rindex(b"\x1b[?25h") > written.rindex(b"\x1b[?25l"), "the cursor is back"
    assert b"Traceback" not in written
    assert written.decode().splitlines()[-1].startswith("teacherlm: "), written.decode()[-500:]


def keys(run: Path) -> list[str]:
    segments = (run / "enhance/ledger").glob("*.jsonl")
    return [json.loads(line)["key"] for segment in segments for line in segment.read_bytes().split(b"\n")[:-1]]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_teacher_that_is_stopped_asks_nothing_twice_and_writes_the_same_file(tmp_path: Path, number: signal.Signals) -> None:
    rows = [{"id": str(n), "cot_text": f"Q: Is {n} odd? A: The answer is {n % 2}. Let's think step by step."} for n in range(120)]
    (tmp_path / "ODD.jsonl").write_text("".join(json.dumps({**row, "text": row["cot_text"][:40]}) + "\n" for row in rows))
    run, whole = tmp_path / "run", tmp_path / "whole"
    settings = {"input": str(tmp_path / "ODD.jsonl"), "kinds": ["cot"], "teacher": {"name": "scripted", "delay": 0.02}}
    with started("run", pipeline(tmp_path, [{"enhance": settings}])) as process:
        wait_until(lambda: len(keys(run)) > 8)
        os.killpg(process.pid, number)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 128 + number, told
    assert 8 < len(keys(run)) < 120
    assert kinds(run) == {"enhance": (0, 1, 0, 0)}
    with started("run", pipeline(tmp_path, [{"enhance": settings}])) as process:
        assert process.wait(timeout=30) == 0
    assert len(keys(run)) == len(set(keys(run))) == 120
    with started(
        "run", pipeline(tmp_path, [{"enhance": settings}]), "--set", f"run_dir={whole}", "--set", "enhance.teacher.delay=0"
    ) as process:
        assert process.wait(timeout=30) == 0
    assert (run / "enhance/ODD_cot.jsonl").read_bytes() == (whole / "enhance/ODD_cot.jsonl").read_bytes()


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
