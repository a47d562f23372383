"""Twelve checkpoints on four tasks of letters: `teacherlm evaluate` against the `lm_eval` command called for each; one run, same numbers.

    python benchmarks/evaluate_checkpoints.py [--checkpoints 12] [--limit 200] [--quick]

The checkpoints are stories260k with a little noise on its weights (fp32, CPU, one thread); the tasks are ours, read by both from the same
files (creak, ecqa, strategyqa, mmlu_anatomy). `lm_eval` has the best of four batch sizes, tried on the first checkpoint; ours its default.
Both are whole processes, start-up included. Every score of every checkpoint must be the same. Aim: >= 4 x.
Then ours once more with nothing new: the command (<= 1 s more than its own start-up), and the stage itself where its manifest is gone, so
that it has to look at every task and checkpoint, after the libraries are imported (<= 1 s). --quick: 2 checkpoints, 40 questions.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from real_work import DATA, Clock, ratio
from transformers import AutoModelForCausalLM, AutoTokenizer

from teacherlm.evaluation.content import OURS
from teacherlm.launch.job import FrozenJob, write_job
from teacherlm.store.checkpoints import seal_checkpoint
from teacherlm.store.files import read_jsonl
from teacherlm.store.manifest import MANIFEST, Manifest, write_manifest

MODEL = DATA.parent / "models" / "stories260k"
TASKS = {"creak": "creak", "ecqa": "ecqa", "strategyqa": "strategyqa", "mmlu_anatomy": "mmlu"}
"""And the dataset of each."""
SPLITS = {"creak": "validation", "ecqa": "validation", "strategyqa": "train", "mmlu": "test"}
BATCH_SIZES = (4, 8, 16, 64)
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
BIN = Path(sys.executable).parent
LOOK_AGAIN = """
import json, sys, time
import lm_eval.models.huggingface, torch, transformers, datasets
from teacherlm.parsing import parse_config
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
config = parse_config(EvaluateConfig, json.loads(sys.argv[1]))
started = time.perf_counter()
assert evaluate(config).counts["measured"] == 0
print(time.perf_counter() - started)
"""
Scores = dict[str, float]


def write_checkpoints(run: Path, count: int) -> list[Path]:
    """As an output of finetune that is finished."""
    run.mkdir()
    torch.manual_seed(0)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32), AutoTokenizer.from_pretrained(MODEL)
    for step in range(1, count + 1):
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.02 * weight.std() * torch.randn_like(weight)
        model.save_pretrained(run / f"checkpoint-{step}")
        tokenizer.save_pretrained(run / f"checkpoint-{step}")
        seal_checkpoint(run / f"checkpoint-{step}", step, float(step), {})
    write_job(run, FrozenJob("finetune", {}, "0123456789abcdef", {}, ()))
    write_manifest(run, Manifest("finetune", 1, "0123456789abcdef", {"input": "gone"}, {}))
    return [run / f"checkpoint-{step}" for step in range(1, count + 1)]


def read_data(folder: Path) -> dict[str, Path]:
    """By dataset; ECQA's table with CommonsenseQA's key beside it."""
    (folder / "ecqa").mkdir()
    (folder / "ecqa" / "cqa_data_val.csv").symlink_to(DATA / "ecqa" / "cqa_data_val.csv")
    (folder / "ecqa" / "train_rand_split.jsonl").symlink_to(DATA / "commonsenseqa" / "train_rand_split.jsonl")
    places = {"creak": DATA / "creak", "strategyqa": DATA / "strategyqa" / "train.json", "mmlu": DATA / "mmlu"}
    return {**places, "ecqa": folder / "ecqa"}


def measured(clock: Clock, command: Sequence[str | Path]) -> str:
    """What the command says on its standard output; its seconds and those of its CPU are added to the clock."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([str(word) for word in command], env=ONE_THREAD, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[-3000:]
    clock.seconds += time.perf_counter() - started
    clock.cpu_seconds += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout


