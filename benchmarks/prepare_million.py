"""prepare of a million rows of a .jsonl: rows a second of one core, memory, reading beside `jsonlines`, a second run with nothing changed.

    python benchmarks/prepare_million.py [--rows 1000000] [--shape choices|free]

Rows a second are of CPU time (the machine may be shared; wall time stands beside it). Prepare runs in fresh processes whose RssAnon is
sampled every 20 ms, once with a tenth of the rows.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

EVERY_SECONDS = 0.02
AIM_ROWS, AIM_READING, AIM_MEMORY, AIM_AGAIN = 50_000, 2.0, 1.3, 1.0
READ_ROWS = 200_000
"""Rows of the comparison with `jsonlines`, read in turn."""


def write_rows(path: Path, count: int, shape: str) -> None:
    """Made-up questions of about 60 characters: with four choices and an explanation, or with a number as the answer."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(3000)]
    with path.open("w") as file:
        for number in range(count):
            row: dict[str, Any] = {"id": f"q{number}", "question": f"{' '.join(draw.choices(words, k=10))}?"}
            if shape == "choices":
                explanation = " ".join(draw.choices(words, k=12))
                row |= {"choices": draw.choices(words, k=4), "answer": draw.choice("ABCD"), "explanation": explanation}
            else:
                row["answer"] = draw.randrange(1000)
            file.write(f"{json.dumps(row)}\n")


def cpu_seconds(rows: Callable[[], Iterable[Any]]) -> float:
    started = time.process_time()
    for _ in rows():
        pass
    return time.process_time() - started


def compare_reading(path: Path) -> tuple[float, float]:
    """Microseconds of CPU a row, the least of three: `jsonlines` with the standard json module, ours."""
    import jsonlines

    from teacherlm.store.sources import Origin

    def theirs() -> Iterable[Any]:
        with jsonlines.open(path, loads=json.loads) as reader:
            yield from reader

    found = [(cpu_seconds(theirs), cpu_seconds(Origin(str(path)).tables()["train"].rows)) for _ in range(3)]
    count = sum(1 for _ in theirs())
    return min(one for one, _ in found) / count * 1e6, min(other for _, other in found) / count * 1e6


def run_prepare(source: str, output: str) -> None:
    """In the measured process: what `teacherlm prepare jsonl` does behind its start-up."""
    from teacherlm.launch.perform import perform
    from teacherlm.stages.prepare import STAGE

    config = STAGE.config.model_validate({"dataset": "jsonl", "source": source, "output": output})
    wall, cpu = time.perf_counter(), time.process_time()
    perform("prepare", STAGE, config)
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))


def measure(source: Path, output: Path) -> dict[str, float]:
    """`wall`, `cpu` and `peak` (MiB of anonymous memory) of one run in a process of its own."""
    return watched([__file__, "--measured", str(source), str(output)])


def watched(arguments: list[str]) -> dict[str, float]:
    """What a Python script prints as JSON, and `peak`."""
    command = [sys.executable, *arguments]
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(command, stdout=said, stderr=subprocess.DEVNULL)
        peak = 0.0
        while child.poll() is None:
            peak = max(peak, anonymous_memory(child.pid))
            time.sleep(EVERY_SECONDS)
        if child.returncode != 0:
            raise SystemExit(f"failed: {' '.join(command)}")
        said.seek(0)
        return {**json.loads(said.read()), "peak": peak}


def anonymous_memory(pid: int) -> float:
    """MiB; 0 when the process is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("RssAnon:")), 0.0)


def report(rows: int, shape: str, folder: Path) -> None:
    sources = {count: folder / f"{count}.jsonl" for count in (rows // 10, rows, min(rows, READ_ROWS))}
    for count, path in sources.items():
        write_rows(path, count, shape)
    theirs, ours = compare_reading(sources[min(rows, READ_ROWS)])
    print(f"reading: jsonlines {theirs:.2f} us of CPU a row, ours {ours:.2f}: {theirs / ours:.1f}x (aim {AIM_READING}x)", flush=True)
    found = {count: measure(sources[count], folder / f"out-{count}") for count in (rows // 10, rows)}
    for count, run in found.items():
        rates = f"{count / run['cpu']:8,.0f} rows/s of CPU time, {count / run['wall']:8,.0f} of wall time"
        print(f"prepare: {count:>9,} rows ({shape})  {rates}  (aim {AIM_ROWS:,})  peak {run['peak']:.1f} MiB", flush=True)
    print(f"memory: {rows:,} rows over {rows // 10:,}: {found[rows]['peak'] / found[rows // 10]['peak']:.2f}x (aim {AIM_MEMORY}x)")
    again = measure(sources[rows], folder / f"out-{rows}")
    print(f"a second run with nothing changed: {again['wall']:.2f} s after start-up (aim {AIM_AGAIN} s)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shape", choices=("choices", "free"), default="choices")
    parser.add_argument("--measured", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measured:
        run_prepare(*given.measured)
        return
    with tempfile.TemporaryDirectory() as folder:
        report(given.rows, given.shape, Path(folder))


if __name__ == "__main__":
    main()
