"""Memory and speed of prepare + postprocess on CREAK repeated 10 and 100 times: peak anonymous memory, the ratio, rows a second.

    python benchmarks/streaming.py [CREAK folder] [--times 10 100]

Every stage runs in a fresh process whose RssAnon (/proc/<pid>/status) is sampled every 20 ms; mapped files do not count.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DEFAULT = Path(os.environ.get("TEACHERLM_TEST_DATA", Path(__file__).resolve().parents[2] / "shared")) / "data" / "creak"
EVERY_SECONDS = 0.02
RATIONALES = (" It is well known. The answer is ({gold}).", " Nobody can be sure of that.", " Then again, the answer is ({other}).")


def repeat(creak: Path, times: int, folder: Path) -> None:
    """The published train file, `times` times over."""
    folder.mkdir(parents=True)
    content = (creak / "train.json").read_bytes()
    with (folder / "train.json").open("wb") as file:
        for _ in range(times):
            file.write(content)


def explain(questions: Path, output: Path) -> None:
    """Rows as `enhance` writes them; every third states a wrong answer."""
    with questions.open() as source, output.open("w") as target:
        for number, line in enumerate(source):
            row = json.loads(line)
            text = RATIONALES[number % 3].format(gold=row["answer"], other="B" if row["answer"] == "A" else "A")
            row |= {"cot": text, "all": row["cot_text"] + text, "completion_index": 0, "teacher": "scripted", "cot_finish": "stop"}
            target.write(json.dumps(row) + "\n")


def run_stage(stage: str, config: dict[str, Any]) -> None:
    """In the measured process: runs the stage, prints its counts and seconds."""
    from teacherlm.catalog import find

    chosen = find("stages", stage)
    started = time.perf_counter()
    outcome = chosen.run(chosen.config.model_validate(config))
    print(json.dumps({"seconds": time.perf_counter() - started, "rows": outcome.counts["in"], "kept": outcome.counts["out"]}))


def anonymous_memory(pid: int) -> float:
    """MiB; 0 when the process is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("RssAnon:")), 0.0)


def measure(stage: str, **config: str | list[str]) -> dict[str, float]:
    command = [sys.executable, __file__, "--stage", stage, "--config", json.dumps(config)]
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(command, stdout=said, stderr=subprocess.DEVNULL)
        peak = 0.0
        while child.poll() is None:
            peak = max(peak, anonymous_memory(child.pid))
            time.sleep(EVERY_SECONDS)
        if child.returncode != 0:
            raise SystemExit(f"{stage} failed: {' '.join(command)}")
        said.seek(0)
        return {**json.loads(said.read()), "peak": peak}


def both_stages(creak: Path, times: int, folder: Path) -> dict[str, float]:
    """Stage -> peak MiB."""
    repeat(creak, times, folder / "source")
    prepared = measure("prepare", dataset="creak", source=str(folder / "source"), output=str(folder / "questions"))
    explain(folder / "questions" / "CREAK.jsonl", folder / "CREAK_cot.jsonl")
    finished = measure("postprocess", input=[str(folder / "CREAK_cot.jsonl")], output=str(folder / "examples"))
    for stage, found in (("prepare", prepared), ("postprocess", finished)):
        speed, peak = found["rows"] / found["seconds"], found["peak"]
        print(
            f"x{times:<4} {stage:<12} {found['rows']:>9,} rows  {found['seconds']:7.1f} s  {speed:8,.0f} rows/s  peak {peak:6.1f} MiB",
            flush=True,
        )
    return {"prepare": prepared["peak"], "postprocess": finished["peak"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("creak", type=Path, nargs="?", default=DEFAULT)
    parser.add_argument("--times", type=int, nargs=2, default=(10, 100))
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    parser.add_argument("--config", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage:
        run_stage(given.stage, given.config)
        return
    peaks = []
    for times in given.times:
        with tempfile.TemporaryDirectory() as folder:
            peaks.append(both_stages(given.creak, times, Path(folder)))
    few, many = given.times
    for stage in ("prepare", "postprocess"):
        print(f"{stage:<12} peak anonymous memory x{many} / x{few}: {peaks[1][stage] / peaks[0][stage]:.2f}")


if __name__ == "__main__":
    main()
