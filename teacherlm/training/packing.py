"""Several rows in one sequence without padding, none of which sees another: positions restart, attention stays within a row.

Rows are packed where the model is called, not where a batch is made: objectives see the same padded batch either way.
"""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from teacherlm.errors import UserError

LENGTHS = "lengths"
"""Key of a batch: real tokens of each row, int64 [rows]."""
PACKED = "teacherlm_packed"
"""Our attention's name in transformers: SDPA, and within each row where rows are packed."""
KNOWN = ("gpt2", "gpt_neox", "gemma2", "llama", "mistral", "opt", "phi", "qwen2", "qwen3")
"""Architectures taken at their word where no trial is possible; the tests try each."""
READY = "_packs_rows"
"""Attribute of a model that is prepared."""
CLOSE, NEAR = 1e-4, 0.03
"""Shares of the logits' spread: what a neighbour may change by rounding, what a row's place in the sequence may."""


def packed_logits(model: Any, batch: dict[str, Tensor], places: Tensor) -> Tensor:
    """Logits [N, vocabulary] at so many places of the rows put end to end; the model sees each real token once.

    `places`: int64 [N], counted over all rows' tokens.
    """
    if not hasattr(unwrapped(model), READY):
        pack_rows(model)  # a teacher, which nobody else prepares
    lengths = batch[LENGTHS]
    real = torch.arange(batch["input_ids"].shape[1], device=lengths.device) < lengths[:, None]
    positions = (real.cumsum(1) - 1)[real]
    borders = torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
    longest = int(lengths.max())
    # The names by which transformers hands them to kernels for rows of unequal length.
    rows = {"cu_seq_lens_q": borders, "cu_seq_lens_k": borders, "max_length_q": longest, "max_length_k": longest}
    given = {"input_ids": batch["input_ids"][real][None], "position_ids": positions[None], "use_cache": False, **rows}
    if _implementation(model) == PACKED:
        given["attention_mask"] = lengths.new_zeros(1, 1, 0, 0)  # four dimensions: transformers builds none of its own
    if takes_places(model):
        return model(**given, logits_to_keep=places).logits[0]  # type: ignore[no-any-return]
    return model(**given).logits[0, places]  # type: ignore[no-any-return]


def _implementation(model: Any) -> str:
    return str(getattr(unwrapped(model).config, "_attn_implementation", ""))


def takes_places(model: Any) -> bool:
    """Whether the model can give logits at chosen positions only (`logits_to_keep`)."""
    return _takes_places(type(unwrapped(model)).forward)


@cache
def _takes_places(forward: Callable[..., Any]) -> bool:
    return "logits_to_keep" in inspect.signature(forward).parameters


def unwrapped(model: Any) -> Any:
    """The model itself, out of what DDP, DeepSpeed, torch.compile and peft put around it."""
    for name in ("module", "_orig_mod"):
        while name in getattr(model, "_modules", {}):
            model = model._modules[name]
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def attention_within_rows(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    cu_seq_lens_q: Tensor | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **rest: Any,
) -> tuple[Tensor, None]:
    """Causal attention of each row to itself. query [1, heads, tokens, size] -> [1, tokens, heads, size].

    Row by row rather than with a mask over all: the work grows with the rows' lengths, not with the square of the whole.
    """
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **rest)  # type: ignore[no-any-return]
    window = rest.get("sliding_window") or 0
    lengths = cu_seq_lens_q.diff().tolist()
    parts = zip(*(torch.split(whole, lengths, 2) for whole in (query, key, value)), strict=True)
    shared = query.shape[1] != key.shape[1]
    rows = [
        torch.nn.functional.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=_band(q.shape[2], window, q.device) if 0 < window < q.shape[2] else None,
            dropout_p=dropout,
            is_causal=not 0 < window < q.shape[2],
            scale=scaling,
            enable_gqa=shared,
        )
        for q, k, v in parts
    ]
    return torch.cat(rows, 2).transpose(1, 2).contiguous(), None


def _band(length: int, window: int, device: Any) -> Tensor:
    """bool [length, length]: each position sees itself and the `window` - 1 before it."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril().triu(1 - window)


def pack_rows(model: Any, can_try: bool = True) -> None:
    """Makes a model ready for packed rows. `can_try`: its weights are whole here, so that it can be called.

    Raises: UserError for an architecture in which packed rows would see each other.
    """
    base = unwrapped(model)
    kind = base.config.model_type
    if base.config.is_encoder_decoder:
        raise UserError(f"packing: {kind} is an encoder-decoder, whose rows cannot share a sequence; leave packing out.")
    if _implementation(base) == "sdpa":
        AttentionInterface.register(PACKED, attention_within_rows)
        AttentionMaskInterface.register(PACKED, sdpa_mask)
        base.set_attn_implementation(PACKED)
    setattr(base, READY, True)
    if not (keeps_rows_apart(base) if can_try else kind in KNOWN):
        raise UserError(f"packing: in a {kind} packed rows would see each other or lose their positions; leave packing out.")


@torch.no_grad()
def keeps_rows_apart(model: Any) -> bool:
    """Tried on three short rows: another neighbour changes nothing in a row, which reads as it does alone."""
    size = model.get_input_embeddings().num_embeddings
    device = model.get_input_embeddings().weight.device
    one, other, row = ([(7 * i + 3 * k) % size for i in range(5 + k)] for k in range(3))
    was_training = model.training
    model.eval()
    try:
        first, second = (_logits_of_last(model, [neighbour, row], device) for neighbour in (one, [other[0], *one[1:]]))
        alone = model(input_ids=torch.tensor([row], device=device), use_cache=False).logits[0]
    except (TypeError, ValueError, RuntimeError, IndexError):
        return False
    finally:
        model.train(was_training)
    spread = float(alone.std())
    return float((first - second).abs().max()) <= CLOSE * spread and float((first - alone).abs().max()) <= NEAR * spread


def _logits_of_last(model: Any, rows: list[list[int]], device: Any) -> Tensor:
    lengths = torch.tensor([len(row) for row in rows], device=device)
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row, device=device) for row in rows], batch_first=True)
    places = torch.arange(int(lengths.sum()) - len(rows[-1]), int(lengths.sum()), device=device)
    return packed_logits(model, {"input_ids": ids, LENGTHS: lengths}, places)