def plain(clock: Clock, model: Path, data: dict[str, Path], limit: int, batch_size: int, folder: Path) -> Scores:
    told = json.dumps({"data": {name: str(path) for name, path in data.items()}, "split": SPLITS})
    command = [BIN / "lm_eval", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32", "--device", "cpu"]
    command += ["--include_path", OURS, "--tasks", ",".join(TASKS), "--metadata", told, "--limit", str(limit)]
    measured(clock, [*command, "--batch_size", str(batch_size), "--output_path", folder])
    (results,) = folder.rglob("results_*.json")
    found = json.loads(results.read_text())["results"]
    return {task: found[task]["acc,none"] for task in TASKS}


def all_plain(models: Sequence[Path], data: dict[str, Path], limit: int, folder: Path) -> tuple[Clock, list[Scores]]:
    tried = {}
    for size in BATCH_SIZES:
        clock = Clock()
        scores = plain(clock, models[0], data, limit, size, folder / f"tried-{size}")
        tried[size] = (clock.seconds, clock, scores)
        print(f"lm_eval, batch size {size:<4}         {clock.seconds:8.2f} s  (CPU time {clock.cpu_seconds:.2f} s)", flush=True)
    best = min(tried, key=lambda size: tried[size][0])
    _, clock, scores = tried[best]
    return clock, [scores, *(plain(clock, model, data, limit, best, folder / model.name) for model in models[1:])]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--checkpoints", type=int, default=12)
    words.add_argument("--limit", type=int, default=200)
    words.add_argument("--quick", action="store_true")
    given = words.parse_args()
    count, limit = (2, 40) if given.quick else (given.checkpoints, given.limit)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        models, data = write_checkpoints(folder / "run", count), read_data(folder)
        paths = {task: str(data[dataset]) for task, dataset in TASKS.items()}
        splits = {task: SPLITS[dataset] for task, dataset in TASKS.items()}
        config = {"input": str(folder / "run"), "output": str(folder / "scores"), "tasks": list(TASKS), "data": paths, "split": splits}
        config |= {"limit": limit, "dtype": "float32", "device": "cpu"}
        compare(config, models, data, limit, folder)
        again(config)


def compare(config: dict[str, object], models: Sequence[Path], data: dict[str, Path], limit: int, folder: Path) -> None:
    ours = Clock()
    measured(ours, command_of(config))
    rows = [row for _, row in read_jsonl(Path(str(config["output"]), "results.jsonl")) if row["metric"] == "acc"]
    scores = {(row["checkpoint"], row["task"]): row["value"] for row in rows}
    theirs, expected = all_plain(models, data, limit, folder / "plain")
    for model, found in zip(models, expected, strict=True):
        for task, value in found.items():
            assert abs(scores[model.name, task] - value) < 1e-12, (model.name, task, scores[model.name, task], value)
    print(f"lm_eval, {len(models)} calls             {theirs.seconds:8.2f} s  (CPU time {theirs.cpu_seconds:.2f} s)")
    print(f"teacherlm evaluate            {ours.seconds:8.2f} s  (CPU time {ours.cpu_seconds:.2f} s)")
    print(f"{len(scores)} scores are the same ({len(set(scores.values()))} different ones); {ratio(theirs, ours, '>= 4')}", flush=True)


def again(config: dict[str, object]) -> None:
    bare, second = Clock(), Clock()
    measured(bare, [BIN / "teacherlm", "evaluate", "--help"])
    measured(second, command_of(config))
    print(f"with nothing new: {second.seconds:.2f} s, its --help alone {bare.seconds:.2f} s", end=" ")
    print(f"(CPU time {second.cpu_seconds:.2f} and {bare.cpu_seconds:.2f})")
    Path(str(config["output"]), MANIFEST).unlink()
    seconds = float(measured(Clock(), [sys.executable, "-c", LOOK_AGAIN, json.dumps(config)]).split()[-1])
    print(f"the same without its manifest, after the imports: {seconds:.2f} s (aim <= 1)")


def command_of(config: dict[str, object]) -> list[str | Path]:
    named = {key: value for key, value in config.items() if key not in ("data", "split", "tasks")}
    words = [word for key, value in named.items() for word in (f"--{key}", str(value))]
    inside = [word for key in ("data", "split") for name, value in config[key].items() for word in ("--set", f"{key}.{name}={value}")]  # type: ignore[attr-defined]
    return [BIN / "teacherlm", "evaluate", *words, "--tasks", ",".join(TASKS), *inside]


if __name__ == "__main__":
    main()
