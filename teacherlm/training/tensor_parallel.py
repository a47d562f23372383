"""Every weight of the student cut over the processes (as transformers cuts it), for a model too large for one card.

All processes see the same rows. Checkpoints hold whole weights and whole optimizer states, so that any cut can go on from them.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict, set_optimizer_state_dict

from teacherlm.errors import UserError
from teacherlm.together import world_size
from teacherlm.training.trainer import StudentTrainer

OPTIMIZER, SCHEDULER = "optimizer.pt", "scheduler.pt"


def copies_of_model(tensor_parallel: int) -> int:
    """How many processes see rows of their own. Raises: UserError when the processes are not as many as the cuts."""
    if tensor_parallel == 1:
        return world_size()
    if tensor_parallel != world_size():
        raise UserError(
            f"tensor_parallel {tensor_parallel} needs {tensor_parallel} processes, and there are {world_size()}: set `processes`"
            " (or gpus) to the same number. For several copies of a model that large use ds_config zero3."
        )
    return 1


def hide_from_accelerate(model: Any) -> Any:
    """accelerate knows tensor parallelism on GPUs only, and has nothing to do here: transformers has cut and placed the weights."""
    if (getattr(model, "_tp_size", None) or 1) > 1:
        model.__class__ = type(type(model).__name__, (type(model),), {"tp_size": None})
    return model


def _own_part(weight: Any) -> Tensor:
    part: Tensor = weight.to_local() if hasattr(weight, "to_local") else weight
    return part


class ShardedTrainer(StudentTrainer):
    @property
    def same_rows(self) -> int:  # type: ignore[override]
        return world_size()

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """All processes take part. Weights that are tied are two tensors once they are cut, but the same; they are written once."""
        weights = dict(self.model.state_dict())
        for name, source in getattr(self.model, "all_tied_weights_keys", {}).items():
            if name in weights and source in weights and torch.equal(_own_part(weights[name]), _own_part(weights[source])):
                del weights[name]
        super()._save(output_dir, weights)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        whole = get_optimizer_state_dict(
            self.model, self.optimizer.optimizer, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
        )
        if self.args.should_save:
            torch.save(whole, Path(output_dir) / OPTIMIZER)
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        whole = torch.load(Path(checkpoint) / OPTIMIZER, map_location="cpu", weights_only=True)
        set_optimizer_state_dict(self.model, self.optimizer.optimizer, whole, options=StateDictOptions(full_state_dict=True))
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER, weights_only=True))

    def _load_from_checkpoint(self, *_: Any, **__: Any) -> None:
        """The weights were read when the model was built."""
