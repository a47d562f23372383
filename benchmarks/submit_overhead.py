"""What orchestration costs: submit of a pipeline of 10,000 jobs, and status of it, nothing done and all done.

On a real Slurm where one can be started (root, `apt-get install slurm-wlm munge`); its jobs are held back, so that only the handing over
is measured. Prints seconds, calls of sbatch, and the seconds of the same status with every job done.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from slurm_cluster import find_obstacle, running_cluster  # noqa: E402

from teacherlm.launch.planned import read_plan  # noqa: E402
from teacherlm.store.manifest import Manifest, write_manifest  # noqa: E402

PLUGINS = HERE.parent / "tests" / "plugins"


def timed(*words: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Seconds of a whole command, from its start to its end."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "teacherlm.cli", *words], capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stderr)
    return seconds, done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    jobs = parser.parse_args().jobs
    if obstacle := find_obstacle():
        raise SystemExit(obstacle)
    with tempfile.TemporaryDirectory() as folder, running_cluster(Path(folder, "cluster"), max_array=1001) as cluster:
        os.environ["SLURM_CONF"] = str(cluster.conf)
        run = Path(folder, "run")
        half = jobs // 2
        held = {"options": {"hold": True}}
        steps = [
            {"number": {"matrix": {"value": list(range(half))}}},
            {"add": {"slurm": held}},
            {"total": {}},
        ]
        file = Path(folder, "pipeline.yaml")
        file.write_text(yaml.safe_dump({"run_dir": str(run), "slurm": held, "steps": steps}))
        seconds, done = timed("submit", str(file), "--plugins", str(PLUGINS))
        arrays = len(list((run / "slurm").glob("*.json")))
        print(f"submit: {seconds:.1f} s for {2 * half + 1} jobs, {arrays} calls of sbatch ({done.stderr.splitlines()[0]})")
        again, _ = timed("submit", str(file), "--plugins", str(PLUGINS))
        print(f"submit again, all queued: {again:.1f} s")
        print(f"status, all queued: {timed('status', str(run))[0]:.2f} s")
        for job in read_plan(run):
            write_done(run, job.place, job.fingerprint)
        print(f"cancel: {timed('cancel', str(run))[0]:.2f} s")
        print(f"status, all done: {timed('status', str(run))[0]:.2f} s")


def write_done(run: Path, place: str, fingerprint: str) -> None:
    """As a finished job leaves its place."""
    write_manifest(run / place, Manifest("add", 1, fingerprint, {}, {}, counts={"rows": 1}, seconds=1.0, versions={"python": "3.11"}))


if __name__ == "__main__":
    main()
