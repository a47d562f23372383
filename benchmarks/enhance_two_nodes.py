"""What a second node brings to enhance: tokens/s over two Slurm nodes, each pinned to a core of its own, divided by one node's; one run.

    python benchmarks/enhance_two_nodes.py [--rows 4096] [--tokens 128] [--rounds 3] [--quick]

A real Slurm of two nodes on this machine (tests/slurm_cluster.py: root, `apt-get install slurm-wlm munge`), stories260k as the teacher,
CREAK prompts (kind cot), greedy, one thread a process. One node does all rows in one job; two nodes do half each as shards that share a
ledger, and a third job writes the rows. For what the machine itself allows, the same work by plain processes that share nothing: one on the
first core, then two on both. All four are interleaved in each round; --rounds of them, the medians at the end. Aim: >= 1.8 x.
- wall: from the command (or `submit`) to the last manifest, start-up of python, torch and Slurm included.
- in work: all tokens over the time from the first process that begins to ask to the last answer of the last one, by manifests and ledgers;
  the models are loaded before (`on_overlong: fail` counts the prompts first).
--quick: 128 rows, 16 tokens, 1 round; it shows that all runs through, its ratios say nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from slurm_cluster import NODES, Cluster, find_obstacle, running_cluster  # noqa: E402

from teacherlm.launch.submit import submit_pipeline  # noqa: E402
from teacherlm.stages.prepare import PrepareConfig, prepare  # noqa: E402
from teacherlm.store.files import shard_place  # noqa: E402
from teacherlm.store.manifest import MANIFEST, Manifest, read_manifest  # noqa: E402

SHARED = Path(os.environ.get("TEACHERLM_TEST_DATA", HERE.parents[1] / "shared"))
LOOK_EVERY_SECONDS = 0.05
ASK_SLURM_EVERY_SECONDS = 10.0
"""Its commands take time of the cores that are measured."""
AIM = 1.8


@dataclass(frozen=True)
class Pace:
    """How fast one way did the work."""

    tokens: int
    wall: float
    in_work: float

    @property
    def rates(self) -> tuple[float, float]:
        """Tokens a second: by the wall clock, in work."""
        return self.tokens / self.wall, self.tokens / self.in_work


def main() -> None:
    given = read_words()
    cores = sorted(os.sched_getaffinity(0))[: len(NODES)]
    if obstacle := find_obstacle() or ("" if len(cores) == len(NODES) else f"needs {len(NODES)} cores, may use {len(cores)}"):
        raise SystemExit(obstacle)
    os.environ["OMP_NUM_THREADS"] = "1"
    rounds: list[dict[str, Pace]] = []
    with tempfile.TemporaryDirectory() as name, running_cluster(Path(name, "cluster"), cpus=1) as cluster:
        os.environ["SLURM_CONF"] = str(cluster.conf)
        work = Work(Path(name), settings_of(Path(name), given), cores, cluster)
        for number in range(given.rounds):
            rounds.append(work.measure(Path(name, f"round{number}")))
            report(f"round {number + 1}", [rounds[-1]])
    if len(rounds) > 1:
        report(f"medians of {len(rounds)} rounds", rounds)


def read_words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if given.quick:
        given.rows, given.tokens, given.rounds = 128, 16, 1
    return given


def settings_of(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Of enhance; its questions are written into the folder."""
    questions = folder / "questions"
    creak = {"dataset": "creak", "source": str(SHARED / "data/creak"), "limit": given.rows}
    prepare(PrepareConfig.model_validate({**creak, "output": questions}))
    teacher = {"name": "transformers", "model": str(SHARED.absolute() / "models/stories260k"), "device": "cpu"}
    asked = {"kinds": ["cot"], "max_new_tokens": given.tokens, "stop": [], "on_overlong": "fail"}
    return {"input": str(questions / "CREAK.jsonl"), "teacher": teacher, **asked}


