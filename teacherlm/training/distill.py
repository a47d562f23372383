"""Distilling a teacher's logits into a student, on the dataset's own targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from teacherlm.training.divergence import Target, TopK, summed_divergence, top_k
from teacherlm.training.families import IGNORE, Batch, Family, Row
from teacherlm.training.objective import Example, Join
from teacherlm.training.recorded import PLACE, Recorded
from teacherlm.training.sft import wide
from teacherlm.training.teacher import Teacher
from teacherlm.training.teacher_cache import TeacherCache

TEACHER, DATA = "distill", "sft"
NUMBER = "teacher_row"
"""Key of a row: its number among those whose teacher is cached."""


@dataclass(frozen=True)
class Mixture:
    """loss = (1 - sft_weight) * temperature^2 * D_beta + sft_weight * cross-entropy, each the mean over the step's tokens with loss.

    Gradients of D_beta shrink with 1 / temperature^2; the factor keeps its share beside the cross-entropy (Hinton et al. 2015, section 2).
    """

    beta: float = 0.0
    temperature: float = 1.0
    sft_weight: float = 0.0
    top_k: int | None = None


@dataclass
class Distill:
    family: Family
    teacher: Teacher | Recorded
    """A model, or what `enhance` kept of one."""
    mixture: Mixture
    cache_folder: Path | None = None
    """Where the teacher's most likely tokens are kept; None for a model that is asked at every step."""
    pad: int = 0
    _cache: TeacherCache | None = None

    def encode(self, example: Example, join: Join) -> list[Row]:
        row = join(example.prompt, example.target)
        return [row | {PLACE: float(example.row)} if isinstance(self.teacher, Recorded) else row]

    def prepare(self, rows: Sequence[Row], device: torch.device) -> None:
        """What the teacher says about all rows, before the training; it is then freed, and the rows learn their numbers."""
        if self.cache_folder is None:
            return
        self._cache = cache = TeacherCache(self.cache_folder, rows)
        process, processes = _of_all()
        cache.fill(cache.missing()[process::processes], lambda some: self._asked(some, device))
        if processes > 1:
            torch.distributed.barrier()
        cache.fill(cache.missing(), lambda some: self._asked(some, device))  # of a process that writes to another disk
        cache.tell()
        self.teacher.close() if isinstance(self.teacher, Recorded) else self.teacher.forget()
        for row in rows:
            row[NUMBER] = cache.number(row)

    def refresh(self, model: Any, batch: Batch) -> Batch:
        return batch

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        tokens = (batch["labels"] != IGNORE).sum()
        return dict.fromkeys(self.weights(), tokens)

    def sums(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        logits, labels = self.family.predicted(model, batch)
        mixture, found = self.mixture, dict[str, Tensor]()
        if mixture.sft_weight < 1:
            known = logits[:, : self.teacher.vocabulary]
            apart = summed_divergence(known, self._target(batch), mixture.beta, mixture.temperature)
            found[TEACHER] = mixture.temperature**2 * apart
        if mixture.sft_weight > 0:
            found[DATA] = F.cross_entropy(wide(logits), labels, reduction="sum")
        return found

    def weights(self) -> dict[str, float]:
        weights = {TEACHER: 1 - self.mixture.sft_weight, DATA: self.mixture.sft_weight}
        return {term: weight for term, weight in weights.items() if weight > 0}

    def _target(self, batch: Batch) -> Target:
        if self._cache is not None:
            return self._read(batch)
        assert isinstance(self.teacher, Teacher)
        logits = self.teacher.logits(batch)
        k = self.mixture.top_k
        return logits if k is None else top_k(logits, k, self.mixture.temperature)

    def _read(self, batch: Batch) -> TopK:
        assert self._cache is not None
        # A row whose labels were taken off it, to keep its process busy, has no positions.
        live = (batch["labels"] != IGNORE).any(dim=1)
        found = self._cache.read([int(number) for number in batch[NUMBER][live].tolist()] or [0])
        device = batch["labels"].device
        if not live.any():
            found = TopK(found.log_probs[:0], found.ids[:0])
        return TopK(found.log_probs.to(device), found.ids.to(device))

    def _asked(self, rows: Sequence[Row], device: torch.device) -> TopK:
        if isinstance(self.teacher, Recorded):
            return self.teacher.top_k_of(rows)
        assert self.mixture.top_k is not None
        batch = {key: value.to(device) for key, value in self.family.batch(rows, self.pad).items()}
        return top_k(self.teacher.logits(batch), self.mixture.top_k, self.mixture.temperature)


def _of_all() -> tuple[int, int]:
    """(this process, how many there are)."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
