"""TRL 1.16's SFTTrainer against ours, packing on and off: the same model, rows and lengths; CPU fp32; one run.

    OMP_NUM_THREADS=1 python benchmarks/train_trl.py [--batches 4] [--rounds 2] [--small] [--venv FOLDER]

TRL runs in a virtual environment of its own (made at first use in --venv, by default under the cache folder), with this torch and
transformers. By hand: python -m venv FOLDER; FOLDER/bin/pip install torch==2.13.0;
FOLDER/bin/pip install trl==1.16.0 transformers==5.23.0; touch FOLDER/ready.
Work and model are those of train_work.py; every round all train on the same rows. Tokens are real ones: those of the rows, however often
padding or packing makes a trainer compute others; rows are given to TRL as prompt and completion, about 64 of them a step. Tokenising is
left out of all times. All mask what other rows of a sequence wrote; a mean over steps is not one over tokens, so losses differ a little.
Aim: >= 1.4 x TRL's best.
"""

import argparse
import copy
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
from real_work import Clock, ratio, show
from train_work import drawn_rows, llama, ours, real_rows, token_counts, train_tokenizer
from transformers.utils.logging import disable_progress_bar

from teacherlm.store.files import write_jsonl
from teacherlm.training.encoding import encode
from teacherlm.training.families import Causal
from teacherlm.training.sft import Sft
from teacherlm.training.texts import Text

TRL = "1.16.0"
PACKAGES = [f"trl=={TRL}", *(f"{name}=={version(name)}" for name in ("transformers", "datasets", "accelerate"))]
SETTINGS: dict[str, dict[str, Any]] = {
    "TRL, padded, 8 rows": {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 8},
    "TRL, padded, 16 rows": {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 4},
    "TRL, padded, 16 rows, by length": {
        "per_device_train_batch_size": 16, "gradient_accumulation_steps": 4, "train_sampling_strategy": "group_by_length",
    },
    "TRL, 8 rows without padding": {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 8, "padding_free": True},
    "TRL, packed into 1024": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 6, "packing": True, "max_length": 1024},
    "TRL, packed into 2048": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 3, "packing": True, "max_length": 2048},
}  # fmt: skip
OURS = {"ours, by length": False, "ours, packed": True}
THEIRS = """
import json, sys, time
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer
folder, threads, settings = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
torch.set_num_threads(threads)
tokenizer = AutoTokenizer.from_pretrained(folder)
rows = [json.loads(line) for line in open(folder + "/rows.jsonl")]
data = Dataset.from_list([{"prompt": r["prompt"], "completion": r["text"][len(r["prompt"]):]} for r in rows])
for name, own in settings:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    own.setdefault("max_length", None if own.get("padding_free") else 2048)
    config = SFTConfig(output_dir=folder + "/out", num_train_epochs=1, learning_rate=1e-9, save_strategy="no", report_to=[],
                       disable_tqdm=True, use_cpu=True, bf16=False, fp16=False, gradient_checkpointing=False, logging_steps=1000, **own)
    trainer = SFTTrainer(model=model, args=config, train_dataset=data, processing_class=tokenizer)
    real = sum(len(ids) for ids in trainer.train_dataset["input_ids"])
    started, cpu = time.perf_counter(), time.process_time()
    done = trainer.train()
    print(json.dumps({"name": name, "seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu,
                      "tokens": real, "loss": done.training_loss}), flush=True)
"""


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "teacherlm" / "trl-venv"
    words.add_argument("--batches", type=int, default=4)
    words.add_argument("--rounds", type=int, default=2)
    words.add_argument("--small", action="store_true")
    words.add_argument("--venv", type=Path, default=cache)
    given = words.parse_args()
    disable_progress_bar()
    python = ready(given.venv)
    everything = real_rows()
    tokenizer = train_tokenizer([row["text"] for row in everything])
    lengths = token_counts(everything, tokenizer)
    model = llama(len(tokenizer), given.small)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f}M weights, {torch.get_num_threads()} threads, TRL {TRL}")
    clocks = {name: Clock() for name in (*SETTINGS, *OURS)}
    tokens = 0
    for turn in range(given.rounds):
        rows = [everything[i] for i in drawn_rows(lengths, given.batches, turn, given.rounds)]
        tokens += round_of(rows, tokenizer, model, python, clocks)
        for name, clock in clocks.items():
            show(name, tokens, clock)
        best = min(SETTINGS, key=lambda name: clocks[name].cpu_seconds)
        for name in OURS:
            print(f"{name} over TRL's best ({best})  {ratio(clocks[best], clocks[name], '>= 1.4')}", flush=True)


def round_of(rows: list[dict[str, str]], tokenizer: Any, model: Any, python: Path, clocks: dict[str, Clock]) -> int:
    """Each once on these rows; returns how many tokens they have."""
    texts = [Text(row["text"], len(row["prompt"]), f"row {i}") for i, row in enumerate(rows)]
    encoded = encode(texts, tokenizer, Sft(Causal()), Causal(), 2048)
    print(f"{len(rows)} rows, {encoded.tokens} tokens")
    for name, packing in OURS.items():
        loss, _ = ours(encoded.rows, tokenizer, packing)(copy.deepcopy(model), clocks[name])
        print(f"  {name}: mean loss of its tokens {loss:.4f}")
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_jsonl(Path(folder, "rows.jsonl"), rows)
        for told in run_theirs(python, folder):
            clock = clocks[told["name"]]
            clock.seconds, clock.cpu_seconds = clock.seconds + told["seconds"], clock.cpu_seconds + told["cpu_seconds"]
            print(f"  {told['name']}: its tokens {told['tokens']}, mean loss of its steps {told['loss']:.4f}", flush=True)
    return encoded.tokens


def run_theirs(python: Path, folder: str) -> list[dict[str, Any]]:
    """{name, seconds, cpu_seconds, tokens, loss} of their training by each setting, without loading and tokenising."""
    words = [str(python), "-c", THEIRS, folder, str(torch.get_num_threads()), json.dumps(list(SETTINGS.items()))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
    assert [one["name"] for one in told] == list(SETTINGS)
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
