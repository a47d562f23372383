"""Bottleneck adapters (Houlsby et al. 2019, Pfeiffer et al. 2021): small modules behind the attention and the MLP of each block."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from teacherlm.errors import UserError
from teacherlm.stage import Plugin
from teacherlm.training.settings import AdapterSettings


class BottleneckSettings(AdapterSettings):
    name: str = "bottleneck"
    mh_adapter: bool = True
    """A module behind the attention of each block (Houlsby); Pfeiffer's adapters leave it out."""
    output_adapter: bool = True
    """A module behind the MLP of each block."""
    reduction_factor: Annotated[int, Field(gt=0)] = 16
    """The student's width over a module's: d inputs cost 2·d·(d / factor) weights and d + d / factor biases."""
    non_linearity: Literal["relu", "gelu"] = "relu"
    """Between a module's two layers."""

    @model_validator(mode="after")
    def _one_at_least(self) -> "BottleneckSettings":
        if not self.mh_adapter and not self.output_adapter:
            raise UserError("set mh_adapter, output_adapter or both; without them nothing would be trained.")
        return self


def build(settings: BottleneckSettings, model: str = "") -> Any:
    from teacherlm.training.bottleneck import BottleneckAdapter

    return BottleneckAdapter(settings, model)


ADAPTER = Plugin(BottleneckSettings, build)
