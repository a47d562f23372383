"""Progress as people see it: on a real pseudo-terminal, and through a pipe."""

import os
import pty
import re
import subprocess
import sys
import time
import timeit
from fcntl import ioctl
from pathlib import Path
from struct import pack
from termios import TIOCSWINSZ

import pytest

from teacherlm.errors import UserError
from teacherlm.log import Progress, duration, progress, rate_text

WORK = """
import sys, time
from teacherlm.log import progress, say
with progress("enhance", None, "completions") as bar:
    bar.set_total(100)
    bar.skip(60)
    for number in range(40):
        time.sleep(0.03)
        bar.advance(figures={"tokens/s": str(number), "[b]cot[/b] accepted": "91%"})
        if number == 20:
            say("a line [of] one's own, " + "as long as it likes " * 8)
            print("a library's line", file=sys.stderr)
            print("a result")
"""


def in_a_terminal(program: str, columns: int = 100, **environment: str) -> str:
    """Everything that a process writes to its terminal."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, pack("HHHH", 40, columns, 0, 0))
    cleared = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**cleared, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    written = bytearray()
    while True:
        try:
            block = os.read(ours, 65536)
        except OSError:  # how Linux says that the other side is closed
            break
        if not block:
            break
        written += block
    os.close(ours)
    assert process.wait(timeout=60) == 0, written.decode()
    return written.decode()


def without_controls(written: str) -> str:
    return re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", written)


def screen(written: str, columns: int = 100) -> list[str]:
    """What stands on the terminal at the end: a small one, which knows what is needed here and refuses the rest."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]", written):
        if token == "\r":
            column = 0
        elif token == "\n":
            row += 1
        elif not token.startswith("\x1b"):
            if column == columns:
                row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
            lines[row] = lines[row].ljust(column)[:column] + token + lines[row][column + 1 :]
            column += 1
        elif token.endswith("A"):
            row = max(0, row - int(token[2:-1] or 1))
        elif token.endswith("K"):
            lines[row] = "" if token[2:-1] == "2" else lines[row][:column]
        else:
            assert token[-1] in "mhl", token
        lines += [""] * (row + 1 - len(lines))
    return [line.rstrip() for line in lines if line.strip()]


def test_on_a_terminal_a_bar_moves_and_lines_stand_above_it_unharmed() -> None:
    written = in_a_terminal(WORK)
    drawn = without_controls(written)
    assert "━" in drawn
    counts = [int(found) for found in re.findall(r"(\d+)/100 completions ", drawn)]
    assert counts == sorted(counts)
    assert 3 <= len(counts) <= 12, "about four times a second, for 1.2 seconds"
    assert re.search(r"enhance .*\d+/100 completions +[\d.]+/s +0:0\d +0:0\d left", drawn)
    assert "tokens/s 20, [b]cot[/b] accepted 91%" in drawn or "tokens/s 1" in drawn
    assert "\x1b[?25l" in written, "the cursor is hidden"
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "and comes back"
    left = screen(written)
    said = "a line [of] one's own, " + "as long as it likes " * 8
    assert "".join(left[:2]).replace(" ", "") == said.replace(" ", "")
    assert left[2:4] == ["a library's line", "a result"]
    assert re.fullmatch(r"enhance: 100/100 completions, [\d.]+/s, 0:0\d, tokens/s 39, \[b\]cot\[/b\] accepted 91%", left[4])
    assert len(left) == 5, "nothing of the drawing is left behind"


def test_results_on_stdout_stay_there_while_a_bar_is_drawn(tmp_path: Path) -> None:
    program = WORK.replace('print("a result")', 'print("a result", flush=True)')
    redirected = f"import os, sys\nos.dup2(os.open({str(tmp_path / 'out')!r}, os.O_CREAT | os.O_WRONLY), 1)\n{program}"
    assert "a result" not in in_a_terminal(redirected)
    assert (tmp_path / "out").read_text() == "a result\n"


def test_two_counters_share_the_terminal() -> None:
    program = """
import time
from teacherlm.log import progress
with progress("outer", 2, "students") as outer:
    for number in range(2):
        with progress(f"inner {number}", 0, "rows") as inner:
            time.sleep(0.6)
            inner.advance(7)
        outer.advance()
"""
    written = in_a_terminal(program, columns=60)
    assert re.search(r"outer [━╸╺]+ [^\n]*\n\rinner 1 [━╸╺]+", without_controls(written).replace("\r\n", "\n\r"))
    assert [line.split(",")[0] for line in screen(written, 60)] == ["inner 0: 7/0 rows", "inner 1: 7/0 rows", "outer: 2/2 students"]


