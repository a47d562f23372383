"""torchrun with the same words, for jobs that end early: `python -m teacherlm.launch.torchrun --nproc-per-node 8 -m teacherlm.cli job X`.

It hands signals on to the processes, which write a checkpoint and end; torchrun itself would kill them 30 seconds later. It says
nothing of its own about a process that failed: that one has said why.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from teacherlm.interrupt import ONE_WISH, WARNING

PARENT = "TEACHERLM_PARENT"
"""Number of the process without which this one has nothing to do."""
LOOK_EVERY_SECONDS = 0.5


class _Handing:
    """Signals for the processes: the first asks them to end, a later one ends them at once."""

    def __init__(self) -> None:
        self.last = 0.0
        self.came = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if number != WARNING and self.last and now - self.last > ONE_WISH:
            number = signal.SIGKILL
        elif number != WARNING:
            self.last = now
        self.came = number
        for child in children():
            try:
                os.kill(child, number)
            except ProcessLookupError:
                continue


def children() -> list[int]:
    """Numbers of the processes that this one has started; those of a job lead a session of their own."""
    mine = os.getpid()
    found = [int(word) for task in Path(f"/proc/{mine}/task").iterdir() for word in (task / "children").read_text().split()]
    return [child for child in found if _leads(child)]


def _leads(process: int) -> bool:
    try:
        return os.getsid(process) == process
    except ProcessLookupError:
        return False


def end_with(parent: int) -> None:
    """End, and what was started with it, as soon as `parent` is gone: a second attempt at the job would meet this one at work."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY_SECONDS)
        for child in children():
            os.kill(child, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(words: list[str]) -> int:
    """The exit code of the process that failed first; 0 when all did their work."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import get_args_parser, run

    if parent := os.environ.pop(PARENT, ""):
        end_with(int(parent))
    handing = _Handing()
    for number in (signal.SIGTERM, signal.SIGINT, WARNING):
        if number == WARNING or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handing)
    given = get_args_parser().parse_args(words)
    given.signals_to_handle = "SIGQUIT"  # the others are handed on, see above
    try:
        run(given)  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        return code if code >= 0 else 128 - code
    except SignalException as error:
        return 128 + error.sigval
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
