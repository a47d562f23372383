"""What training needs of an adapter: put into the student at its start, kept in checkpoints, read back after a stop."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

from safetensors.torch import save_file
from torch import Tensor

from teacherlm.engines.bodies import adapted
from teacherlm.engines.bodies.bottleneck import is_linear, linear_names
from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.store.adapters import CONFIG, PLACE, WEIGHTS, base_place, from_run
from teacherlm.store.checkpoints import resolve_model
from teacherlm.store.files import read_json, write_json
from teacherlm.store.fingerprint import weights_content
from teacherlm.training.adapters.lora import LoraSettings

TARGETS: Mapping[str, Sequence[str]] = {
    "gpt2": ("c_attn", "c_proj", "c_fc"),
    **dict.fromkeys(("t5", "mt5", "umt5"), ("q", "k", "v")),
    **dict.fromkeys(("gpt_neox", "bloom", "falcon"), ("query_key_value",)),
}
"""By `model_type`, as in GradEx's code; every other architecture has ATTENTION."""
ATTENTION = ("q_proj", "k_proj", "v_proj")


class Adapter(Protocol):
    quantised: bool
    """That it lies over weights in 4 bits."""

    def attach(self, model: Any, gradient_checkpointing: bool) -> None:
        """Puts it in, and freezes everything else."""
        ...

    def save(self, model: Any, folder: Path, state: Mapping[str, Tensor] | None) -> None:
        """`state`: a copy of the whole model's state, where the model itself does not hold all of it."""
        ...

    def load(self, model: Any, folder: Path) -> None: ...


@dataclass(frozen=True)
class Lora:
    settings: LoraSettings
    model: str
    """The student as it was asked for."""
    quantised: bool = False

    def attach(self, model: Any, gradient_checkpointing: bool) -> None:
        """Raises: UserError for targets that the model does not have, listing its linear layers."""
        from peft import LoraConfig, prepare_model_for_kbit_training

        settings, targets = self.settings, find_targets(model, self.settings.targets)
        if self.quantised:
            prepare_model_for_kbit_training(model, use_gradient_checkpointing=gradient_checkpointing)
        elif gradient_checkpointing:
            model.enable_input_require_grads()
        # Weights that GPT-2 keeps the other way round.
        turned = any(type(layer).__name__ == "Conv1D" and name.endswith(tuple(targets)) for name, layer in model.named_modules())
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules=targets,
            fan_in_fan_out=turned,
            task_type="SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM",
        )
        model.add_adapter(config, adapted.IN_MEMORY)

    def save(self, model: Any, folder: Path, state: Mapping[str, Tensor] | None) -> None:
        weights = adapted.weights(model, state)
        write_weights(folder, {adapted.PREFIX + name: weight for name, weight in weights.items()})
        config = model.peft_config[adapted.IN_MEMORY]
        place = resolve_model(self.model)
        before = config.base_model_name_or_path, config.revision, config.inference_mode
        config.base_model_name_or_path, config.revision, config.inference_mode = absolute(place), revision_of(model, place), True
        config.save_pretrained(str(folder))
        written = read_json(folder / CONFIG)
        write_json(folder / CONFIG, {**written, "target_modules": sorted(written["target_modules"])})  # a set, in any order
        config.base_model_name_or_path, config.revision, config.inference_mode = before

    def load(self, model: Any, folder: Path) -> None:
        adapted.put_in(model, adapted.read_weights(folder), str(folder))


def require_bitsandbytes() -> None:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UserError("adapter qlora needs bitsandbytes: pip install 'teacherlm[quantized]'; lora needs nothing more.")


def find_targets(model: Any, asked: Sequence[str]) -> list[str]:
    """Names of linear layers, all of them in the model.

    Raises: UserError for one that is not there, and for the layer over the vocabulary where it is tied to the embeddings.
    """
    wanted = list(asked or TARGETS.get(model.config.model_type, ATTENTION))
    linear = [name for name, layer in model.named_modules() if is_linear(layer)]
    for target in wanted:
        matching = [name for name in linear if name == target or name.endswith(f".{target}")]
        if not matching:
            what = f"targets: no linear layer '{target}' in this {model.config.model_type}" if asked else _unknown(model, target)
            raise UserError(f"adapter.{what}; there are {', '.join(linear_names(model))}.")
        head = model.get_output_embeddings()
        if any(model.get_submodule(name) is head for name in matching) and model.config.tie_word_embeddings:
            raise UserError(f"adapter.targets: '{target}' shares its weights with the embeddings in this model; leave it out.")
    return wanted


def _unknown(model: Any, target: str) -> str:
    return f"targets: no usual ones are known for a {model.config.model_type} (it has no '{target}'); name some"


def sizes(model: Any) -> dict[str, int]:
    """{trainable, parameters}: weights that training changes, and all; tied ones count once, those in 4 bits one each."""
    counted = [(_count(weight), weight.requires_grad) for weight in model.parameters()]
    return {"trainable": sum(n for n, trained in counted if trained), "parameters": sum(n for n, _ in counted)}


def _count(weight: Any) -> int:
    if (state := getattr(weight, "quant_state", None)) is not None:
        return prod(state.shape)
    return int(getattr(weight, "ds_numel", weight.numel()))


def say_share(name: str, model: Any) -> None:
    found = sizes(model)
    share = found["trainable"] / found["parameters"]
    say(f"adapter {name}: {found['trainable']:,} of {found['parameters']:,} weights are trained ({share:.2%}).")


def facts_of(settings: Any, model: str, run: Path) -> dict[str, Any]:
    """What a checkpoint says about its adapter and the base beneath it."""
    place = resolve_model(model)
    local = Path(place).exists()
    base = {"model": absolute(place), "content": weights_content(place), **({PLACE: from_run(Path(place), run)} if local else {})}
    return {"adapter": settings.model_dump(mode="json"), "base": base}


def absolute(place: str) -> str:
    return str(Path(place).resolve()) if Path(place).exists() else place


def revision_of(model: Any, place: str) -> str | None:
    """The commit of a hub model."""
    return None if Path(base_place(place)).exists() else getattr(model.config, "_commit_hash", None)


def write_weights(folder: Path, weights: Mapping[str, Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.detach().cpu().contiguous() for name, weight in weights.items()}, folder / WEIGHTS, {"format": "pt"})