def test_a_bug_under_a_bar_leaves_the_terminal_as_it_was() -> None:
    program = "from teacherlm.log import progress\ntry:\n with progress('x', 9, 'rows'): raise OSError\nexcept OSError: print('caught')"
    written = in_a_terminal(program)
    assert screen(written) == ["x: 0/9 rows, 0:00", "caught"]
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TERM": ""}])
def test_a_terminal_that_cannot_draw_gets_plain_lines(environment: dict[str, str]) -> None:
    written = in_a_terminal(WORK, **environment, TEACHERLM_LOG_EVERY="0.5")
    assert "\x1b" not in written
    assert "enhance: 100/100 completions" in written


def test_elsewhere_a_plain_line_every_few_seconds_and_one_at_the_end() -> None:
    environment = {**os.environ, "TEACHERLM_LOG_EVERY": "0.4"}
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout == "a result\n"
    lines = [line for line in done.stderr.splitlines() if line.startswith("enhance:")]
    assert 3 <= len(lines) <= 5, done.stderr
    found = [
        re.fullmatch(r"enhance: (\d+)/100 completions, ([\d.]+)/s, 0:0\d so far, 0:0\d left, tokens/s \d+, .*", line) for line in lines[:-1]
    ]
    assert all(found), done.stderr
    assert re.fullmatch(r"enhance: 100/100 completions, [\d.]+/s, 0:0\d, tokens/s 39, \[b\]cot\[/b\] accepted 91%", lines[-1])


def test_a_plain_line_also_comes_while_nothing_advances() -> None:
    program = "import time\nfrom teacherlm.log import progress\nwith progress('load', 5, 'rows'): time.sleep(0.5)"
    environment = {**os.environ, "TEACHERLM_LOG_EVERY": "0.2"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stderr.splitlines() == ["load: 0/5 rows, 0:00 so far", "load: 0/5 rows, 0:00 so far", "load: 0/5 rows, 0:00"]


@pytest.mark.parametrize("given", ["often", "0", "-3", "nan", "inf"])
def test_a_bad_interval_is_one_clear_line(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHERLM_LOG_EVERY", given)
    words = rf"^TEACHERLM_LOG_EVERY: expected a number of seconds above 0, such as 60, found '{given}'\.$"
    with pytest.raises(UserError, match=words), progress("x", 1, "rows"):
        pass


def test_what_was_done_before_counts_as_done_and_not_towards_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    bar = Progress("enhance", 1000, "rows")
    bar.skip(900)
    now = 110.0
    assert (bar.rate(), bar.seconds_left()) == (0, None)
    bar.advance(20)
    assert (bar.rate(), bar.seconds_left()) == (2, 40)
    assert bar.line() == "enhance: 920/1000 rows, 2.0/s, 0:10 so far, 0:40 left"
    bar.advance(80, "loss 0.2", {"retries": "3"})
    bar.advance(0, figures={"cot": "91%"})
    assert bar.line(end=True) == "enhance: 1000/1000 rows, 10.0/s, 0:10, retries 3, cot 91%, loss 0.2"


def test_counting_costs_next_to_nothing() -> None:
    bar, figures = Progress("x", 10, "rows"), {"tokens/s": "312", "cot accepted": "91%", "retries": "3"}
    assert min(timeit.repeat(lambda: bar.advance(1, "", figures), number=20000, repeat=7)) / 20000 < 5e-6


def test_what_draws_is_loaded_only_where_it_draws() -> None:
    program = "import sys\nimport teacherlm.log\nprint([m for m in sys.modules if m.split('.')[0] == 'rich'])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60).stdout.strip() == "[]"


def test_durations_and_rates_are_short() -> None:
    assert [duration(seconds) for seconds in (0.2, 60.9, 3599, 3600, 90061)] == ["0:00", "1:00", "59:59", "1:00:00", "25:01:01"]
    assert [rate_text(rate) for rate in (0, 0.01, 0.1, 3.21, 312.4)] == ["", "0.6/min", "0.1/s", "3.2/s", "312/s"]
