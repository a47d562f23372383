"""What this machine has of what a pipeline needs: each a finding with what to do about it. Nothing is changed, no secret is read out."""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from teacherlm.errors import UserError
from teacherlm.launch import cluster

Grade = Literal["ok", "warning", "problem"]
LITTLE_SPACE, NO_SPACE = 20 << 30, 1 << 30
"""Bytes. A checkpoint of a 1B student with its optimizer's state takes 16 GB."""
PACKAGES = ("transformers", "datasets", "accelerate", "lm_eval")
WAIT_SECONDS = 120


@dataclass(frozen=True)
class Finding:
    about: str
    grade: Grade
    found: str
    todo: str = ""


def examine() -> Iterator[Finding]:
    """One after the other, as they are found."""
    for look in (python, packages, torch_and_cards, deepspeed, slurm, disk, hub, wandb):
        try:
            yield from look()
        except Exception as error:  # a broken installation breaks in ways of its own
            name = look.__name__.replace("_", " ")
            yield Finding(
                name, "problem", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", "reinstall the package named here"
            )


def python() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} ({sys.executable})")  # an older one could not import this file


def packages() -> Iterator[Finding]:
    missing = [name for name in PACKAGES if _version(name) is None]
    found = ", ".join(f"{name} {_version(name)}" for name in PACKAGES if name not in missing)
    if missing:
        yield Finding("packages", "problem", f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    else:
        yield Finding("packages", "ok", found)


def torch_and_cards() -> Iterator[Finding]:
    """Asked in a process of its own: a driver that does not fit can end the one that asks."""
    program = (
        "import json, torch; a = torch.cuda.is_available(); print(json.dumps({'torch': torch.__version__, 'cuda': torch.version.cuda,"
        " 'cards': [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if a else []}))"
    )
    done = _run(sys.executable, "-c", program)
    if done.returncode:
        yield Finding(
            "torch", "problem", _last_line(done.stderr), "pip install torch (https://pytorch.org tells which build for which driver)"
        )
        return
    told = json.loads(done.stdout.splitlines()[-1])
    yield Finding("torch", "ok", f"{told['torch']}, built for {'CUDA ' + told['cuda'] if told['cuda'] else 'CPUs'}")
    driver = _driver()
    if told["cards"]:
        yield Finding("GPU", "ok", f"{len(told['cards'])}: {', '.join(sorted(set(told['cards'])))}; driver {driver or 'unknown'}")
    elif driver and not told["cuda"]:
        yield Finding("GPU", "problem", f"driver {driver}, but torch is built for CPUs", "install torch with CUDA (https://pytorch.org)")
    elif driver:
        todo = f"update the driver, or install a torch for an older CUDA than {told['cuda']}; see CUDA_VISIBLE_DEVICES too"
        yield Finding("GPU", "problem", f"driver {driver}, but torch sees no GPU", todo)
    else:
        yield Finding(
            "GPU", "warning", "none here: everything runs on the CPU", "for models beyond some 100M parameters use a machine with one"
        )


def deepspeed() -> Iterator[Finding]:
    """Whether it can be imported, and whether what it compiles at first use (Adam on the CPU, for zero3_offload) could be."""
    if _version("deepspeed") is None:
        yield Finding("deepspeed", "warning", "not installed", "pip install deepspeed, if you want ds_config")
        return
    program = "import deepspeed.ops.op_builder as b; x = b.CPUAdamBuilder(); print(x.is_compatible(verbose=False))"
    done = _run(sys.executable, "-c", program)
    if done.returncode:
        yield Finding(
            "deepspeed", "problem", f"{_version('deepspeed')}: {_last_line(done.stderr)}", "pip install --force-reinstall deepspeed"
        )
        return
    needs = [("a C++ compiler", shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")), ("ninja", _ninja())]
    missing = [name for name, found in needs if not found]
    found = f"{_version('deepspeed')}, zero1 to zero3 work"
    if missing or done.stdout.split()[-1:] != ["True"]:
        what = " and ".join(missing) or "a compiler that fits"
        yield Finding(
            "deepspeed", "warning", f"{found}; zero3_offload needs {what}", "install g++ and ninja (on a cluster: module load gcc)"
        )
    else:
        yield Finding("deepspeed", "ok", f"{found}; zero3_offload can build cpu_adam")


def slurm() -> Iterator[Finding]:
    if not cluster.has_slurm():
        yield Finding("slurm", "ok", "none here (no sbatch on PATH): use `teacherlm run`")
        return
    try:
        most, partitions, default = cluster.read_max_array(), cluster.read_partitions(), cluster.read_default_partition()
    except UserError as error:
        yield Finding(
            "slurm", "warning", f"`submit` does not work here: {error}", "ask your cluster's administrators; `teacherlm run` needs no Slurm"
        )
        return
    each = [f"{p.name}{'*' if p.name == default else ''} ({p.nodes} nodes{', GPUs' if p.gpus else ''})" for p in partitions.values()]
    yield Finding("slurm", "ok", f"arrays of at most {most}; partitions: {', '.join(each)}")
    if not default:
        yield Finding("slurm partition", "warning", "the cluster has no default partition", "set `slurm: {partition: ...}` in pipelines")


def disk() -> Iterator[Finding]:
    seen: set[int] = set()
    for name, folder in (("disk (here)", Path.cwd()), ("disk (HF cache)", hub_cache()), ("disk (temporary)", Path(tempfile.gettempdir()))):
        place = _existing(folder)
        if place.stat().st_dev in seen:
            continue
        seen.add(place.stat().st_dev)
        free = shutil.disk_usage(place).free
        grade: Grade = "problem" if free < NO_SPACE else "warning" if free < LITTLE_SPACE else "ok"
        todo = "" if grade == "ok" else "make room; a checkpoint takes 16 bytes for each parameter of the student while it is trained"
        yield Finding(name, grade, f"{free / (1 << 30):.1f} GiB free at {folder}", todo)


def hub() -> Iterator[Finding]:
    folder = hub_cache()
    writable = _existing(folder).is_dir() and os.access(_existing(folder), os.W_OK)
    if not writable:
        yield Finding(
            "HF cache", "problem", f"{folder} cannot be written", "set HF_HOME to a folder of yours, on a disk that all nodes see"
        )
    else:
        yield Finding("HF cache", "ok", str(folder))
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        yield Finding(
            "HF hub", "warning", "HF_HUB_OFFLINE is set: only what is in the cache is found", "unset it to download models or datasets"
        )
    else:
        yield Finding("HF hub", "ok", f"downloads are allowed{', with a token' if os.environ.get('HF_TOKEN') else ''}")


def wandb() -> Iterator[Finding]:
    """A key is never shown, only whether there is one."""
    mode, key = os.environ.get("WANDB_MODE", ""), bool(os.environ.get("WANDB_API_KEY"))
    if _version("wandb") is None:
        yield Finding("wandb", "warning", "not installed", "pip install wandb, if you want report_to: wandb")
    elif mode in ("offline", "disabled", "dryrun"):
        yield Finding("wandb", "ok", f"WANDB_MODE is {mode}; `teacherlm wandb-sync DIR` uploads runs kept offline")
    elif not key:
        yield Finding("wandb", "ok", "no WANDB_API_KEY: runs are kept offline; `teacherlm wandb-sync DIR` uploads them")
    else:
        yield Finding("wandb", "ok", "online, WANDB_API_KEY is set")


def hub_cache() -> Path:
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")).expanduser()


def _existing(folder: Path) -> Path:
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _driver() -> str:
    command = shutil.which("nvidia-smi")
    if command is None:
        return ""
    done = _run(command, "--query-gpu=driver_version", "--format=csv,noheader")
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout.strip() else ""


def _ninja() -> bool:
    return shutil.which("ninja") is not None or (Path(sys.executable).parent / "ninja").exists()


def _run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False, stdin=subprocess.DEVNULL)


def _last_line(words: str) -> str:
    return next((line.strip() for line in reversed(words.splitlines()) if line.strip()), "it ended without a word")[:300]
