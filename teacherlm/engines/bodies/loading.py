"""Loads a language model and its tokenizer: safetensors, no foreign code, and one clear line for everything that can be missing."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from teacherlm.engines.bodies.quantised import NF4, NF4_DOUBLE, QUANTISED, leave_unpacked, quantised
from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.store.adapters import AdapterFolder, base_place, find_adapter


def load_model(place: str, revision: str, dtype: str, device: str, trust_remote_code: bool, device_map: str = "") -> tuple[Any, Any]:
    """(model in evaluation mode, tokenizer). `place` is a model folder, one that holds an adapter, or a hub id.

    An adapter lies beside its base's weights; `dtype` is then the base's, and auto what it was trained over.

    Raises: UserError when either cannot be loaded, or the weights lack a part of the model.
    """
    options = {"revision": revision, "trust_remote_code": trust_remote_code}
    tokenizer = load_tokenizer(place, revision, trust_remote_code)
    if adapter := find_adapter(place):
        return _load_adapted(adapter, dtype, device, trust_remote_code, device_map).eval(), tokenizer
    return _load_whole(place, dtype, device, device_map, options).eval(), tokenizer


def load_tokenizer(place: str, revision: str, trust_remote_code: bool) -> Any:
    """An adapter's own, else its base's."""
    words = place if not find_adapter(place) or any(Path(place).glob("tokenizer*")) else base_place(place)
    options = {"revision": revision, "trust_remote_code": trust_remote_code}
    return _loaded(place, "tokenizer", lambda: AutoTokenizer.from_pretrained(words, **options))


def _load_adapted(adapter: AdapterFolder, dtype: str, device: str, trust_remote_code: bool, device_map: str) -> Any:
    from teacherlm.engines.bodies.adapted import attach_saved, merged

    dtype = NF4_DOUBLE if adapter.is_quantised and dtype == "auto" else dtype
    if find_adapter(adapter.base) and dtype in QUANTISED:
        raise UserError(f"{adapter.path}: lies over another adapter, which cannot be merged into weights of {dtype}; `teacherlm merge` it.")

    def load(place: str, revision: str, quantised: bool) -> Any:
        options = {"revision": revision, "trust_remote_code": trust_remote_code}
        return _load_whole(place, NF4_DOUBLE if quantised else dtype, device, device_map, options)

    model = merged(adapter.base, adapter.revision, load)
    attach_saved(model, adapter)
    return model if device_map or dtype in QUANTISED else model.to(find_device(device))


def _load_whole(place: str, dtype: str, device: str, device_map: str, options: dict[str, Any]) -> Any:
    config = _loaded(place, "config", lambda: AutoConfig.from_pretrained(place, **options))
    family = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    placed: dict[str, Any] = {"device_map": device_map} if device_map else {}
    if dtype in QUANTISED:
        # Quantised weights are made where they stay.
        placed = placed or {"device_map": {"": str(find_device(device))}}
        precision = {"dtype": "auto", "quantization_config": quantised(dtype)}
    else:
        precision = {"dtype": dtype}
    model, found = _loaded(place, "model", lambda: _read_weights(family, place, config, {**options, **precision, **placed}))
    if found["missing_keys"]:
        missing = sorted(found["missing_keys"])
        raise UserError(f"{place}: its weights lack {len(missing)} tensors of {type(model).__name__} (such as {missing[0]}).")
    if dtype in (NF4, NF4_DOUBLE):
        leave_unpacked(model)
    return model if placed else model.to(find_device(device))


def find_device(name: str) -> torch.device:
    """Raises: UserError for a device that this machine does not have."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device: '{name}' cannot be used here ({_first_line(error)}).") from None


def _read_weights(family: Any, place: str, config: Any, options: dict[str, Any]) -> Any:
    """safetensors; where a model has only pickled weights, those, read as tensors alone."""
    folder = Path(place)
    pickled = folder.is_dir() and not any(folder.glob("*.safetensors"))
    try:
        if not pickled:
            return family.from_pretrained(place, config=config, use_safetensors=True, output_loading_info=True, **options)
    except OSError as error:
        if folder.is_dir() or "safetensors" not in str(error):
            raise
    say(f"notice: {place} has no safetensors; its .bin weights are read with weights_only.")
    return family.from_pretrained(place, config=config, use_safetensors=False, weights_only=True, output_loading_info=True, **options)


def _loaded(place: str, what: str, load: Any) -> Any:
    try:
        return load()
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError, UnpicklingError) as error:
        raise UserError(f"{place}: its {what} could not be loaded ({_first_line(error)}).") from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
