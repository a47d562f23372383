"""The processes of a vLLM engine: they finish what they have in hand when signals come, and do not outlive this process."""

import asyncio
import logging
import multiprocessing
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker

from vllm import AsyncEngineArgs, AsyncLLMEngine
from vllm.usage.usage_lib import UsageContext

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE = 20.0
"""Seconds that an engine without work has to end."""
GUARD = "import os, signal, sys; sys.stdin.read(); [os.kill(int(pid), signal.SIGKILL) for pid in sys.argv[1:]]"
"""Its input ends when this process does, however that comes. vLLM's processes do not notice, and would hold the GPU for ever."""


@dataclass(frozen=True)
class Running:
    """An engine and the thread in which its event loop runs."""

    engine: AsyncLLMEngine
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    guard: "subprocess.Popen[bytes]"


def run_engine(arguments: AsyncEngineArgs) -> Running:
    """SIGINT and SIGTERM often come to a whole process group, and vLLM's processes would drop everything. Only this one answers them:
    the thread that starts the others does not hear them, and so they do not either."""
    resource_tracker.ensure_running()  # starting it later would let the signals through again
    before = set(multiprocessing.active_children())
    started: Future[AsyncLLMEngine] = Future()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=_serve, args=(loop, arguments, started), name="vllm", daemon=True)
    thread.start()
    engine = started.result()
    pids = [str(child.pid) for child in set(multiprocessing.active_children()) - before]
    return Running(engine, loop, thread, _guard(pids))


def _guard(pids: list[str]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-I", "-S", "-c", GUARD, *pids]
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere, start_new_session=True)


def _serve(loop: asyncio.AbstractEventLoop, arguments: AsyncEngineArgs, started: "Future[AsyncLLMEngine]") -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    asyncio.set_event_loop(loop)

    async def begin() -> AsyncLLMEngine:
        return AsyncLLMEngine.from_engine_args(arguments, usage_context=UsageContext.LLM_CLASS)

    try:
        started.set_result(loop.run_until_complete(begin()))
        loop.run_forever()
    except BaseException as error:
        started.set_exception(error)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()


def end_engine(running: Running) -> None:
    """The processes hear no SIGTERM: they are told to let go of what they hold, then killed without waiting."""
    log = logging.getLogger("vllm")
    before = log.level
    log.setLevel(logging.CRITICAL)  # that they must be killed, and are gone then, is no news

    async def let_go() -> None:
        await running.engine.engine_core.call_utility_async("shutdown")

    running.guard.kill()
    running.guard.communicate()
    with suppress(Exception):  # an engine that died of something has said so
        asyncio.run_coroutine_threadsafe(let_go(), running.loop).result(GRACE)
    running.engine.shutdown(timeout=0)
    running.loop.call_soon_threadsafe(running.loop.stop)
    if running.thread is not threading.current_thread():  # the garbage collector may run there
        running.thread.join(GRACE)
    log.setLevel(before)
