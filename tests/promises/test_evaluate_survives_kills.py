"""An evaluation killed at any moment ends with the very bytes of one never killed, and nothing is answered twice."""

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from word_students import write_checkpoint, write_questions

from teacherlm.store.files import read_jsonl

KILLS = 10
PROGRAM = """
import json, os, random, signal, sys, threading, time
from collections import Counter
from pathlib import Path
from tqdm import tqdm
from teacherlm.parsing import parse_config
from teacherlm.stages.evaluate import EvaluateConfig, evaluate

def started(values):
    child = os.fork()  # all is imported, and one thread computes
    if not child:
        tqdm.set_lock(threading.RLock())  # its own is shared by all forks, and one that is killed may hold it
        evaluate(parse_config(EvaluateConfig, values))
        os._exit(0)
    return child

def lines(path):
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:  # measured to the end since it was listed
        return []

def answered(output):
    # keys by measurement
    segments = list(Path(output).glob("measured/*/answers/*.jsonl"))
    return Counter((path.parent, line[:42]) for path in segments for line in lines(path) if line.endswith(b"}"))

def work(output):
    return len(answered(output)) + 100 * len(list(Path(output).glob("measured/*/result.json")))

whole, broken, kills, seed = json.loads(sys.argv[1])
evaluate(parse_config(EvaluateConfig, whole))
moments, killed, found = random.Random(seed), 0, []
while killed < kills:
    child, enough = started(broken), work(broken["output"]) + moments.randint(1, 120)
    while os.waitpid(child, os.WNOHANG)[0] == 0 and work(broken["output"]) < enough:
        time.sleep(0.001)
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        break
    os.waitpid(child, 0)
    killed += 1
    keys = answered(broken["output"])
    found.append(len(keys))
    assert not keys or max(keys.values()) == 1, keys.most_common(3)
assert os.waitpid(started(broken), 0)[1] == 0
print(json.dumps({"killed": killed, "in hand": found}))
"""


def results(output: Path) -> list[dict[str, Any]]:
    return [{**row, "seconds": 0} for _, row in read_jsonl(output / "results.jsonl")]


@pytest.mark.slow
def test_kills_at_random_moments_change_no_byte_and_nothing_is_answered_twice(tmp_path: Path) -> None:
    run = tmp_path / "finetune"
    for step in (1, 2, 3):
        write_checkpoint(run, step)
    data = write_questions(tmp_path / "prepare", range(60), choices=["2", "3"], answer="A", answer_rule="letter")
    values = {"input": str(run), "tasks": "questions,questions_letters", "data": str(data), "max_new_tokens": 60, "batch_size": 2}
    outputs = [tmp_path / "whole", tmp_path / "broken"]
    words = json.dumps([*({**values, "output": str(output)} for output in outputs), KILLS, random.Random().random()])
    done = subprocess.run([sys.executable, "-c", PROGRAM, words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["killed"] >= 2 and any(told["in hand"]), told  # else nothing was shown
    whole, broken = map(results, outputs)
    assert whole == broken and Counter(row["task"] for row in whole) == {"questions": 6, "questions_letters": 3}
    for row in whole:
        assert (outputs[0] / row["predictions"]).read_bytes() == (outputs[1] / row["predictions"]).read_bytes()
    assert not list(outputs[1].glob("measured/*/answers"))
