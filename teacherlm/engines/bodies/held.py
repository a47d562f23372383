"""One model in memory after another: checkpoints of an adapter take their turns over a base that is loaded once, and nothing is merged."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from teacherlm.engines.bodies.loading import load_model, load_tokenizer
from teacherlm.engines.bodies.pairs import PairsByTokenizer
from teacherlm.store.adapters import BASE, AdapterFolder, find_adapter
from teacherlm.store.fingerprint import weights_content


@dataclass
class Held:
    """What was loaded last, where it is an adapter over its base, and the questions in the tokens of its tokenizer."""

    model: Any = None
    name: Any = None
    """Of the base as it was loaded, and of the shape of what lies over it."""
    pairs: PairsByTokenizer = field(default_factory=PairsByTokenizer)

    def load(self, place: str, revision: str, dtype: str, device: str, trust_remote_code: bool) -> tuple[Any, Any]:
        """As `load_model` does. An adapter takes the place of the one before where it lies over the same base in the same shape.

        Raises: UserError when model or tokenizer cannot be loaded, and for an adapter that does not fit.
        """
        model, self.model = self.model, None  # one that is half replaced is never used
        adapter = find_adapter(place)
        name = (_name(adapter), dtype, device, trust_remote_code) if adapter else None
        if adapter and model is not None and name == self.name:
            tokenizer = load_tokenizer(place, revision, trust_remote_code)
            from teacherlm.engines.bodies.adapted import replace_saved

            replace_saved(model, adapter)
        else:
            del model  # before the next one needs its room
            model, tokenizer = load_model(place, revision, dtype, device, trust_remote_code)
        if adapter:
            self.model, self.name = model, name
        return model, tokenizer


def _name(adapter: AdapterFolder) -> tuple[Any, ...]:
    base = str(Path(adapter.base).resolve()) if Path(adapter.base).exists() else adapter.base
    shape = {key: value for key, value in adapter.config.items() if key != BASE}
    return base, weights_content(adapter.base), adapter.revision, adapter.is_quantised, shape
