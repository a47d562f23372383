"""Which line of a log says how a job ended, and how long it still takes."""

from pathlib import Path

import pytest

from teacherlm.launch.logs import last_words, read_tail, seconds_left


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "enhance: 3 rows\nteacherlm: CREAK.jsonl:7: column 'x' is missing\nsrun: error: n1: task 0: Exited with exit code 2\n",
            "CREAK.jsonl:7: column 'x' is missing",
        ),
        (
            "step 3\nslurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***\n",
            "JOB 7 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT",
        ),
        ("Traceback (most recent call last):\n  File x\nRuntimeError: CUDA out of memory\n\n", "RuntimeError: CUDA out of memory"),
        ("add/1 (job 7 on n1)\nteacherlm: stopped\nadd/1 (job 7 on n2)\nKilled\n", "Killed"),
        ("", ""),
    ],
)
def test_the_line_that_says_most(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.log").write_text(text)
    assert last_words(tmp_path / "x.log") == words


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("".join(f"line {n}\n" for n in range(100_000)))
    assert read_tail(tmp_path / "x.log", 2) == ["line 99998", "line 99999"]
    assert len(read_tail(tmp_path / "x.log", 5000)) == 5000


def test_the_time_left_is_the_longest_that_a_progress_line_promises(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("x: 3/9 rows, 1.0/s, 0:03 so far, 9:00 left\nx: 4/9 rows, 1.0/s, 0:04 so far, 1:02:03 left, loss 2\n")
    (tmp_path / "b.log").write_text("x: 4/9 rows, 1.0/s, 0:04 so far, 0:30 left\n")
    (tmp_path / "c.log").write_text("nothing yet\n")
    logs = {name: tmp_path / f"{name}.log" for name in "abc"}
    assert seconds_left(logs) == 3723
    assert seconds_left({"b": logs["b"]}) == 30
    assert seconds_left({"c": logs["c"]}) is None
