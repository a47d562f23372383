"""Training bottleneck adapters: their modules are in `engines/bodies/bottleneck.py`, where everything that loads a model finds them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from teacherlm.engines.bodies import adapted, bottleneck
from teacherlm.store.adapters import BASE, CONFIG
from teacherlm.store.checkpoints import resolve_model
from teacherlm.store.files import write_json
from teacherlm.training.adapters.bottleneck import BottleneckSettings
from teacherlm.training.adapting import absolute, revision_of, write_weights


@dataclass(frozen=True)
class BottleneckAdapter:
    settings: BottleneckSettings
    model: str
    """The student as it was asked for."""
    quantised: bool = False

    @property
    def shape(self) -> bottleneck.Shape:
        return bottleneck.Shape(**self.settings.model_dump(exclude={"name"}))

    def attach(self, model: Any, gradient_checkpointing: bool) -> None:
        """Raises: UserError for an architecture whose places are not known."""
        bottleneck.attach(model, self.shape)
        if gradient_checkpointing:
            model.enable_input_require_grads()

    def save(self, model: Any, folder: Path, state: Mapping[str, Tensor] | None) -> None:
        write_weights(folder, bottleneck.weights(model, state))
        place = resolve_model(self.model)
        about = {"peft_type": bottleneck.METHOD, BASE: absolute(place), "revision": revision_of(model, place)}
        write_json(folder / CONFIG, {**about, "model_type": model.config.model_type, **asdict(self.shape)})

    def load(self, model: Any, folder: Path) -> None:
        bottleneck.put_in(model, adapted.read_weights(folder), str(folder))