@dataclass(frozen=True)
class Work:
    folder: Path
    settings: dict[str, Any]
    cores: Sequence[int]
    cluster: Cluster

    def measure(self, folder: Path) -> dict[str, Pace]:
        folder.mkdir()
        return {
            "one process": self._plain(folder / "plain-1", 1),
            "one node": self._slurm(folder / "slurm-1", 1),
            "two processes": self._plain(folder / "plain-2", 2),
            "two nodes": self._slurm(folder / "slurm-2", 2),
        }

    def _plain(self, folder: Path, count: int) -> Pace:
        """Each process has a slice of the questions, a core and an output of its own."""
        outputs = [folder / str(index) for index in range(count)]
        started = time.time()
        with ended_at_last(
            self._start(output, self.cores[index], {"shard": f"{index}/{count}"}) for index, output in enumerate(outputs)
        ) as processes:
            if any(process.wait() for process in processes):
                raise SystemExit(f"enhance failed: {[str(process.args) for process in processes]}")
        return pace(started, [shard_place(output, f"{index}/{count}") for index, output in enumerate(outputs)], outputs)

    def _start(self, output: Path, core: int, more: dict[str, Any]) -> "subprocess.Popen[bytes]":
        values = {**self.settings, **more, "output": str(output)}
        words = [word for key, value in values.items() for word in ("--set", f"{key}={json.dumps(value)}")]
        command = ["taskset", "--cpu-list", str(core), sys.executable, "-m", "teacherlm.cli", "enhance", *words]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _slurm(self, run: Path, count: int) -> Pace:
        file = run.with_suffix(".yaml")
        resources = {"partition": "main" if count > 1 else "one", "cpus": 1, "setup": [self._pinning()]}
        step = {**self.settings, "shards": count, "slurm": resources}
        file.write_text(yaml.safe_dump({"run_dir": str(run), "steps": [{"enhance": step}]}))
        started = time.time()
        submit_pipeline(str(file), [], [], dry_run=False)
        output = run / "enhance"
        self._wait_for(output / MANIFEST, run)
        self.cluster.wait_idle()
        places = [shard_place(output, f"{index}/{count}") for index in range(count)] if count > 1 else [output]
        nodes = sorted(done(place).slurm["nodes"] for place in places)
        if nodes != list(NODES[:count]):
            raise SystemExit(f"the jobs ran on {', '.join(nodes)}")
        return pace(started, places, [output], last=output)

    def _pinning(self) -> str:
        """A line of shell that pins the job to its node's core."""
        choice = " ".join(f"{node}) core={core};;" for node, core in zip(NODES, self.cores, strict=True))
        return f'case "$SLURMD_NODENAME" in {choice} esac; taskset --cpu-list --pid "$core" $$ > /dev/null'

    def _wait_for(self, manifest: Path, run: Path) -> None:
        asked = time.monotonic()
        while not manifest.is_file():
            time.sleep(LOOK_EVERY_SECONDS)
            if time.monotonic() - asked > ASK_SLURM_EVERY_SECONDS:
                asked = time.monotonic()
                if not self.cluster.ask("squeue", "--noheader") and not manifest.is_file():
                    logs = "\n".join(path.read_text()[-2000:] for path in run.rglob("*.log"))
                    raise SystemExit(f"the jobs ended without their output:\n{logs}")


@contextmanager
def ended_at_last(started: Iterator["subprocess.Popen[bytes]"]) -> Iterator[list["subprocess.Popen[bytes]"]]:
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for process in started:
            processes.append(process)
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def done(place: Path) -> Manifest:
    manifest = read_manifest(place)
    if manifest is None:
        raise SystemExit(f"{place}: has no manifest")
    return manifest


def pace(started: float, places: Sequence[Path], outputs: Sequence[Path], last: Path | None = None) -> Pace:
    """Of jobs with their manifests at `places` and their ledgers in `outputs`; `last` is what was written after all of them."""
    facts = [done(place).facts for place in sorted(places, key=written_at)]
    answered = sorted(segment.stat().st_mtime for output in outputs for segment in (output / "ledger").glob("*.jsonl"))
    began = min(end - fact["seconds_asked"] for end, fact in zip(answered, facts, strict=True))
    wall = max(map(written_at, [*places, *([last] if last else [])])) - started
    return Pace(sum(fact["tokens_asked"] for fact in facts), wall, answered[-1] - began)


def written_at(place: Path) -> float:
    return (place / MANIFEST).stat().st_mtime


def report(title: str, rounds: Sequence[dict[str, Pace]]) -> None:
    print(f"{title}:")
    for way in rounds[0]:
        wall, in_work = (median(found[way].rates[kind] for found in rounds) for kind in (0, 1))
        seconds = median(found[way].wall for found in rounds)
        print(f"  {way:<14} {seconds:7.1f} s wall, {wall:8.0f} tokens/s by the wall, {in_work:8.0f} tokens/s in work")
    for one, two, aim in (("one process", "two processes", ", what the machine allows"), ("one node", "two nodes", f", aim >= {AIM}")):
        wall, in_work = (median(found[two].rates[kind] / found[one].rates[kind] for found in rounds) for kind in (0, 1))
        print(f"  {two} over {one}: {wall:.2f} x by the wall, {in_work:.2f} x in work{aim}", flush=True)


if __name__ == "__main__":
    main()
