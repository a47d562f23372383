"""One optimizer step of an objective, cut into micro-batches in any way: its loss and its gradients."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from teacherlm.training.batches import MicroBatches, Rows, build_loader, cut
from teacherlm.training.checkpointing import Written
from teacherlm.training.families import Causal, Family, Row
from teacherlm.training.trainer import StudentTrainer


class Noting(StudentTrainer):
    """Notes what each micro-batch adds to the loss; transformers keeps sums in fp32."""

    losses: list[float]

    def compute_loss(self, *arguments: Any, **named: Any) -> torch.Tensor:
        loss = super().compute_loss(*arguments, **named)
        self.losses.append(float(loss.detach()))
        return loss


def one_step(
    model: Any, objective: Any, rows: Sequence[Row], micro: int, folder: Path, family: Family | None = None
) -> tuple[float, list[torch.Tensor]]:
    """(loss, gradients of all parameters) of a step over all these rows, `micro` at a time. The weights stay as they are."""
    family = family or Causal()
    table = Rows(rows, family)
    pieces = cut(len(rows), micro, None, 1)
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=pieces.micro,
        gradient_accumulation_steps=pieces.accumulation,
        learning_rate=0.0,
        max_steps=1,
        max_grad_norm=0.0,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    loader = build_loader(table, MicroBatches(table.lengths(), pieces, 0, together=table.together()), partial(family.batch, pad=0))
    trainer = Noting(objective, loader, folder, Written({}, 1), model=model, args=arguments)
    trainer.losses = []
    kept: list[torch.Tensor] = []
    trainer.create_optimizer()
    trainer.optimizer.register_step_pre_hook(lambda *_: kept.extend(p.grad.clone() for p in model.parameters()))
    trainer.train()
    return sum(trainer.losses), kept


def furthest_apart(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> float:
    assert one and len(one) == len(other)
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True))


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
