"""distilabel 1.5.3's TransformersLLM against the transformers engine: the same model, prompts, lengths and greedy choice; CPU; one run.

    python benchmarks/enhance_distilabel.py [--rows 256] [--their-rows 24] [--venv FOLDER]

distilabel runs in a virtual environment of its own (made at first use in --venv, by default under the cache folder), with this torch and
transformers. It calls the model row by row, as it does by default; asked greedily and without its repetition penalty, so that texts can
be compared. It writes --their-rows rows, in two halves before and after ours, and its time is multiplied up by tokens. Aim: >= 6 x.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from real_work import Clock, build_llama, creak_prompts, drawn_lengths, ratio, show, train_tokenizer

from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.records import Request

PACKAGES = ("distilabel==1.5.3", "requests", "accelerate", f"transformers=={version('transformers')}")
THEIRS = """
import json, sys, time
import torch
torch.set_num_threads(int(sys.argv[2]))
from distilabel.models.llms import TransformersLLM
llm = TransformersLLM(model=sys.argv[1], torch_dtype="float32")
llm.load()
def write(rows):
    return [llm.generate(inputs=[[{"role": "user", "content": prompt}]], max_new_tokens=length, do_sample=False, temperature=1.0,
                         repetition_penalty=1.0)[0]["generations"][0] for prompt, length in rows]
rows = json.load(sys.stdin)
write([(rows[0][0], 4)])
started, cpu = time.perf_counter(), time.process_time()
texts = write(rows)
print(json.dumps({"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu, "texts": texts}))
"""


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "teacherlm" / "distilabel-venv"
    words.add_argument("--rows", type=int, default=256)
    words.add_argument("--their-rows", type=int, default=24)
    words.add_argument("--venv", type=Path, default=cache)
    given = words.parse_args()
    python = ready(given.venv)
    tokenizer, model = train_tokenizer(), build_llama()
    rows = list(zip(creak_prompts(given.rows), drawn_lengths(tokenizer, given.rows), strict=True))
    engine = TransformersEngine(model, tokenizer, "random")
    list(engine.complete([("warm", Request(rows[0][0], 4))]))
    theirs, ours = Clock(), Clock()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        half = given.their_rows // 2
        texts = run_theirs(python, folder, rows[:half], theirs)
        with ours.measure():
            told = {one.key: one.text for one in engine.complete((str(i), Request(*row)) for i, row in enumerate(rows))}
        texts += run_theirs(python, folder, rows[half : given.their_rows], theirs)
    tokens, looked_at = sum(length for _, length in rows), sum(length for _, length in rows[: given.their_rows])
    theirs = theirs.times(tokens / looked_at)
    print(
        f"{given.rows} prompts, {tokens} tokens to write, {torch.get_num_threads()} threads; distilabel's time from {given.their_rows} rows"
    )
    show("distilabel TransformersLLM", tokens, theirs)
    show("engine", tokens, ours)
    print(f"engine over distilabel  {ratio(theirs, ours, '>= 6')}")
    print(f"texts compared {len(texts)}, differing {sum(text.strip() != told[str(i)].strip() for i, text in enumerate(texts))}")


def run_theirs(python: Path, model: str, rows: list[tuple[str, int]], clock: Clock) -> list[str]:
    """Adds to the clock what their writing took, without the loading."""
    words = [str(python), "-c", THEIRS, model, str(torch.get_num_threads())]
    done = subprocess.run(words, input=json.dumps(rows), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    clock.seconds, clock.cpu_seconds = clock.seconds + told["seconds"], clock.cpu_seconds + told["cpu_seconds"]
    return [str(text) for text in told["texts"]]


def ready(folder: Path) -> Path:
    """The python of an environment with distilabel. torch comes first and alone, in the version of this environment."""
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"installing distilabel into {folder} ...", file=sys.stderr)
        venv.create(folder, with_pip=True)
        for packages in ([f"torch=={torch.__version__.partition('+')[0]}"], list(PACKAGES)):
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        (folder / "ready").touch()
    return python


if __name__ == "__main__":
    main()
