"""TRL 1.16's SFTTrainer against ours, packing on and off: the same model, rows and lengths; CPU fp32; one run.

    python benchmarks/train_trl.py [--rows 1024] [--small] [--venv FOLDER]

TRL runs in a virtual environment of its own (made at first use in --venv, by default under the cache folder), with this torch and
transformers. Work and model are those of train_throughput.py. Tokens are real ones: those of the rows, however often padding or packing
makes a trainer compute others; rows are given to TRL as prompt and completion. Tokenising is left out of both times.
Aim: >= 1.4 x TRL's best.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from real_work import Clock, ratio, show
from train_throughput import BATCH, SEED, llama, ours, real_rows, small_llama, train_tokenizer
from transformers.utils.logging import disable_progress_bar

from teacherlm.store.files import write_jsonl
from teacherlm.training.encoding import encode
from teacherlm.training.families import Causal
from teacherlm.training.sft import Sft
from teacherlm.training.texts import Text

TRL = "1.16.0"
PACKAGES = [f"trl=={TRL}", *(f"{name}=={version(name)}" for name in ("transformers", "datasets", "accelerate"))]
SETTINGS: dict[str, dict[str, Any]] = {
    "TRL, padded, 8 rows": {"per_device_train_batch_size": 8},
    "TRL, padded, 16 rows": {"per_device_train_batch_size": 16},
    "TRL, padded, by length": {"per_device_train_batch_size": 16, "train_sampling_strategy": "group_by_length"},
    "TRL, packed into 1024": {"per_device_train_batch_size": 1, "packing": True, "max_length": 1024},
    "TRL, packed into 2048": {"per_device_train_batch_size": 1, "packing": True, "max_length": 2048},
}
THEIRS = """
import json, sys, time
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer
folder, threads, own = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
torch.set_num_threads(threads)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(folder)
rows = [json.loads(line) for line in open(folder + "/rows.jsonl")]
data = Dataset.from_list([{"prompt": r["prompt"], "completion": r["text"][len(r["prompt"]):]} for r in rows])
own.setdefault("max_length", 2048)
batch = own.pop("batch") // own["per_device_train_batch_size"]
own.setdefault("gradient_accumulation_steps", 1 if own.get("packing") else batch)
config = SFTConfig(output_dir=folder + "/out", num_train_epochs=1, learning_rate=1e-9, save_strategy="no", report_to=[], disable_tqdm=True,
                   use_cpu=True, bf16=False, fp16=False, gradient_checkpointing=False, logging_steps=1000, **own)
trainer = SFTTrainer(model=model, args=config, train_dataset=data, processing_class=tokenizer)
real = sum(len(ids) for ids in trainer.train_dataset["input_ids"])
started, cpu = time.perf_counter(), time.process_time()
done = trainer.train()
print(json.dumps({"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu, "tokens": real,
                  "loss": done.training_loss}))
"""


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "teacherlm" / "trl-venv"
    words.add_argument("--rows", type=int, default=1024)
    words.add_argument("--small", action="store_true")
    words.add_argument("--venv", type=Path, default=cache)
    given = words.parse_args()
    disable_progress_bar()
    python = ready(given.venv)
    everything = real_rows()
    tokenizer = train_tokenizer([row["text"] for row in everything])
    rows = random.Random(SEED).sample(everything, given.rows)
    build = small_llama if given.small else llama
    texts = [Text(row["text"], len(row["prompt"]), f"row {i}") for i, row in enumerate(rows)]
    encoded = encode(texts, tokenizer, Sft(Causal()), Causal(), 2048)
    print(f"{len(rows)} rows, {encoded.tokens} tokens, {torch.get_num_threads()} threads, TRL {TRL}")
    clocks: dict[str, Clock] = {}
    with tempfile.TemporaryDirectory() as folder:
        build(len(tokenizer)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_jsonl(Path(folder, "rows.jsonl"), rows)
        for name, settings in SETTINGS.items():
            told = run_theirs(python, folder, {**settings, "batch": BATCH})
            clocks[name] = Clock(told["seconds"], told["cpu_seconds"], 1)
            show(name, encoded.tokens, clocks[name])
            print(f"  its tokens {told['tokens']}, mean loss of its batches {told['loss']:.4f}")
    best = min(clocks, key=lambda name: clocks[name].seconds)
    for name, packing in (("ours, by length", False), ("ours, packed", True)):
        clock = Clock()
        loss, _ = ours(encoded.rows, tokenizer, packing)(build(len(tokenizer)), clock)
        show(name, encoded.tokens, clock)
        print(f"  mean loss of its tokens {loss:.4f}")
        print(f"{name} over TRL's best ({best})  {ratio(clocks[best], clock, '>= 1.4')}")


def run_theirs(python: Path, folder: str, settings: dict[str, Any]) -> dict[str, Any]:
    """{seconds, cpu_seconds, tokens, loss} of their training, without loading and tokenising."""
    words = [str(python), "-c", THEIRS, folder, str(torch.get_num_threads()), json.dumps(settings)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def ready(folder: Path) -> Path:
    """The python of an environment with TRL. torch comes first and alone, in the version of this environment."""
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"installing TRL into {folder} ...", file=sys.stderr)
        venv.create(folder, with_pip=True)
        for packages in ([f"torch=={torch.__version__.partition('+')[0]}"], PACKAGES):
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        (folder / "ready").touch()
    return python


if __name__ == "__main__":
    main()
