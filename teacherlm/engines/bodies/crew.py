"""Things done side by side in an event loop that has a thread of its own; they are begun and their results taken in the caller's."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from itertools import chain, islice
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, TypeVar

from teacherlm import interrupt

C = TypeVar("C")
T = TypeVar("T")
R = TypeVar("R")


class Left(Exception):
    """A thing that was not begun, or not begun again, because the run shall end."""


class Crew(Generic[C, T, R]):
    """`work(client, item)` for each item begun. What is still under way at the end is cancelled, and the thread is gone."""

    def __init__(self, client: AbstractAsyncContextManager[C], work: Callable[[C, T], Awaitable[R]]) -> None:
        self.done: SimpleQueue[R | BaseException] = SimpleQueue()
        self._client, self._work = client, work
        self._ready, self._end = threading.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="teacherlm-crew", daemon=True)

    def __enter__(self) -> "Crew[C, T, R]":
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def begin(self, item: T) -> None:
        self._loop.call_soon_threadsafe(self._start, item)

    def _run(self) -> None:
        try:
            asyncio.run(self._stay())
        except Exception as error:  # nobody may wait for a thread that is gone
            self.done.put(error)
            self._ready.set()

    async def _stay(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with self._client as self._opened:
            self._ready.set()
            await self._end.wait()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, item: T) -> None:
        task = self._loop.create_task(self._do(item))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, item: T) -> None:
        try:
            self.done.put(await self._work(self._opened, item))
        except Exception as error:
            self.done.put(error)


def side_by_side(
    items: Iterable[T], work: Callable[[C, T], Awaitable[R]], client: AbstractAsyncContextManager[C], width: int
) -> Iterator[R]:
    """Results as they come, at most `width` items under way. `items` is read in this thread, one at a time, when there is room.

    Raises: what `work` raised first, after the results that came before it. `Left` ends its item alone, without a result.
    """
    waiting, more, under_way = iter(items), True, 0
    first = [] if interrupt.wanted() else list(islice(waiting, 1))
    if not first:
        return
    waiting = chain(first, waiting)
    with Crew(client, work) as crew:
        while True:
            if more and under_way < width and crew.done.empty() and not interrupt.wanted():
                for item in waiting:
                    crew.begin(item)
                    under_way += 1
                    break
                else:
                    more = False
                continue
            if not under_way:
                return
            result = crew.done.get()
            under_way -= 1
            if isinstance(result, Left):
                continue
            if isinstance(result, BaseException):
                raise result
            yield result


async def pause(seconds: float, slice: float = 0.2) -> None:
    """Raises: Left as soon as the run shall end."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while not interrupt.wanted():
        left = until - loop.time()
        if left <= 0:
            return
        await asyncio.sleep(min(left, slice))
    raise Left
