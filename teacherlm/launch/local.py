"""Runs jobs on this machine: worker processes that stay, so that what they import is imported once."""

import fcntl
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TextIO

from teacherlm.catalog import find
from teacherlm.errors import Failed, Stopped, UserError
from teacherlm.launch.apart import Broken, perform_apart
from teacherlm.launch.cards import find_cards
from teacherlm.launch.job import frozen, write_frozen
from teacherlm.launch.signals import Wishes, begin_worker, held_back
from teacherlm.launch.torchrun import end_with
from teacherlm.log import say, use_prefix
from teacherlm.plan import Job
from teacherlm.store.files import read_json, write_json

FAILURES = "failures.json"
LOOK_EVERY_SECONDS = 0.2
"""How soon a signal is answered."""


@dataclass(frozen=True)
class Failure:
    """Why a job is not done."""

    message: str
    by_user: bool
    """Something the user can mend, as against a bug or a killed process."""
    stopped: int = 0
    """The exit code of a job that ended early because it was asked to, and goes on with the next run; 0: it failed."""


def failure_of(error: BaseException) -> Failure:
    """What is said of a job that ended with it."""
    if isinstance(error, Stopped):
        return Failure(f"stopped: {error}", by_user=True, stopped=error.exit_code)
    if isinstance(error, UserError):
        return Failure(str(error), by_user=True)
    if isinstance(error, Failed):
        return Failure(str(error), by_user=False)
    return Failure(f"{type(error).__name__}: {error}", by_user=False)


def run_jobs(jobs: list[Job], run_dir: Path, workers: int | None, plugins: tuple[str, ...], wishes: Wishes) -> dict[str, Failure]:
    """Do the jobs, each after those of the list it needs; the others go on when one fails.

    `workers` at a time; None: as many as there are cards for, and one of those that ask for none.

    Returns: job label -> why it failed or was not started; empty when all are done.
    Raises: Stopped after Ctrl-C or SIGTERM, when the jobs at work have finished what they had in hand.
    """
    scheduler = _Scheduler(jobs, run_dir, workers, plugins)
    failures = scheduler.run(wishes)
    write_json(run_dir / FAILURES, {label: asdict(failure) for label, failure in failures.items()})
    if wishes.came and scheduler.done < len(jobs):
        number = wishes.came[0]
        at = f"{scheduler.done} of {len(jobs)} jobs done"
        raise Stopped(f"stopped by {number.name}: {at}; the same command goes on from there.", 128 + number)
    return failures


def read_failures(run_dir: Path) -> dict[str, Failure]:
    """What the last `run` could not do: job label -> why."""
    path = run_dir / FAILURES
    return {label: Failure(**values) for label, values in read_json(path).items()} if path.is_file() else {}


