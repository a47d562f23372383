"""A student that exists: its weights and tokenizer, from a folder or the hub."""

from math import prod
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.store.checkpoints import resolve_model


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


def read_model(model: str, trust_remote_code: bool = False, tensor_parallel: int = 1) -> Any:
    """The weights in fp32 (mixed precision keeps them so), each cut over so many processes. `.bin` weights are read without running
    pickled code.

    Raises: UserError for a folder without weights, an encoder-decoder, or a hub id that cannot be fetched.
    """
    place = resolve_model(model)
    _require_known(place)
    safe = _require_weights(Path(place)) if Path(place).is_dir() else None
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    try:
        config = AutoConfig.from_pretrained(place, **options)
        if config.is_encoder_decoder:
            raise UserError(f"{model}: an encoder-decoder ({config.model_type}); only decoder-only students can be trained so far.")
        if tensor_parallel > 1:
            from transformers.distributed import DistributedConfig

            _require_plan(model, config, tensor_parallel)
            options["distributed_config"] = DistributedConfig(tp_size=tensor_parallel)
        return AutoModelForCausalLM.from_pretrained(place, config=config, dtype=torch.float32, use_safetensors=safe, **options)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(f"{model}: the model cannot be read ({_one_line(error)}).") from None


def _require_plan(model: str, config: Any, processes: int) -> None:
    """Raises: UserError for a model that transformers cannot cut over so many processes."""
    if not getattr(config, "base_model_tp_plan", None):
        raise UserError(f"{model}: transformers has no plan to cut a {config.model_type} over processes; use ds_config zero3 instead.")
    heads = {name: getattr(config, name, None) for name in ("num_attention_heads", "num_key_value_heads")}
    if uneven := [f"{name} {count}" for name, count in heads.items() if count and count % processes]:
        raise UserError(
            f"{model}: its {uneven[0]} cannot be cut over tensor_parallel {processes}; use a divisor of it, or ds_config zero3."
        )


def read_context(model: str, trust_remote_code: bool = False) -> int:
    """Longest text in tokens that the model's positions allow; unlimited (2**31) where its config names none."""
    place = resolve_model(model)
    try:
        config = AutoConfig.from_pretrained(place, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise UserError(f"{model}: the model's config cannot be read ({_one_line(error)}).") from None
    names = ("max_position_embeddings", "n_positions", "max_seq_len")
    return next((value for name in names if isinstance(value := getattr(config, name, None), int) and value > 0), 2**31)


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
