"""One process or many: what must be set before training starts, and left behind clean for the next job of this worker."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import torch

from teacherlm.log import say


@contextmanager
def training_environment(deepspeed: bool) -> Iterator[None]:
    """DeepSpeed starts a process group even for one process; whatever was started ends here.

    Leaving the group explicitly matters: without it one run in two aborts after the work is done.
    """
    before = dict(os.environ)
    # Weights of a small student that has learnt its rows by heart shrink to denormals, on which a CPU is many times slower.
    torch.set_flush_denormal(True)
    if deepspeed:
        os.environ.update({k: v for k, v in _alone().items() if k not in os.environ})
        _use_torch_communication()
    try:
        with nullcontext() if deepspeed else _without_deepspeed():
            yield
    finally:
        torch.set_flush_denormal(False)
        _leave(deepspeed)
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _use_torch_communication() -> None:
    """Its own it would have to compile, see `ds_config`."""
    if not torch.cuda.is_available():
        import deepspeed

        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


@contextmanager
def _without_deepspeed() -> Iterator[None]:
    """accelerate imports an installed DeepSpeed only to compare a class: seconds, and a warning about missing GPUs."""
    from accelerate.utils import other

    asked = other.is_deepspeed_available
    other.is_deepspeed_available = lambda: False
    try:
        yield
    finally:
        other.is_deepspeed_available = asked


def _alone() -> Mapping[str, str]:
    """What torchrun would set for one process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    one = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return one if torch.cuda.is_available() else {**one, "DS_ACCELERATOR": "cpu"}


def _leave(deepspeed: bool) -> None:
    from accelerate.state import AcceleratorState

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    AcceleratorState._reset_state(reset_partial_state=True)
    if deepspeed:
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        _forget_groups()
        unset_hf_deepspeed_config()


def _forget_groups() -> None:
    """DeepSpeed keeps handles of the process groups that are gone; the next training of this process would use them."""
    from deepspeed import comm
    from deepspeed.utils import groups

    comm.comm.cdb = None
    groups.mesh_device = None
    for name, value in list(vars(groups).items()):
        if name.startswith("_") and name.endswith(("_GROUP", "_RANKS")):
            setattr(groups, name, {} if isinstance(value, dict) else None)


@contextmanager
def wandb_run(report_to: str, project: str, folder: Path) -> Iterator[None]:
    """Written below the output; offline where there is no key, for `wandb sync` later."""
    if report_to != "wandb":
        yield
        return
    ours = {"WANDB_PROJECT": project, "WANDB_DIR": str(folder)}
    if "WANDB_API_KEY" not in os.environ and "WANDB_MODE" not in os.environ:
        say(f"wandb: no WANDB_API_KEY, so the run is kept in {folder}/wandb; upload it later with `teacherlm wandb-sync`.")
        ours["WANDB_MODE"] = "offline"
    added = {k: v for k, v in ours.items() if k not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        import wandb

        with suppress(Exception):  # a server that cannot be reached must not cost a finished training
            wandb.finish()
            wandb.teardown()  # else the next training of this process would be written into this one's folder
        for name in added:
            os.environ.pop(name, None)
