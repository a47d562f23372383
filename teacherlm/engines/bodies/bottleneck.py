"""Bottleneck adapters: small modules behind the attention and the MLP of each block, in models of many architectures.

peft has no such method, so the files are ours, in its layout: `adapter_config.json` with peft_type BOTTLENECK, and the modules' weights
in `adapter_model.safetensors`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from teacherlm.errors import UserError

METHOD = "BOTTLENECK"
MH, OUTPUT = "mh_adapter", "output_adapter"
NON_LINEARITIES = {"relu": torch.relu, "gelu": torch.nn.functional.gelu}
INIT_STD = 1e-2
"""Of fresh weights, cut at two of it: a new module is nearly the identity (Houlsby et al. 2019, section 3.6)."""


@dataclass(frozen=True)
class Places:
    """Which linear layers end the attention and the MLP of a block, by the end of their names."""

    attention: tuple[str, ...]
    mlp: tuple[str, ...]


LLAMA = Places(("self_attn.o_proj",), ("mlp.down_proj",))
OPT = Places(("self_attn.out_proj",), ("fc2",))
GPT2 = Places(("attn.c_proj",), ("mlp.c_proj",))
BLOOM = Places(("self_attention.dense",), ("mlp.dense_4h_to_h",))
NEOX = Places(("attention.dense",), ("mlp.dense_4h_to_h",))
T5 = Places(("SelfAttention.o", "EncDecAttention.o"), ("DenseReluDense.wo",))
BART = Places(("self_attn.out_proj", "encoder_attn.out_proj"), ("fc2",))
PLACES: Mapping[str, Places] = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "olmo", "olmo2", "phi3", "smollm3"), LLAMA),
    "opt": OPT,
    "gpt2": GPT2,
    "bloom": BLOOM,
    "falcon": BLOOM,
    "gpt_neox": NEOX,
    "gpt_neo": Places(("attn.attention.out_proj",), ("mlp.c_proj",)),
    "gptj": Places(("attn.out_proj",), ("mlp.fc_out",)),
    "phi": Places(("self_attn.dense",), ("mlp.fc2",)),
    **dict.fromkeys(("t5", "mt5", "umt5"), T5),
    **dict.fromkeys(("bart", "mbart", "m2m_100"), BART),
}
"""By `model_type` of a model's config."""


@dataclass(frozen=True)
class Shape:
    mh_adapter: bool = True
    output_adapter: bool = True
    reduction_factor: int = 16
    non_linearity: str = "relu"


class Bottleneck(nn.Module):
    """x + up(f(down(x))): d -> d / reduction_factor -> d, nearly the identity when fresh."""

    def __init__(self, width: int, shape: Shape) -> None:
        super().__init__()
        inner = max(1, width // shape.reduction_factor)
        self.down, self.up = nn.Linear(width, inner), nn.Linear(inner, width)
        self.act = NON_LINEARITIES[shape.non_linearity]
        for layer in (self.down, self.up):
            nn.init.trunc_normal_(layer.weight, std=INIT_STD, a=-2 * INIT_STD, b=2 * INIT_STD)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.up(self.act(self.down(x.to(self.down.weight.dtype))))
        return x + change.to(x.dtype)


def _through_its_adapter(layer: nn.Module, given: Any, output: Tensor) -> Tensor:
    """What the layer says, before the block adds it to the residual stream."""
    adapter: Bottleneck = layer.mh_adapter if hasattr(layer, MH) else layer.output_adapter  # type: ignore[assignment]
    return adapter(output)  # type: ignore[no-any-return]


def attach(model: Any, shape: Shape) -> None:
    """Puts the modules in; the base's weights keep their names and are frozen.

    Raises: UserError for an architecture without known places, listing its linear layers.
    """
    model.requires_grad_(False)
    for kind, layer in _chosen(model, shape):
        weight = next(p for p in layer.parameters() if p.is_floating_point() or p.dtype == torch.uint8)
        made = Bottleneck(width_out(layer), shape).to(weight.device)
        setattr(layer, kind, made)
        layer.register_forward_hook(_through_its_adapter)


def _chosen(model: Any, shape: Shape) -> Iterator[tuple[str, nn.Module]]:
    places = PLACES.get(model.config.model_type)
    found = {MH: _ending(model, places.attention), OUTPUT: _ending(model, places.mlp)} if places else {}
    if not found or not all(found.values()):
        raise UserError(
            f"adapter bottleneck: it is not known where a {model.config.model_type} ends its attention and its MLP;"
            f" its linear layers are {', '.join(linear_names(model))}. lora works with any of them."
        )
    for kind, wanted in ((MH, shape.mh_adapter), (OUTPUT, shape.output_adapter)):
        if wanted:
            yield from ((kind, layer) for layer in found[kind])


def _ending(model: Any, names: tuple[str, ...]) -> list[nn.Module]:
    return [layer for name, layer in model.named_modules() if any(name.endswith(f".{end}") for end in names)]


def weights(model: Any, state: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The modules' weights by name, of a model or of a copy of its state."""
    state = model.state_dict() if state is None else state
    return {name: weight for name, weight in state.items() if f".{MH}." in name or f".{OUTPUT}." in name}


def put_in(model: Any, saved: Mapping[str, Tensor], where: str) -> None:
    """Raises: UserError unless the weights are those of the model's modules."""
    if saved.keys() != weights(model).keys():
        odd = min(saved.keys() ^ weights(model).keys())
        raise UserError(f"{where}: its adapter does not fit its base ({odd}).")
    model.load_state_dict(saved, strict=False)


def linear_names(model: Any) -> list[str]:
    """The last parts of the names of all linear layers but the one over the vocabulary, each once."""
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    names = [name.rpartition(".")[2] for name, layer in model.named_modules() if is_linear(layer) and layer is not head]
    return list(dict.fromkeys(names))


def is_linear(layer: nn.Module) -> bool:
    """Also GPT-2's Conv1D, and the layers of bitsandbytes."""
    return isinstance(layer, nn.Linear) or type(layer).__name__ == "Conv1D"


def width_out(layer: Any) -> int:
    return int(layer.out_features if hasattr(layer, "out_features") else layer.nf)
