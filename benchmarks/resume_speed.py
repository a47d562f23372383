"""A run of 1,000,000 questions is killed near its end and started again: how long until its first new completion is on disk.

    python benchmarks/resume_speed.py [--rows 1000000] [--text-bytes 900]

The run is real (scripted engine, a process of its own, SIGKILL at 98%); its ledger grows to about 1 GB. Target: <= 5 s.
The second line is the same without the note of how far the questions are answered: every finished one is looked at again.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson

from teacherlm.prompts import SUFFIX

PROGRAM = """
import sys
from teacherlm.parsing import parse_config
from teacherlm.stages.enhance import EnhanceConfig, enhance
source, output, reply = sys.argv[1:]
enhance(parse_config(EnhanceConfig, {"input": source, "output": output, "kinds": "cot", "teacher": {"name": "scripted", "reply": reply}}))
"""
KILLED_AT = 0.98


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rows", type=int, default=1_000_000)
    words.add_argument("--text-bytes", type=int, default=900)
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "MANY.jsonl"), Path(folder, "out")
        write_questions(source, given.rows)
        reply = ("because " * given.text_bytes)[: given.text_bytes]
        started = time.perf_counter()
        run_and_kill(source, output, reply, round(KILLED_AT * given.rows * (given.text_bytes + 150)))
        size = ledger_bytes(output)
        print(f"{given.rows:,} questions; killed after {time.perf_counter() - started:.0f} s with a ledger of {size / 1e9:.2f} GB")
        print(f"first new completion after          {seconds_to_a_completion(source, output, reply):6.2f} s  (target 5 s)")
        for note in (output / "ledger").glob("frontier-*.json"):
            note.unlink()
        print(f"the same without the note how far   {seconds_to_a_completion(source, output, reply):6.2f} s")


def write_questions(path: Path, rows: int) -> None:
    with path.open("wb") as file:
        for number in range(rows):
            prompt = f"Q: Is {number} even? (A) True (B) False A: The answer is ({'AB'[number % 2]}).{SUFFIX['cot']}"
            file.write(orjson.dumps({"id": str(number), "cot_text": prompt}, option=orjson.OPT_APPEND_NEWLINE))


def run_and_kill(source: Path, output: Path, reply: str, at_bytes: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, source, output, reply], stderr=subprocess.DEVNULL)
    while ledger_bytes(output) < at_bytes:
        if process.poll() is not None:
            raise SystemExit("the run was over before it could be killed: its answers are shorter than thought")
        time.sleep(0.05)
    process.kill()
    process.wait()


def seconds_to_a_completion(source: Path, output: Path, reply: str) -> float:
    """From the start of a process until the ledger grows; the process is killed then."""
    before, started = ledger_bytes(output), time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, source, output, reply], stderr=subprocess.DEVNULL)
    try:
        while ledger_bytes(output) == before:
            if process.poll() is not None:
                raise SystemExit("nothing was left to be asked")
            time.sleep(0.005)
        return time.perf_counter() - started
    finally:
        process.kill()
        process.wait()


def ledger_bytes(output: Path) -> int:
    return sum(path.stat().st_size for path in (output / "ledger").glob("*.jsonl"))


if __name__ == "__main__":
    main()
