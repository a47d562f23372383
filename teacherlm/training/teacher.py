"""A teacher whose logits a student is trained towards: loaded once, beside the student, never into its checkpoints."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from teacherlm.errors import UserError
from teacherlm.store.checkpoints import resolve_model
from teacherlm.training.families import IGNORE, Batch, Causal, Family, Seq2Seq

LARGEST = 1 << 28
"""Logits (rows x positions x vocabulary) that the teacher makes at once; those of positions with loss are kept."""
SHOWN = 40
"""Characters of a token in a message."""


@dataclass
class Teacher:
    name: str
    family: Family
    vocabulary: int
    """Logits behind it belong to no token (embeddings are often padded), and are cut off."""
    context: int
    """Longest row in tokens."""
    load: Callable[[torch.device], Any]
    """The model in evaluation mode, on this device."""
    _model: Any = None

    def logits(self, batch: Batch) -> Tensor:
        """[N, vocabulary] without gradients, for the N positions of the batch that carry loss."""
        kept = (batch["labels"] != IGNORE).sum(dim=1)
        if not kept.any():
            return torch.empty(0, self.vocabulary, device=batch["labels"].device)
        self._require_room(batch)
        with torch.no_grad():
            model = self._on(batch["labels"].device)
            return torch.cat([self.family.predicted(model, part)[0][:, : self.vocabulary] for part in self._parts(batch)])

    def forget(self) -> None:
        """Free its memory; it is loaded again where it is still needed."""
        self._model = None

    def _on(self, device: torch.device) -> Any:
        if self._model is None:
            with _by_itself(device):
                self._model = self.load(device).requires_grad_(False)
        return self._model

    def _parts(self, batch: Batch) -> Iterator[Batch]:
        """A few rows each: as many as give LARGEST logits."""
        rows, longest = batch["labels"].shape
        step = max(1, LARGEST // (longest * self.vocabulary))
        if step >= rows or any(len(value) != rows for value in batch.values()):
            yield batch
            return
        for at in range(0, rows, step):
            yield {key: value[at : at + step] for key, value in batch.items()}

    def _require_room(self, batch: Batch) -> None:
        longest = max(batch[key].shape[1] for key in ("input_ids", "labels"))
        if longest > self.context:
            raise UserError(f"{self.name}: the teacher reads {self.context} tokens, a row has {longest}; set max_source_length.")


def build_teacher(model: str, tokenizer: Any, family: Family, dtype: str, trust_remote_code: bool) -> Teacher:
    """Reads the teacher's config and tokenizer; its weights are loaded when they are needed.

    Raises: UserError where it is of another kind than the student, or its vocabulary another one.
    """
    from teacherlm.engines.bodies.loading import load_model
    from teacherlm.training.pretrained import read_context, read_decoder_start, read_tokenizer

    require_same_vocabulary(tokenizer, read_tokenizer(model, trust_remote_code), model)
    start = read_decoder_start(model, trust_remote_code)
    if (start is None) != (not isinstance(family, Seq2Seq)):
        kinds = ("a decoder-only model", "an encoder-decoder")
        theirs, own = kinds if start is None else kinds[::-1]
        raise UserError(f"{model}: the teacher is {theirs} and the student {own}; their logits belong to different places.")
    # A plain family: the student's may pack rows, for which the teacher would have to be made ready.
    own_family = replace(family, start=start) if isinstance(family, Seq2Seq) and start is not None else Causal()

    def load(device: torch.device) -> Any:
        return load_model(resolve_model(model), "main", dtype, str(device), trust_remote_code)[0]

    return Teacher(model, own_family, vocabulary_size(tokenizer), read_context(model, trust_remote_code), load)


def vocabulary_size(tokenizer: Any) -> int:
    """The highest id of a token, and one."""
    return int(max(tokenizer.get_vocab().values())) + 1


def require_same_vocabulary(student: Any, teacher: Any, name: str) -> None:
    """Raises: UserError unless every id is the same token to both."""
    own, theirs = student.get_vocab(), teacher.get_vocab()
    if own == theirs:
        return
    advice = "logits cannot be compared: take a teacher of the student's family, or train on the teacher's texts."
    if len(own) != len(theirs):
        raise UserError(f"{name}: the teacher knows {len(theirs)} tokens and the student {len(own)}, so their {advice}")
    token, place = min((item for item in own.items() if theirs.get(item[0]) != item[1]), key=lambda item: int(item[1]))
    other = next((word for word, at in theirs.items() if at == place), None)
    raise UserError(f"{name}: token {place} is {_shown(other)} to the teacher and {_shown(token)} to the student, so their {advice}")


def _shown(token: str | None) -> str:
    return "nothing" if token is None else repr(token[:SHOWN])


@contextmanager
def _by_itself(device: torch.device) -> Iterator[None]:
    """Loading leaves no trace in the training: it draws no random numbers from it, and what ZeRO-3 has transformers cut up over the
    processes is the student alone; the teacher stays whole on each.
    """
    from transformers.integrations import deepspeed

    config = deepspeed._hf_deepspeed_config_weak_ref
    deepspeed.unset_hf_deepspeed_config()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        deepspeed._hf_deepspeed_config_weak_ref = config
