"""Checkpoints are measured while their training goes on."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from word_students import write_checkpoint, write_questions

from teacherlm.errors import Stopped, UserError
from teacherlm.launch.job import FrozenJob, write_job
from teacherlm.parsing import parse_config
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.store.files import read_jsonl
from teacherlm.store.manifest import Manifest, write_manifest


def begun(run: Path) -> Path:
    run.mkdir()
    write_job(run, FrozenJob("finetune", {}, "0123456789abcdef", {}, ()))
    return run


def finished(run: Path) -> None:
    write_manifest(run, Manifest("finetune", 1, "0123456789abcdef", {"input": "gone"}, {}))


def config(run: Path, data: Path, output: Path, **more: Any) -> EvaluateConfig:
    values = {"input": str(run), "output": output, "tasks": "questions", "data": data, "max_new_tokens": 4}
    return parse_config(EvaluateConfig, {**values, **more})


def rows(output: Path) -> list[dict[str, Any]]:
    return [{**row, "seconds": 0} for _, row in read_jsonl(output / "results.jsonl")] if (output / "results.jsonl").exists() else []


def wait_for(ready: Any) -> None:
    until = time.monotonic() + 30
    while not ready() and time.monotonic() < until:
        time.sleep(0.01)


def test_each_checkpoint_is_measured_as_it_comes_and_the_end_is_as_if_nobody_had_watched(tmp_path: Path) -> None:
    run, data, output = begun(tmp_path / "run"), write_questions(tmp_path / "prepare", range(4)), tmp_path / "watched"
    seen = []

    def train() -> None:
        for step in (1, 2, 10):
            torn = run / f"checkpoint-{step + 100}"
            torn.mkdir()  # is being written
            write_checkpoint(run, step)
            wait_for(lambda step=step: any(row["step"] == step for row in rows(output)))
            seen.append({row["step"] for row in rows(output)})
            torn.rmdir()
        finished(run)

    training = threading.Thread(target=train, daemon=True)
    training.start()
    outcome = evaluate(config(run, data, output, watch=True))
    training.join()
    assert seen == [{1}, {1, 2}, {1, 2, 10}] and (outcome.counts["checkpoints"], outcome.counts["measured"]) == (3, 3)
    evaluate(config(run, data, tmp_path / "plain"))
    assert rows(output) == rows(tmp_path / "plain")


def test_a_signal_ends_the_watching_in_one_line_and_what_was_measured_is_kept(tmp_path: Path) -> None:
    run, data, output = begun(tmp_path / "run"), write_questions(tmp_path / "prepare", range(4)), tmp_path / "watched"
    write_checkpoint(run, 1)
    for number in (signal.SIGTERM, signal.SIGINT):
        usual = signal.getsignal(number)

        def send(number: signal.Signals = number, usual: Any = usual) -> None:
            wait_for(lambda: rows(output) and signal.getsignal(number) is not usual)  # before, it would end the test itself
            os.kill(os.getpid(), number)

        threading.Thread(target=send, daemon=True).start()
        with pytest.raises(Stopped, match=f"evaluate was ended by {number.name}") as caught:
            evaluate(config(run, data, output, watch=True))
        assert caught.value.exit_code == 128 + number and "\n" not in str(caught.value)
    finished(run)
    assert evaluate(config(run, data, output, watch=True)).counts["measured"] == 0


def test_a_checkpoint_that_the_training_has_removed_meanwhile_is_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from teacherlm.evaluation.watching import arriving

    run = begun(tmp_path / "run")
    write_checkpoint(run, 1)
    (write_checkpoint(run, 2) / "keep").touch()
    finished(run)
    students = arriving(str(run))
    assert next(students).step == 1
    (run / "checkpoint-2" / "complete.json").unlink()
    assert not list(students) and "checkpoint-2: the training has removed it" in capsys.readouterr().err


def test_a_checkpoint_that_the_training_removes_while_it_is_read_is_named_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from teacherlm.evaluation.watching import arriving

    run = begun(tmp_path / "run")
    removed = write_checkpoint(run, 1)
    write_checkpoint(run, 2)
    finished(run)
    first_read = removed / "a.txt"
    os.mkfifo(first_read)

    def remove() -> None:
        with first_read.open("wb"):  # as soon as it is being read
            shutil.rmtree(removed)

    training = threading.Thread(target=remove, daemon=True)
    training.start()
    assert [student.step for student in arriving(str(run))] == [2]
    training.join()
    assert "checkpoint-1: the training has removed it before it could be measured" in capsys.readouterr().err


def test_what_cannot_be_watched_is_one_clear_line(tmp_path: Path) -> None:
    data = write_questions(tmp_path / "prepare", range(2))
    with pytest.raises(UserError, match=r"watch: .*nowhere is no output of `finetune` that has begun; measure it without watch"):
        evaluate(config(tmp_path / "nowhere", data, tmp_path / "out", watch=True))
    with pytest.raises(UserError, match="watch: which checkpoint is the last is known when the training is finished"):
        config(tmp_path / "run", data, tmp_path / "out", watch=True, checkpoints="last")


@pytest.mark.slow
def test_a_real_training_is_watched_by_another_process_from_its_first_checkpoint_on(tmp_path: Path) -> None:
    from trainings import start, write_rows

    run, output = tmp_path / "run", tmp_path / "watched"
    training = start(write_rows(tmp_path), run, save_strategy="epoch", held_out=0)
    wait_for((run / "job.json").exists)
    data = write_questions(tmp_path / "prepare", range(4))
    words = [*f"--tasks questions --max-new-tokens 4 --data {data} --input {run} --output".split(), str(output)]
    command = [sys.executable, "-m", "teacherlm.cli", "evaluate", *words]
    watching = subprocess.run([*command, "--watch"], capture_output=True, text=True, timeout=300)
    assert watching.returncode == 0, watching.stderr
    assert training.communicate()[0] is not None and training.returncode == 0
    assert len({row["step"] for row in rows(output)}) == 12
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0 and "is already done" in again.stderr, again.stderr
