"""wandb-sync: what was kept offline is found; wandb's own command uploads it."""

import os
import socket
import stat
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from teacherlm.errors import UserError
from teacherlm.launch import wandb_sync


def offline_run(folder: Path, name: str, synced: bool = False) -> Path:
    run = folder / "wandb" / f"offline-run-{name}"
    run.mkdir(parents=True)
    (run / f"run-{name}.wandb").write_bytes(b"x")
    if synced:
        (run / f"run-{name}.wandb.synced").touch()
    return run


def fake_wandb(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(wandb_sync.sys, "executable", str(python))


@pytest.fixture
def server() -> Iterator[str]:
    """Answers, though with an error: 501."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as answering:
        Thread(target=answering.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{answering.server_port}"
        answering.shutdown()


def test_runs_are_found_in_order_with_what_was_uploaded_before(tmp_path):
    second = offline_run(tmp_path / "b", "20260102_000000-x")
    first = offline_run(tmp_path / "a", "20260101_000000-y", synced=True)
    (tmp_path / "wandb" / "run-20260103_000000-z").mkdir(parents=True)
    assert list(wandb_sync.find_offline_runs(tmp_path).items()) == [(first, True), (second, False)]
    assert list(wandb_sync.find_offline_runs(first)) == [first]
    with pytest.raises(UserError, match=r"nowhere: no such folder"):
        wandb_sync.find_offline_runs(tmp_path / "nowhere")


def test_each_run_goes_to_wandb_sync_online_and_failures_are_named(tmp_path, monkeypatch, server):
    good, bad = offline_run(tmp_path, "20260101_000000-good"), offline_run(tmp_path, "20260102_000000-bad; rm -rf x")
    ends = 'case "$4" in *good) touch "$4/run.wandb.synced";; *) echo "wandb: ERROR no such entity"; exit 1;; esac'
    script = f'echo "$WANDB_MODE|$*" >> {tmp_path}/asked\n{ends}'
    fake_wandb(tmp_path, monkeypatch, script)
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", server)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert wandb_sync.upload([good, bad]) == {bad: "wandb: ERROR no such entity"}
    assert (tmp_path / "asked").read_text().splitlines() == [f"|-m wandb sync {good}", f"|-m wandb sync {bad}"]
    assert wandb_sync.find_offline_runs(tmp_path) == {good: True, bad: False}


def test_without_a_key_nothing_is_tried(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", os.devnull)
    with pytest.raises(UserError, match="no WANDB_API_KEY"):
        wandb_sync.upload([offline_run(tmp_path, "20260101_000000-x")])


@pytest.mark.parametrize(("listens", "why"), [(False, "Connection refused"), (True, "no answer within 0.5 seconds")])
def test_a_server_that_does_not_answer_is_told_at_once_and_nothing_is_tried(tmp_path, monkeypatch, listens, why):
    fake_wandb(tmp_path, monkeypatch, f"touch {tmp_path}/asked")
    monkeypatch.setattr(wandb_sync, "ANSWER_SECONDS", 0.5)
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listens:
            silent.listen()
        monkeypatch.setenv("WANDB_BASE_URL", url := f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(UserError, match=rf"{url} cannot be reached \(.*{why}.*\); nothing was uploaded"):
            wandb_sync.upload([offline_run(tmp_path, "20260101_000000-x")])
    assert time.monotonic() - began < 10 and not (tmp_path / "asked").exists()
