"""The one Trainer: any objective on any family, with gradients that do not depend on how a batch is cut up."""

import itertools
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback, Trainer

from teacherlm.errors import UserError
from teacherlm.store.checkpoints import find_checkpoints, read_checkpoint, seal_checkpoint
from teacherlm.training.adapting import Adapter, sizes
from teacherlm.training.batches import EpochLoader
from teacherlm.training.checkpointing import BRIDGE, KEPT_STATES, SavePlan, Written, drop_old_states
from teacherlm.training.families import Batch
from teacherlm.training.head import keep_head_alone
from teacherlm.training.objective import Objective, Stepwise
from teacherlm.training.pretrained import count_parameters
from teacherlm.training.stopping import Clock, reason_to_stop
from teacherlm.training.tally import Tally, counted
from teacherlm.training.texts import Text

Measure = Callable[[Any], dict[str, float]]
NAMED_ROWS = 8
"""How many of a batch's rows a message names."""


class StudentTrainer(Trainer):  # type: ignore[misc]
    """loss = Σ weight · sum / count, the sums and counts taken over all micro-batches and processes of a step."""

    loss_is_scaled_for_ga = True
    same_rows = 1
    """Processes that see the same rows."""

    control: Any

    def __init__(
        self,
        objective: Objective,
        loader: EpochLoader,
        run: Path,
        written: Written,
        clock: Clock | None = None,
        adapter: Adapter | None = None,
        **hf: Any,
    ) -> None:
        self.objective, self.loader, self.run, self.written = objective, loader, run, written
        self.clock, self.adapter = clock or Clock(None), adapter
        self.sizes = sizes(hf["model"]) if adapter else {}
        self.plan: SavePlan | None = None
        self.stop_reason = ""
        """Why all processes end after the step in hand, with a checkpoint; "" while they do not."""
        self.measure: Measure | None = None
        """What is looked at when it is time; what it measures goes into the checkpoint of the same step."""
        self.measured: tuple[int, dict[str, float]] = (-1, {})
        """The last time: step, and what was measured."""
        self.stopped_early = False
        """That the training is over before its last step, because nothing got better."""
        self.texts: Callable[[], Sequence[Text]] = list
        """Gives the text behind each row, for messages."""
        self.head_first = 0
        """Steps in which the output head alone learns."""
        self.tally = Tally()
        self._uncounted: Any = 0
        self._parameters = 0
        super().__init__(train_dataset=loader.dataset, **hf)
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> EpochLoader:
        return self.loader

    def get_batch_samples(self, epoch_iterator: Iterator[Batch], num_batches: int, device: Any) -> tuple[list[Batch], dict[str, Tensor]]:
        if isinstance(self.objective, Stepwise):
            self.objective.begin(self.state.global_step)
        batches = [self.objective.refresh(self.model_wrapped, batch) for batch in itertools.islice(epoch_iterator, num_batches)]
        self._uncounted = self._uncounted + counted(batches, self.loader.dataset.family)  # type: ignore[attr-defined]
        return batches, self.totals(batches, device)

    def totals(self, batches: Iterable[Batch], device: Any) -> dict[str, Tensor]:
        """By term: the count over these micro-batches on all processes, at least 1.

        The wish to stop travels along: processes that ended at different steps would wait for each other for ever. So does what became
        of the last step's loss. Raises: UserError where it is not a number.
        """
        totals: dict[str, Any] = {}
        for batch in batches:
            for term, count in self.objective.counts(batch).items():
                totals[term] = totals.get(term, 0) + count
        self.clock.step()
        own = reason_to_stop(self.clock)
        told = (*totals.values(), not math.isfinite(float(self._tr_loss)), bool(own))
        summed = self._over_processes(torch.stack([torch.as_tensor(n).double() for n in told]), device)
        if summed[-2]:
            raise self._not_finite("not a number")
        if summed[-1]:
            self.stop_reason = own or "another process"
        return {term: summed[i].clamp(min=1) for i, term in enumerate(totals)}

    def compute_loss(self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None) -> Tensor:
        sums, weights = self.objective.sums(model, inputs), self.objective.weights()
        total = sum(weights[term] * value / num_items_in_batch[term] for term, value in sums.items())
        # Gradients are averaged over processes, but the counts are already over all of them.
        loss: Tensor = torch.as_tensor(total) * self.accelerator.num_processes
        return loss

    def training_step(self, *given: Any, **named: Any) -> Tensor:
        """Gradients of one micro-batch."""
        loss: Tensor = super().training_step(*given, **named)
        if self.state.global_step < self.head_first:
            keep_head_alone(self.model)
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

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """What is measured at this step; reaches callbacks under its own name."""
        metrics = self.measure(self.model_wrapped) if self.measure else {}
        self.measured = (self.state.global_step, metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if not math.isfinite(logs.get("loss", 0.0)):
            raise self._not_finite(str(logs["loss"]))
        self._count_tokens()
        super().log(logs, start_time)

    def _not_finite(self, loss: str) -> UserError:
        step = self.state.global_step
        kept = find_checkpoints(self.run) if self.run.is_dir() else []
        last = f"{kept[-1].path.name} is the last good checkpoint" if kept else "no checkpoint was written yet"
        return UserError(
            f"The loss is {loss} at step {step}: lower learning_rate, or use bf16 instead of fp16; {last}. {self._rows_of(step)}"
        )

    def _rows_of(self, step: int) -> str:
        """The rows of a step, for people."""
        batches: Any = self.loader.batch_sampler
        epoch, place = divmod(max(0, step - 1), len(batches.batches()))
        batches.set_epoch(epoch)
        rows, texts = batches.batches()[place], self.texts()
        known = len(texts) == len(batches.lengths)
        names = sorted({texts[i].where if known else f"row {i}" for i in rows})
        more = f" and {len(names) - NAMED_ROWS} more" if len(names) > NAMED_ROWS else ""
        return f"Its rows: {', '.join(names[:NAMED_ROWS])}{more}."

    def _count_tokens(self) -> None:
        self.tally.add(self._over_processes(self._uncounted + torch.zeros(3), self.args.device) / self.same_rows)
        self._uncounted = 0

    def floating_point_ops(self, inputs: Batch) -> int:
        """Walking over all modules at every micro-batch, as the original does, costs more than a small student's step."""
        if not self._parameters:
            self._parameters = self.model.num_parameters(exclude_embeddings=True)
        return 6 * int(inputs["input_ids"].numel()) * self._parameters

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Written in the staging folder, sealed, then renamed: a checkpoint of its real name is always whole."""
        began = time.time()
        super()._save_checkpoint(model, trial)
        step, measured = self.measured
        measured = measured if step == self.state.global_step else {}
        self._count_tokens()
        of_steps = self.state.global_step if self.stopped_early else self.written.of_steps
        now: dict[str, Any] = {"of_steps": of_steps, **asdict(self.tally), "state": self.written.state, **self.sizes}
        if self.stopped_early:
            now["stopped_early"] = True
        if self.plan is not None and self.plan.is_bridge:
            loss = float(self._over_processes(self._tr_loss, self.args.device)) / self.accelerator.num_processes
            now[BRIDGE] = {"unlogged_loss": loss, "since": self._globalstep_last_logged}
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            self._seal(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}", {**now, **measured})
        self.accelerator.wait_for_everyone()
        self.clock.saved(time.time() - began)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """Raises: RuntimeError where the original raises ValueError: transformers takes that for weights that DeepSpeed did not gather,
        writes an empty file and waits for ever for processes to which nothing happened."""
        try:
            self._write_weights(output_dir, state_dict)
        except ValueError as error:
            raise RuntimeError(f"the weights could not be written: {error}") from error

    def _write_weights(self, output_dir: str | None, state_dict: dict[str, Tensor] | None) -> None:
        """DeepSpeed hands over copies, in which weights that are tied no longer look so; they are written once, as without it."""
        if self.adapter is not None:
            if not self.args.should_save:  # under DeepSpeed every process comes here; two that write one file tear it
                return
            folder = Path(output_dir or str(self.args.output_dir))
            self.adapter.save(self.model, folder, state_dict)
            self.processing_class.save_pretrained(folder)
            return
        tied = getattr(self.model, "all_tied_weights_keys", {})
        if state_dict is not None:
            for name, source in tied.items():
                if name in state_dict and source in state_dict and torch.equal(state_dict[name], state_dict[source]):
                    del state_dict[name]
        super()._save(output_dir, state_dict)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.adapter is not None:
            self.adapter.load(self.model if model is None else model, Path(resume_from_checkpoint))
            return
        super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _seal(self, folder: Path, facts: dict[str, Any]) -> None:
        # A pickle of the arguments, which are in the manifest already.
        (folder / "training_args.bin").unlink(missing_ok=True)
        count_parameters(str(folder))  # reads where each weight lies: a file that was cut off does not become a checkpoint
        seal_checkpoint(folder, self.state.global_step, self.state.epoch, {**self.written.facts, **facts})
        shutil.rmtree(self.run / folder.name, ignore_errors=True)
        folder.rename(self.run / folder.name)
        if read_checkpoint(self.run / folder.name) is None:
            raise OSError(f"{self.run / folder.name}: what was just written does not read back the same.")
        drop_old_states(self.run, KEPT_STATES)

    def go_on_counting(self, bridge: Mapping[str, Any]) -> None:
        """After a stop between two rows of the metrics: the next row is the one that would have been written without it."""
        self._tr_loss += bridge["unlogged_loss"]
        self._globalstep_last_logged = bridge["since"]

    def _over_processes(self, value: Any, device: Any) -> Tensor:
        return self.accelerator.reduce(torch.as_tensor(value).to(device).double(), "sum")  # type: ignore[no-any-return]
