"""The one Trainer: any objective on any family, with gradients that do not depend on how a batch is cut up."""

import itertools
import math
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback, Trainer

from teacherlm.errors import UserError
from teacherlm.store.checkpoints import seal_checkpoint
from teacherlm.training.batches import EpochLoader
from teacherlm.training.checkpointing import KEPT_STATES, Written, drop_old_states
from teacherlm.training.families import IGNORE, Batch
from teacherlm.training.objective import Objective

Measure = Callable[[Any], dict[str, float]]


class StudentTrainer(Trainer):  # type: ignore[misc]
    """loss = Σ weight · sum / count, the sums and counts taken over all micro-batches and processes of a step."""

    loss_is_scaled_for_ga = True

    control: Any

    def __init__(self, objective: Objective, loader: EpochLoader, run: Path, written: Written, **hf: Any) -> None:
        self.objective, self.loader, self.run, self.written = objective, loader, run, written
        self.measure: Measure | None = None
        """What to measure at every checkpoint; goes into its facts."""
        self.trained_tokens = 0
        """Tokens that carried loss since the start, over all processes; brought up to date with every log."""
        self._new_tokens, self._parameters = 0, 0
        super().__init__(train_dataset=loader.dataset, **hf)
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> EpochLoader:
        return self.loader

    def get_batch_samples(self, epoch_iterator: Iterator[Batch], num_batches: int, device: Any) -> tuple[list[Batch], dict[str, Tensor]]:
        batches = list(itertools.islice(epoch_iterator, num_batches))
        self._new_tokens += sum(int((b["labels"] != IGNORE).sum()) for b in batches)
        return batches, self.totals(batches, device)

    def totals(self, batches: Iterable[Batch], device: Any) -> dict[str, Tensor]:
        """By term: the count over these micro-batches on all processes, at least 1."""
        totals: dict[str, Any] = {}
        for batch in batches:
            for term, count in self.objective.counts(batch).items():
                totals[term] = totals.get(term, 0) + count
        return {term: self._over_processes(count, device).clamp(min=1) for term, count in totals.items()}

    def compute_loss(self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None) -> Tensor:
        sums, weights = self.objective.sums(model, inputs), self.objective.weights()
        total = sum(weights[term] * value / num_items_in_batch[term] for term, value in sums.items())
        # Gradients are averaged over processes, but the counts are already over all of them.
        loss: Tensor = torch.as_tensor(total) * self.accelerator.num_processes
        return loss

    def mean_loss(self, model: Any, batches: Iterable[Batch]) -> float:
        """The objective's loss over batches it is not trained on, on all processes together."""
        model.eval()
        device, seen, sums = self.args.device, [], dict[str, Any]()
        with torch.no_grad(), self.compute_loss_context_manager():
            for batch in batches:
                seen.append(self.objective.counts(batch))
                for term, value in self.objective.sums(model, self._prepare_inputs(batch)).items():
                    sums[term] = sums.get(term, 0) + value
        model.train()
        counts = {term: self._over_processes(sum(c[term] for c in seen), device).clamp(min=1) for term in sums}
        return sum(w * float(self._over_processes(sums[term], device) / counts[term]) for term, w in self.objective.weights().items())

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        metrics = {
            f"{metric_key_prefix}_{name}": value for name, value in (self.measure(self.model_wrapped) if self.measure else {}).items()
        }
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if not math.isfinite(logs.get("loss", 0.0)):
            raise UserError(
                f"The loss is {logs['loss']} at step {self.state.global_step}: lower learning_rate, or use bf16 instead of fp16."
            )
        self.trained_tokens += int(self._over_processes(self._new_tokens, self.args.device))
        self._new_tokens = 0
        super().log(logs, start_time)

    def floating_point_ops(self, inputs: Batch) -> int:
        """Walking over all modules at every micro-batch, as the original does, costs more than a small student's step."""
        if not self._parameters:
            self._parameters = self.model.num_parameters(exclude_embeddings=True)
        return 6 * int(inputs["input_ids"].numel()) * self._parameters

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Written in the staging folder, sealed, then renamed: a checkpoint of its real name is always whole."""
        super()._save_checkpoint(model, trial)
        measured = self.measure(self.model_wrapped) if self.measure else {}
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            self._seal(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}", measured)
        self.accelerator.wait_for_everyone()

    def _seal(self, folder: Path, measured: dict[str, float]) -> None:
        # A pickle of the arguments, which are in the manifest already.
        (folder / "training_args.bin").unlink(missing_ok=True)
        now = {"of_steps": self.written.of_steps, "trained_tokens": self.trained_tokens}
        seal_checkpoint(folder, self.state.global_step, self.state.epoch, {**self.written.facts, **now, **measured})
        shutil.rmtree(self.run / folder.name, ignore_errors=True)
        folder.rename(self.run / folder.name)
        drop_old_states(self.run, KEPT_STATES)

    def _over_processes(self, value: Any, device: Any) -> Tensor:
        return self.accelerator.reduce(torch.as_tensor(value).to(device).double(), "sum")  # type: ignore[no-any-return]