@contextmanager
def holding(run_dir: Path) -> Iterator[None]:
    """Only one `run` works on a folder at a time; the lock ends with the process, however it ends.

    Raises: UserError when another process holds it.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{run_dir}: another `teacherlm run` is at work on this folder.") from None
        yield


def is_held(run_dir: Path) -> bool:
    """Whether a `run` is at work on the folder now."""
    path = run_dir / ".lock"
    if not path.exists():
        return False
    with path.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


class _Scheduler:
    def __init__(self, jobs: list[Job], run_dir: Path, workers: int | None, plugins: tuple[str, ...]) -> None:
        self.waiting = list(jobs)
        self.total, self.ended, self.done = len(jobs), 0, 0
        self.run_dir, self.plugins = run_dir, plugins
        self.workers, self.one_without_cards = workers or max(1, len(find_cards())), workers is None
        self.running: dict[Future[Failure | None], Job] = {}
        self.cards = list(find_cards())
        self.taken: dict[Path, tuple[str, ...]] = {}
        """Cards of the jobs at work, by their places."""
        self.failures: dict[str, Failure] = {}
        self.told = False
        """That the run is to end."""
        self.pool = self._build_pool()

    def run(self, wishes: Wishes) -> dict[str, Failure]:
        while self.waiting or self.running:
            if wishes.came:
                self.waiting.clear()
                self._end_workers(wishes)
            self._start_ready()
            if self.running:
                finished, _ = wait(self.running, timeout=LOOK_EVERY_SECONDS, return_when=FIRST_COMPLETED)
                self._collect(finished, stopping=bool(wishes.came))
        self.pool.shutdown()
        return self.failures

    def _build_pool(self) -> ProcessPoolExecutor:
        threads = max(1, (os.cpu_count() or 1) // self.workers)
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # inherited by the workers, which compute; this process does not
        return ProcessPoolExecutor(self.workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(os.getpid(),))

    def _start_ready(self) -> None:
        blocked = {job.place for job in (*self.waiting, *self.running.values())}
        for job in [job for job in self.waiting if not blocked.intersection(job.needs)]:
            if len(self.running) >= self.workers:
                return
            wanted = min(job.slurm.gpu_count, len(find_cards()))
            if wanted > len(self.cards) or (self.one_without_cards and not wanted and not all(self.taken.values())):
                continue  # others may go before it
            self.waiting.remove(job)
            self.taken[job.place], self.cards = tuple(self.cards[:wanted]), self.cards[wanted:]
            file = write_frozen(self.run_dir / "jobs", frozen(job, self.plugins))
            log = self.run_dir / "logs" / f"{job.label}.log"
            apart = how_apart(job, self.taken[job.place])
            with held_back():  # this may start the worker
                self.running[self.pool.submit(_work, file, job.label, log, apart)] = job

    def _collect(self, finished: set[Future[Failure | None]], stopping: bool) -> None:
        broken = False
        for future in finished:
            job = self.running.pop(future)
            self.cards += self.taken.pop(job.place)
            try:
                problem = future.result()
            except BrokenProcessPool:
                problem, broken = _killed(stopping), True
            self.ended += 1
            if problem:
                self._fail(job, problem)
            else:
                self.done += 1
                say(f"({self.ended}/{self.total}) {job.label}: done")
        if broken and not stopping:
            self.pool.shutdown(wait=False)
            self.pool = self._build_pool()

    def _fail(self, job: Job, problem: Failure) -> None:
        say(f"({self.ended}/{self.total}) {job.label}: {'' if problem.stopped else 'FAILED: '}{problem.message}")
        self.failures[job.label] = problem
        lost = {job.place}
        for other in list(self.waiting):  # in plan order, so that what needs a lost job is lost in turn
            if lost.intersection(other.needs):
                lost.add(other.place)
                self.waiting.remove(other)
                self.ended += 1
                why = f"not started: it needs {job.label}, which {'was stopped' if problem.stopped else 'failed'}"
                self.failures[other.label] = Failure(why, problem.by_user, problem.stopped)

    def _end_workers(self, wishes: Wishes) -> None:
        """At the first wish they are told, at the next one killed."""
        processes = list((self.pool._processes or {}).values())
        if len(wishes.came) > 1:
            for process in processes:
                process.kill()
        elif not self.told:
            if self.running:
                at_work = ", ".join(job.label for job in self.running.values())
                say(f"stopping: what is in hand is finished first ({at_work}); Ctrl-C again ends it at once.")
            for process in processes:
                process.terminate()
        self.told = True


def _killed(stopping: bool) -> Failure:
    if stopping:
        return Failure("stopped: at once", by_user=True, stopped=128 + signal.SIGKILL)
    return Failure("its process was killed (out of memory?)", by_user=False)


@dataclass(frozen=True)
class Apart:
    """Processes of its own, for a job that cannot be done in a worker."""

    processes: int
    cards: tuple[str, ...]


def how_apart(job: Job, cards: tuple[str, ...]) -> Apart | None:
    """None: in a worker. A job that is given some of several cards must see no others, and a worker has seen all from its first job on."""
    distributed = find("stages", job.stage).distributed
    processes = (getattr(job.config, "processes", None) or max(1, len(cards))) if distributed else 1
    return Apart(processes, cards) if processes > 1 or (cards and len(find_cards()) > 1) else None


def _begin(parent: int) -> None:
    begin_worker()
    end_with(parent)


def _work(file: Path, label: str, log: Path, apart: Apart | None = None) -> Failure | None:
    """In a worker: do one job; None when it is done, else what went wrong in one line (a bug's traceback is in the log)."""
    from teacherlm.launch.perform import perform_job

    use_prefix(label)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as copy, _copied_to(copy):
        started = time.monotonic()
        try:
            if apart:
                perform_apart(file, apart.processes, apart.cards)
            else:
                perform_job(file)
        except (UserError, Failed, Stopped) as error:
            return failure_of(error)
        except Broken as error:
            return Failure(f"{error} (see {log})", by_user=False)
        except Exception as error:
            traceback.print_exc()
            return Failure(f"{failure_of(error).message} (traceback in {log})", by_user=False)
        say(f"{time.monotonic() - started:.1f} s")
    return None


class _Tee:
    """Writes to the terminal and to a job's log."""

    def __init__(self, terminal: TextIO, copy: TextIO) -> None:
        self.terminal, self.copy = terminal, copy

    def write(self, text: str) -> int:
        self.copy.write(text)
        return self.terminal.write(text)

    def flush(self) -> None:
        self.copy.flush()
        self.terminal.flush()

    def isatty(self) -> bool:
        return False


@contextmanager
def _copied_to(copy: TextIO) -> Iterator[None]:
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Tee(out, copy), _Tee(err, copy)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
