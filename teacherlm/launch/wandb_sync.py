"""wandb runs that were kept offline: found below a folder, and uploaded by wandb's own command."""

import os
import subprocess
import sys
from pathlib import Path

from teacherlm.errors import UserError
from teacherlm.log import say

WAIT_SECONDS = 600


def find_offline_runs(folder: Path) -> dict[Path, bool]:
    """Every `offline-run-*` below the folder, in order of time -> whether it was uploaded already. Raises: UserError for no folder."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder.")
    runs = [folder] if folder.name.startswith("offline-run-") else [path for path in folder.rglob("offline-run-*") if path.is_dir()]
    return {run: any(run.glob("*.wandb.synced")) for run in sorted(runs, key=lambda run: run.name)}


def upload(runs: list[Path]) -> dict[Path, str]:
    """Upload each; returns what went wrong, by run. Raises: UserError where there is no key to upload with."""
    if not os.environ.get("WANDB_API_KEY") and not _is_logged_in():
        raise UserError("wandb-sync: there is no WANDB_API_KEY in the environment (nor was `wandb login` done here).")
    problems: dict[Path, str] = {}
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_MODE"}  # offline it would upload nothing
    for number, run in enumerate(runs, start=1):
        say(f"({number}/{len(runs)}) {run}")
        try:
            done = subprocess.run(
                [sys.executable, "-m", "wandb", "sync", str(run)],
                env=environment,
                capture_output=True,
                text=True,
                timeout=WAIT_SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            problems[run] = f"no answer within {WAIT_SECONDS} seconds"
            continue
        if done.returncode or not any(run.glob("*.wandb.synced")):
            words = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            problems[run] = words[-1][:300] if words else f"wandb ended with {done.returncode}"
    return problems


def _is_logged_in() -> bool:
    from netrc import NetrcParseError, netrc

    try:
        return any("wandb" in host for host in netrc(os.environ.get("NETRC") or None).hosts)
    except (OSError, NetrcParseError):
        return False
