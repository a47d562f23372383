"""Signals to this very process: the first asks to stop, one that comes at once with it is the same wish, a later one stops."""

import os
import signal
import time

import pytest

from teacherlm import interrupt
from teacherlm.errors import OUT_OF_TIME


def test_the_first_signal_asks_and_its_echo_does_no_more() -> None:
    with interrupt.interruptible():
        assert interrupt.wanted() == ""
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.wanted() == "SIGINT"
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.wanted() == "SIGINT"
    assert interrupt.wanted() == ""


def test_a_second_signal_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupt, "ONE_WISH", 0.02)
    with pytest.raises(KeyboardInterrupt), interrupt.interruptible():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)
    assert interrupt.wanted() == ""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupt.interruptible():
            os.kill(os.getpid(), signal.SIGINT)
            assert interrupt.wanted() == ""
            os.kill(os.getpid(), signal.SIGTERM)
            assert interrupt.wanted() == "SIGTERM"
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_cap_may_ask_too_and_the_first_reason_stays() -> None:
    with interrupt.interruptible():
        interrupt.ask_to_stop("max_cost is reached")
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.wanted() == "max_cost is reached"


def test_work_that_ended_early_says_by_its_exit_code_which_signal_it_was() -> None:
    assert [interrupt.exit_code(name) for name in ("SIGINT", "SIGTERM")] == [130, 143]
    assert interrupt.exit_code("SIGUSR1") == interrupt.exit_code("the end of its time") == OUT_OF_TIME


def test_a_warning_that_came_before_the_work_is_heard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(interrupt.WARNED, "1")
    with interrupt.interruptible():
        assert interrupt.wanted() == "SIGUSR1" and interrupt.exit_code("SIGUSR1") == OUT_OF_TIME
    with interrupt.interruptible():
        assert interrupt.wanted() == ""
