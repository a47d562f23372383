"""On-policy distillation (GKD, Agarwal et al. 2023): what the student itself writes, judged token by token by its teacher."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from teacherlm.engines.bodies.sampling import gumbel, seed_of
from teacherlm.errors import UserError
from teacherlm.training.distill import Distill
from teacherlm.training.families import IGNORE, Batch, Row, Seq2Seq
from teacherlm.training.packing import unwrapped
from teacherlm.training.pretrained import longest_text
from teacherlm.training.teacher import Teacher
from teacherlm.training.teacher_cache import row_hash


@dataclass(frozen=True)
class Policy:
    """How the student writes."""

    share: float
    """Of the steps, how many are trained on what the student writes (lambda)."""
    temperature: float
    max_new_tokens: int
    end: int
    """Token that ends a text."""
    seed: int


@dataclass
class OnPolicy(Distill):
    """The divergence on the student's own tokens, at a share of the steps; at the others on the dataset's.

    No gradient flows through the sampling (as in GKD, unlike MiniLLM's policy gradient).
    """

    policy: Policy = Policy(0.5, 1.0, 128, 0, 0)
    _step: int = 0

    def begin(self, step: int) -> None:
        self._step = step

    def is_own(self) -> bool:
        """Whether the student writes at this step: drawn from the seed and the step, so alike in all processes and after a restart."""
        return random.Random(f"on_policy/{self.policy.seed}/{self._step}").random() < self.policy.share

    def refresh(self, model: Any, batch: Batch) -> Batch:
        """On the CPU, as it came. Raises: UserError where the student is cut over processes, which cannot write by itself."""
        if not self.is_own():
            return batch
        student = unwrapped(model)
        _require_whole(student)
        rows = _rows(batch)
        asked = [i for i, row in enumerate(rows) if (row["labels"] != IGNORE).any()]
        for i, answer in zip(asked, self.written(student, [rows[i] for i in asked]), strict=True):
            rows[i] = self.family.join(self._prompt(rows[i]), answer)
        return self.family.batch(rows, self.pad)

    def written(self, student: Any, rows: Sequence[Row]) -> list[list[int]]:
        """What the student answers to each row's prompt. Which rows are asked together changes nothing."""
        prompts = [self._prompt(row) for row in rows]
        assert isinstance(self.teacher, Teacher)
        context = min(self.teacher.context, longest_text(student.config))
        rooms = [self._room(prompt, context) for prompt in prompts]
        seeds = [seed_of(f"{self.policy.seed}/{self._step}/{row_hash(row)}") for row in rows]
        answers: list[list[int]] = [[] for _ in rows]
        was_training = student.training
        student.eval()
        try:
            for room in sorted(set(rooms)):
                chosen = [i for i, own in enumerate(rooms) if own == room]
                found = self._generate(student, [prompts[i] for i in chosen], [seeds[i] for i in chosen], room)
                for i, answer in zip(chosen, found, strict=True):
                    answers[i] = answer
        finally:
            student.train(was_training)
        return answers

    def _prompt(self, row: Row) -> list[int]:
        ids: list[int] = row["input_ids"].tolist()
        # Of a chat all before the assistant's first turn.
        return ids if isinstance(self.family, Seq2Seq) else ids[: int((row["labels"] != IGNORE).argmax())]

    def _room(self, prompt: Sequence[int], context: int) -> int:
        """Tokens that the student may write: at least one."""
        taken = 0 if isinstance(self.family, Seq2Seq) else len(prompt)
        return max(1, min(self.policy.max_new_tokens, context - taken))

    @torch.no_grad()
    def _generate(self, student: Any, prompts: Sequence[Sequence[int]], seeds: Sequence[int], room: int) -> list[list[int]]:
        device = next(student.parameters()).device
        width = max(map(len, prompts))
        # Padded on the left: every row goes on at the same place.
        ids = torch.tensor([[self.pad] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
        seen = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
        config = GenerationConfig(
            max_new_tokens=room,
            do_sample=False,  # the noise is in the scores
            use_cache=True,
            eos_token_id=self.policy.end,
            pad_token_id=self.pad,
            decoder_start_token_id=self.family.start if isinstance(self.family, Seq2Seq) else None,
        )
        noise = LogitsProcessorList([_Noise(torch.tensor(seeds, device=device), self.policy.temperature, self.teacher.vocabulary)])
        with _plain(student, config):
            found = student.generate(ids, attention_mask=seen, generation_config=config, logits_processor=noise)
        start = 1 if isinstance(self.family, Seq2Seq) else width
        return [_up_to(answer, self.policy.end) for answer in found[:, start:].tolist()]


class _Noise(LogitsProcessor):  # type: ignore[misc]
    """Scores whose largest is a draw at this temperature, the same for a row in any batch (see `engines/bodies/sampling.py`)."""

    def __init__(self, seeds: Tensor, temperature: float, vocabulary: int) -> None:
        self.seeds, self.temperature, self.vocabulary, self.written = seeds, temperature, vocabulary, 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        places = torch.full_like(self.seeds, self.written)
        self.written += 1
        drawn = scores.float() / self.temperature + gumbel(self.seeds, places, scores.shape[1])
        drawn[:, self.vocabulary :] = -torch.inf  # ids that are no token
        return drawn


@contextmanager
def _plain(student: Any, config: GenerationConfig) -> Iterator[None]:
    """Of the student's own generation_config nothing counts: transformers would take its repetition_penalty and the like from it."""
    own, student.generation_config = student.generation_config, config
    try:
        yield
    finally:
        student.generation_config = own


def _up_to(answer: list[int], end: int) -> list[int]:
    """With the token that ends it, without the padding behind."""
    return answer[: answer.index(end) + 1] if end in answer else answer


def _rows(batch: Batch) -> list[Row]:
    """The rows of a batch without their padding."""
    return [_row({key: value[i] for key, value in batch.items()}) for i in range(len(batch["labels"]))]


def _row(line: Batch) -> Row:
    """Padding of a decoder's row lies behind the last label; an encoder's says where it is."""
    labelled = (line["labels"] != IGNORE).nonzero()
    end = int(labelled[-1]) + 1 if len(labelled) else len(line["labels"])
    labels, ids = line["labels"][:end], line["input_ids"]
    ids = ids[: int(line["attention_mask"].sum())] if "attention_mask" in line else ids[:end]
    return {"input_ids": ids.int().numpy(), "labels": labels.int().numpy()}


def _require_whole(student: Any) -> None:
    """Raises: UserError for weights of which this process holds a part."""
    parts = {type(parameter).__name__ for parameter in student.parameters()}
    if any(hasattr(parameter, "ds_id") for parameter in student.parameters()):
        raise UserError("on_policy: under ZeRO-3 no process holds the student whole, so it cannot write; use ds_config zero2 or zero1.")
    if "DTensor" in parts or any("DTensor" in type(parameter.data).__name__ for parameter in student.parameters()):
        raise UserError("on_policy: with tensor_parallel no process holds the student whole, so it cannot write; set it to 1.")
