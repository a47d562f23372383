"""How long a report takes over stored results: 3 tasks x 6 students x 3 seeds, and 100,000 answers to 100,000 questions.

    python benchmarks/report_speed.py [--items 100000]

The results are written by tests/finished_run.py as the stages write them. Each report is a process of its own, start-up included.
Target: <= 10 s for 100,000 items.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from finished_run import SIX, Run

PROGRAM = """
import sys
from pathlib import Path
from teacherlm.stages.report import ReportConfig, report
report(ReportConfig(input=[Path(word) for word in sys.argv[2:]], output=Path(sys.argv[1])))
"""


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--items", type=int, default=100_000)
    items = words.parse_args().items
    with tempfile.TemporaryDirectory() as folder:
        tasks, each = ("creak", "ecqa", "strategyqa"), max(1, items // 54)
        grid = Run(Path(folder, "grid"), SIX, (0, 1, 2), each, tasks, lettered=True, last_only=True)
        measure("3 tasks x 6 students x 3 seeds", grid.write()[1:], Path(folder, "grid-report"))
        pair = Run(Path(folder, "pair"), {"text": 0.22, "cot_head": 0.93}, (0,), items, last_only=True)
        measure(f"2 students on one task of {items:,} questions", pair.write()[1:], Path(folder, "pair-report"))


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(what: str, outputs: Sequence[Path], to: Path) -> None:
    answers = sum(path.read_bytes().count(b"\n") for output in outputs for path in output.glob("measured/*/predictions.jsonl"))
    started, before = time.perf_counter(), cpu_of_children()
    subprocess.run([sys.executable, "-c", PROGRAM, str(to), *map(str, outputs)], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    page = (to / "report.html").stat().st_size
    cpu = cpu_of_children() - before
    print(
        f"{what}: {answers:,} answers, {seconds:.1f} s, {cpu:.1f} s of CPU (target 10 s for 100,000), page of {page / 1e6:.2f} MB",
        flush=True,
    )


if __name__ == "__main__":
    main()
