"""wandb-sync: what was kept offline is found; wandb's own command uploads it."""

import os
import stat
from pathlib import Path

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


def test_runs_are_found_in_order_with_what_was_uploaded_before(tmp_path):
    second = offline_run(tmp_path / "b", "20260102_000000-x")
    first = offline_run(tmp_path / "a", "20260101_000000-y", synced=True)
    (tmp_path / "wandb" / "run-20260103_000000-z").mkdir(parents=True)
    assert list(wandb_sync.find_offline_runs(tmp_path).items()) == [(first, True), (second, False)]
    assert list(wandb_sync.find_offline_runs(first)) == [first]
    with pytest.raises(UserError, match=r"nowhere: no such folder"):
        wandb_sync.find_offline_runs(tmp_path / "nowhere")


def test_each_run_goes_to_wandb_sync_online_and_failures_are_named(tmp_path, monkeypatch):
    good, bad = offline_run(tmp_path, "20260101_000000-good"), offline_run(tmp_path, "20260102_000000-bad; rm -rf x")
    ends = 'case "$4" in *good) touch "$4/run.wandb.synced";; *) echo "wandb: ERROR no such entity"; exit 1;; esac'
    script = f'echo "$WANDB_MODE|$*" >> {tmp_path}/asked\n{ends}'
    fake_wandb(tmp_path, monkeypatch, script)
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert wandb_sync.upload([good, bad]) == {bad: "wandb: ERROR no such entity"}
    assert (tmp_path / "asked").read_text().splitlines() == [f"|-m wandb sync {good}", f"|-m wandb sync {bad}"]
    assert wandb_sync.find_offline_runs(tmp_path) == {good: True, bad: False}


def test_without_a_key_nothing_is_tried(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", os.devnull)
    with pytest.raises(UserError, match="no WANDB_API_KEY"):
        wandb_sync.upload([offline_run(tmp_path, "20260101_000000-x")])
