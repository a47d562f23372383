"""A student that exists: its weights and tokenizer, from a folder or the hub."""

import os
from math import prod
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from teacherlm.engines.bodies.quantised import NF4_DOUBLE, leave_unpacked
from teacherlm.engines.bodies.quantised import quantised as bits
from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.store.adapters import base_place, is_adapter_folder
from teacherlm.store.checkpoints import resolve_model

UNLIMITED = 2**31


def read_tokenizer(model: str, trust_remote_code: bool = False) -> Any:
    """Raises: UserError when there is none, or it has no EOS token; without a pad token EOS takes its place."""
    place = resolve_model(model)
    _require_known(place)
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{model}: no tokenizer can be read ({_one_line(error)}).") from None
    if tokenizer.eos_token_id is None:
        raise UserError(f"{model}: the tokenizer has no EOS token, so a student could not learn to stop (set eos_token in its config).")
    if tokenizer.pad_token_id is None:
        say(f"{model}: the tokenizer has no pad token; EOS fills short rows (they carry no loss there).")
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer


def read_model(
    model: str,
    trust_remote_code: bool = False,
    tensor_parallel: int = 1,
    quantised: bool = False,
    revision: str = "main",
    dtype: torch.dtype = torch.float32,
) -> Any:
    """What a training starts from; an adapter is merged into its base.

    Raises: UserError where that, or what is asked for, cannot be done.
    """
    place = resolve_model(model)
    _require_known(place)
    if not is_adapter_folder(Path(place)):
        return read_whole(place, trust_remote_code, tensor_parallel, quantised, revision, dtype)
    if quantised or tensor_parallel > 1:
        what = "qlora" if quantised else "tensor_parallel"
        raise UserError(f"{model}: is an adapter, over which {what} cannot work; `teacherlm merge` it into its base first.")
    from teacherlm.engines.bodies.adapted import merged

    say(f"{model}: an adapter; it is merged into its base, and the training starts from both.")
    whole = merged(place, "main", lambda base, at, in_4_bits: read_whole(base, trust_remote_code, 1, in_4_bits, at, dtype))
    return whole.requires_grad_(True)


def read_whole(
    model: str, trust_remote_code: bool, tensor_parallel: int, quantised: bool, revision: str, dtype: torch.dtype = torch.float32
) -> Any:
    """The weights (mixed precision keeps them in fp32), each cut over so many processes. `.bin` weights are read without running
    pickled code.

    Raises: UserError for a folder without weights, a model that writes no text, or a hub id that cannot be fetched.
    """
    safe = _require_weights(Path(model)) if Path(model).is_dir() else None
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": revision}
    try:
        config = AutoConfig.from_pretrained(model, **options)
        _require_writer(model, config)
        if tensor_parallel > 1:
            from transformers.distributed import DistributedConfig

            _require_plan(model, config, tensor_parallel)
            options["distributed_config"] = DistributedConfig(tp_size=tensor_parallel)
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        if quantised:
            options |= in_4_bits()
        found = kind.from_pretrained(model, config=config, dtype=dtype, use_safetensors=safe, **options)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"{model}: the model cannot be read ({_one_line(error)}).") from None
    if quantised:
        leave_unpacked(found, training=True)
    return found


def in_4_bits() -> dict[str, Any]:
    """Options of from_pretrained. Quantised weights are made where they stay: on this process's own card."""
    card: Any = int(os.environ.get("LOCAL_RANK", 0)) if torch.cuda.is_available() else "cpu"
    return {"quantization_config": bits(NF4_DOUBLE), "device_map": {"": card}}


def _require_plan(model: str, config: Any, processes: int) -> None:
    """Raises: UserError for a model that transformers cannot cut over so many processes."""
    if not getattr(config, "base_model_tp_plan", None):
        raise UserError(f"{model}: transformers has no plan to cut a {config.model_type} over processes; use ds_config zero3 instead.")
    heads = {name: getattr(config, name, None) for name in ("num_attention_heads", "num_key_value_heads")}
    if uneven := [f"{name} {count}" for name, count in heads.items() if count and count % processes]:
        raise UserError(
            f"{model}: its {uneven[0]} cannot be cut over tensor_parallel {processes}; use a divisor of it, or ds_config zero3."
        )


def _require_writer(model: str, config: Any) -> None:
    """Raises: UserError for a model that neither continues a text nor answers one. What brings code of its own may be anything."""
    kind = config.model_type
    names = MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES if config.is_encoder_decoder else MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    # BERT and its like stand among the decoders too, but see the words they are to predict unless their config says otherwise.
    reads_ahead = not config.is_encoder_decoder and kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False)
    if not getattr(config, "auto_map", None) and (kind not in names or reads_ahead):
        raise UserError(
            f"{model}: a {kind} is neither a decoder that continues a text nor an encoder-decoder that answers one (such as llama or t5)."
        )


def read_decoder_start(model: str, trust_remote_code: bool = False) -> int | None:
    """The token that the decoder of an encoder-decoder begins with; None for a decoder-only model.

    Raises: UserError for a model that writes no text, or one whose config names no such token.
    """
    config = _read_config(model, trust_remote_code)
    _require_writer(model, config)
    if not config.is_encoder_decoder:
        return None
    start = getattr(config, "decoder_start_token_id", None)
    if start is None:
        raise UserError(f"{model}: its config has no decoder_start_token_id, so where its decoder begins is not known (T5: the pad token).")
    return int(start)


def overflows_in_fp16(model: str, trust_remote_code: bool = False) -> bool:
    """T5 and its like were trained in bf16, with activations beyond the range of fp16."""
    return "t5" in str(_read_config(model, trust_remote_code).model_type)


def read_context(model: str, trust_remote_code: bool = False) -> int:
    """Longest text in tokens that the model's positions allow; unlimited (2**31) where its config names none, or positions are relative."""
    return longest_text(_read_config(model, trust_remote_code))


def longest_text(config: Any) -> int:
    """As `read_context`, of a config of transformers."""
    if hasattr(config, "relative_attention_num_buckets"):
        return UNLIMITED  # the n_positions of a published T5 is only the length it was trained on
    names = ("max_position_embeddings", "n_positions", "max_seq_len")
    return next((value for name in names if isinstance(value := getattr(config, name, None), int) and value > 0), UNLIMITED)


def _read_config(model: str, trust_remote_code: bool) -> Any:
    place = base_place(resolve_model(model))
    try:
        return AutoConfig.from_pretrained(place, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise UserError(f"{model}: the model's config cannot be read ({_one_line(error)}).") from None


def count_parameters(run: str) -> int:
    """Weights of a model folder (or of the last checkpoint), from the shapes in its safetensors; tied ones count once."""
    from safetensors import safe_open

    total = 0
    for file in Path(resolve_model(run)).glob("*.safetensors"):
        with safe_open(file, framework="pt") as weights:
            total += sum(prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return total


def _require_known(place: str) -> None:
    if not Path(place).exists() and (place.startswith((".", "/", "~")) or place.count("/") > 1):
        raise UserError(f"{place}: no such model folder.")


def _require_weights(folder: Path) -> bool:
    """Whether the weights are safetensors."""
    if any(folder.glob("*.safetensors")):
        return True
    if not any(folder.glob("pytorch_model*.bin")):
        raise UserError(f"{folder}: a model folder without weights (no *.safetensors, no pytorch_model.bin).")
    say(f"{folder}: only pytorch_model.bin here; read with weights_only (no code runs). What we write is safetensors.")
    return False


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")
