"""A job in processes of its own: several under torchrun, or one that sees only the cards it was given."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import orjson

from teacherlm.errors import Failed, Stopped, UserError
from teacherlm.interrupt import WARNING
from teacherlm.launch.cards import VISIBLE
from teacherlm.launch.torchrun import PARENT
from teacherlm.log import say
from teacherlm.store.files import read_json

END = "TEACHERLM_END"
"""File in which the first process that fails says why, for the one that started it."""
TALKATIVE = ("torch/distributed/elastic/", "FutureWarning: `torch.distributed.", "return func(*args, **kwargs)", "[Gloo] Rank ")
"""Lines of libraries that come once for each process and each call."""


class Broken(RuntimeError):
    """A bug, or a killed process; its traceback is above."""


def perform_apart(file: Path, processes: int, cards: Sequence[str] = ()) -> None:
    """Do the job of a frozen file in new processes, and say what they say.

    Raises: what the job raised, as UserError, Failed, Stopped or Broken.
    """
    with tempfile.TemporaryDirectory(prefix="teacherlm-") as folder:
        end = Path(folder) / "end.json"
        environment = {**os.environ, **given_environment(cards), END: str(end), PARENT: str(os.getpid())}
        words = [sys.executable, *launcher(processes), "-m", "teacherlm.cli", "job", str(file.absolute())]
        with subprocess.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process:
            assert process.stdout is not None
            with _handed_on(process):
                for line in process.stdout:
                    if not any(words in line for words in TALKATIVE):
                        say(line.rstrip("\n"))
                code = process.wait()
        if code:
            raise _ended(read_json(end) if end.is_file() else {}, code, processes)


def launcher(processes: int) -> list[str]:
    """Words between python and what it is to run."""
    return ["-m", "teacherlm.launch.torchrun", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []


def given_environment(cards: Sequence[str]) -> dict[str, str]:
    return {VISIBLE: ",".join(cards)} if cards else {}


def tell_end(error: BaseException) -> bool:
    """In a process of the job: write down why it ends. Whether anybody asked."""
    place = os.environ.get(END)
    if not place:
        return False
    told: dict[str, Any] = {"message": str(error), "kind": type(error).__name__, "user": isinstance(error, UserError)}
    if isinstance(error, Stopped):
        told["stopped"] = error.exit_code
    try:
        with open(place, "xb") as file:
            file.write(orjson.dumps(told))
    except FileExistsError:
        pass  # another one failed first: this is what came of it
    return True


def _ended(told: Mapping[str, Any], code: int, processes: int) -> Exception:
    if not told:
        what = "its process was" if processes == 1 else f"one of its {processes} processes was"
        return Broken(f"{what} killed (out of memory?)" if code > 128 or code < 0 else f"it ended with {code}")
    if "stopped" in told:
        return Stopped(told["message"], told["stopped"])
    if told["kind"] == Failed.__name__:
        return Failed(told["message"])
    return UserError(told["message"]) if told["user"] else Broken(f"{told['kind']}: {told['message']}")


@contextmanager
def _handed_on(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Signals go to the processes of the job, which answer them."""

    def hand_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, WARNING)}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, hand_on)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
