"""wandb runs that were kept offline: found below a folder, and uploaded by wandb's own command."""

import os
import subprocess
import sys
from pathlib import Path

from teacherlm.errors import UserError
from teacherlm.log import say

WAIT_SECONDS = 600
ANSWER_SECONDS = 10.0
"""A server that says nothing for so long is taken for unreachable: `wandb sync` itself would go on trying."""


def find_offline_runs(folder: Path) -> dict[Path, bool]:
    """Every `offline-run-*` below the folder, in order of time -> whether it was uploaded already. Raises: UserError for no folder."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder.")
    runs = [folder] if folder.name.startswith("offline-run-") else [path for path in folder.rglob("offline-run-*") if path.is_dir()]
    return {run: any(run.glob("*.wandb.synced")) for run in sorted(runs, key=lambda run: run.name)}


def upload(runs: list[Path]) -> dict[Path, str]:
    """Upload each; returns what went wrong, by run. Raises: UserError where there is no key to upload with, or nobody to upload to."""
    if not os.environ.get("WANDB_API_KEY") and not _is_logged_in():
        raise UserError("wandb-sync: there is no WANDB_API_KEY in the environment (nor was `wandb login` done here).")
    require_answer(_server())
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


def require_answer(server: str) -> None:
    """Raises: UserError where a server does not answer; any answer will do, an error of its own too."""
    import httpx

    try:
        # Whether its certificate is to be trusted is wandb's to say, which is told so in ways of its own; nothing secret is sent here.
        httpx.head(server, timeout=ANSWER_SECONDS, verify=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        silent = isinstance(error, httpx.TimeoutException)
        why = f"no answer within {ANSWER_SECONDS:g} seconds" if silent else str(error) or type(error).__name__
        raise UserError(
            f"wandb-sync: {server} cannot be reached ({why}); nothing was uploaded. WANDB_BASE_URL names another server."
        ) from None


def _server() -> str:
    """Where wandb uploads to, by the environment, else by its settings files."""
    if given := os.environ.get("WANDB_BASE_URL"):
        return given
    import wandb

    try:
        return str(wandb.setup().settings.base_url)
    finally:
        wandb.teardown()  # it began a process of its own


def _is_logged_in() -> bool:
    from netrc import NetrcParseError, netrc

    try:
        return any("wandb" in host for host in netrc(os.environ.get("NETRC") or None).hosts)
    except (OSError, NetrcParseError):
        return False
