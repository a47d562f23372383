"""How long `--help` takes, against a Typer app of two commands: ratios of medians, one run, processes taken in turn."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from teacherlm.commands import ORDER as COMMANDS
from teacherlm.stages import ORDER as STAGES

TWO_COMMANDS = '''
import typer
app = typer.Typer()
@app.command()
def one(name: str = "x", count: int = 1) -> None:
    """The first."""
@app.command()
def two(name: str = "x", count: int = 1) -> None:
    """The second."""
app()
'''
ROUNDS = 9


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder, "two.py")
        app.write_text(TWO_COMMANDS)
        asked = {
            "two-command Typer app": [sys.executable, str(app), "--help"],
            "teacherlm --help": [sys.executable, "-m", "teacherlm.cli", "--help"],
        }
        asked |= {f"teacherlm {name} --help": [sys.executable, "-m", "teacherlm.cli", name, "--help"] for name in (*STAGES, *COMMANDS)}
        times: dict[str, list[float]] = {label: [] for label in asked}
        for _ in range(ROUNDS):
            for label, command in asked.items():
                times[label].append(seconds(command))
    base = statistics.median(times["two-command Typer app"])
    for label, measured in times.items():
        middle = statistics.median(measured)
        print(f"{label:<32} {middle * 1000:7.0f} ms  {middle / base:5.2f}x")


if __name__ == "__main__":
    main()
