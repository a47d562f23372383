"""How long `--help` takes, against a Typer app of two commands: ratios of medians, and of least CPU times (for a machine that is shared);
one run, processes taken in turn."""

import resource
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


def seconds(command: list[str]) -> tuple[float, float]:
    """By the wall, and of CPU."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder, "two.py")
        app.write_text(TWO_COMMANDS)
        asked = {
            "two-command Typer app": [sys.executable, str(app), "--help"],
            "teacherlm --help": [sys.executable, "-m", "teacherlm.cli", "--help"],
        }
        asked |= {f"teacherlm {name} --help": [sys.executable, "-m", "teacherlm.cli", name, "--help"] for name in (*STAGES, *COMMANDS)}
        times: dict[str, list[tuple[float, float]]] = {label: [] for label in asked}
        for _ in range(ROUNDS):
            for label, command in asked.items():
                times[label].append(seconds(command))
    found = {label: (statistics.median(wall for wall, _ in each), min(cpu for _, cpu in each)) for label, each in times.items()}
    base, base_cpu = found["two-command Typer app"]
    for label, (middle, cpu) in found.items():
        print(f"{label:<32} {middle * 1000:7.0f} ms  {middle / base:5.2f}x   CPU {cpu * 1000:5.0f} ms  {cpu / base_cpu:5.2f}x")


if __name__ == "__main__":
    main()
