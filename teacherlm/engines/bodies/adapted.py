"""A base with its adapter in it: what peft can do through peft, bottleneck adapters through our own modules."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from teacherlm.engines.bodies import bottleneck
from teacherlm.errors import UserError
from teacherlm.store.adapters import CONFIG, WEIGHTS, AdapterFolder, find_adapter
from teacherlm.store.fingerprint import weights_content

LoadWhole = Callable[[str, str, bool], Any]
"""(place, revision, whether in 4 bits) -> a model."""
PREFIX = "base_model.model."
"""Before each name in peft's files."""
IN_MEMORY = "default"
"""What peft calls the adapter."""


def attach_saved(model: Any, adapter: AdapterFolder) -> None:
    """Puts a saved adapter beside the weights of its base; nothing is merged, nothing is trained.

    Raises: UserError when its files cannot be read, are of a method that this cannot do, or do not fit the base.
    """
    require_same_base(adapter)
    saved = read_weights(adapter.path)
    if adapter.method == bottleneck.METHOD:
        bottleneck.attach(model, shape_of(adapter.config))
        bottleneck.put_in(model, saved, str(adapter.path))
    else:
        try:
            model.add_adapter(_peft_config(adapter), IN_MEMORY)
        except ValueError as error:
            raise UserError(f"{adapter.path}: the adapter does not fit its base ({_one_line(error)}).") from None
        put_in(model, saved, str(adapter.path))
    model.requires_grad_(False)


def replace_saved(model: Any, adapter: AdapterFolder) -> None:
    """Puts a saved adapter in the place of one of the same shape over the same base. Raises: UserError as `attach_saved`."""
    require_same_base(adapter)
    put = bottleneck.put_in if adapter.method == bottleneck.METHOD else put_in
    put(model, read_weights(adapter.path), str(adapter.path))


def shape_of(config: Mapping[str, Any]) -> bottleneck.Shape:
    return bottleneck.Shape(**{name: config[name] for name in bottleneck.Shape.__dataclass_fields__ if name in config})


def put_in(model: Any, saved: Mapping[str, Tensor], where: str) -> None:
    """Weights of peft's files into a model that has the adapter.

    Raises: UserError unless they are those of its adapter.
    """
    plain = {name.removeprefix(PREFIX): weight for name, weight in saved.items()}
    expected = weights(model).keys()
    if plain.keys() != expected:
        raise UserError(f"{where}: its adapter does not fit its base ({min(plain.keys() ^ expected)}).")
    try:
        set_peft_model_state_dict(model, plain, IN_MEMORY)
    except RuntimeError as error:
        raise UserError(f"{where}: its adapter does not fit its base ({_one_line(error)}).") from None


def weights(model: Any, state: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Of the adapter alone, as peft names them in a model that is not wrapped."""
    given = None if state is None else dict(state)
    found: dict[str, Tensor] = get_peft_model_state_dict(model, given, IN_MEMORY, save_embedding_layers=False)
    return found


def require_same_base(adapter: AdapterFolder) -> None:
    """Raises: UserError when the base's bytes are not those over which it was trained."""
    noted = adapter.facts.get("content")
    if noted and Path(adapter.base).exists() and weights_content(adapter.base) != noted:
        raise UserError(
            f"{adapter.path}: was trained over {adapter.base}, whose weights have changed since; train it anew, or put the old ones back."
        )


def read_weights(folder: Path) -> dict[str, Tensor]:
    try:
        found: dict[str, Tensor] = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{folder / WEIGHTS}: cannot be read ({_one_line(error)}).") from None
    return found


def _peft_config(adapter: AdapterFolder) -> Any:
    try:
        config = PeftConfig.from_pretrained(str(adapter.path))
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{adapter.path / CONFIG}: an adapter of an unknown method ('{adapter.method}').") from None
    if getattr(config, "is_prompt_learning", False):
        raise UserError(f"{adapter.path}: {adapter.method} adds tokens before the prompt, which is not supported; lora is.")
    return config


def merge_into(model: Any, adapter: AdapterFolder) -> Any:
    """The base with the adapter's change added to its own weights.

    Raises: UserError for bottleneck adapters: a non-linear module is no change of a linear layer.
    """
    from peft import PeftModel

    if adapter.method == bottleneck.METHOD:
        raise UserError(
            f"{adapter.path}: a bottleneck adapter is not linear and cannot be merged into its base; it is loaded from its own folder"
            " wherever a model is asked for, and lora can be merged."
        )
    require_same_base(adapter)
    _peft_config(adapter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for what it has renamed
        return PeftModel.from_pretrained(model, str(adapter.path)).merge_and_unload(safe_merge=True)


def merged(place: str, revision: str, load: LoadWhole) -> Any:
    """What lies at `place`: a whole model as `load` reads it, or an adapter merged into what it lies over.

    Beneath an adapter that was trained over 4 bits the weights are what these 4 bits say.
    """
    found = find_adapter(place)
    if found is None:
        return load(place, revision, False)
    beneath = dequantised(load(found.base, found.revision, True)) if found.is_quantised else merged(found.base, found.revision, load)
    return merge_into(beneath, found)


def dequantised(model: Any) -> Any:
    """Weights in 4 bits as fp32 numbers: the very values that the quantised model computes with."""
    whole = model.dequantize(dtype=torch.float32)
    whole.config.__dict__.pop("quantization_config", None)
    return whole


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")
