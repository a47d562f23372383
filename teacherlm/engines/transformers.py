"""Any language model of the transformers library, on the CPU or a GPU of this machine: batched, greedy or seeded sampling."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from teacherlm.catalog import ChosenSettings
from teacherlm.engines.bodies.late import Late
from teacherlm.errors import UserError
from teacherlm.records import Load
from teacherlm.stage import Model, Plugin, Runtime
from teacherlm.store.checkpoints import resolve_model
from teacherlm.store.fingerprint import content_on_disk

QUANTISED = ("int8", "int4", "nf4", "fp4")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")


def refuse_quantised(dtype: Any) -> Any:
    """The original accepted int8 and ran in half precision without a word."""
    if dtype in QUANTISED:
        raise UserError(f"{dtype} needs quantised loading, which this version does not have; use float16 or bfloat16.")
    return dtype


class TransformersSettings(ChosenSettings):
    name: Literal["transformers"] = "transformers"
    model: Model
    """A model folder, the output of `finetune` (its last checkpoint), or a hub id."""
    revision: str = "main"
    """Branch, tag or commit of a hub model."""
    dtype: Annotated[Literal["auto", "float32", "float16", "bfloat16"], BeforeValidator(refuse_quantised)] = "auto"
    """Precision of the weights; auto: as they were saved."""
    trust_remote_code: bool = False
    """Run code that comes with the model. Only for models you trust."""
    device: Runtime[str] = "auto"
    """cpu, cuda, cuda:1, ...; auto: a GPU where there is one."""


def build(settings: TransformersSettings, seed: int = 0, load: Load | None = None) -> Late:
    """An engine whose model is loaded when something is asked of it.

    Raises: UserError at once for a folder without weights or tokenizer.
    """
    place = resolve_model(settings.model)
    if Path(place).exists():
        check_model_folder(Path(place))

    def loaded() -> Any:
        from teacherlm.engines.bodies.loading import load_model
        from teacherlm.engines.bodies.transformers import TransformersEngine

        model, tokenizer = load_model(place, settings.revision, settings.dtype, settings.device, settings.trust_remote_code)
        return TransformersEngine(model, tokenizer, identity, load)

    identity = identity_of(settings, seed)
    return Late(identity, loaded)


def identity_of(settings: TransformersSettings, seed: int) -> str:
    """Name and content of a folder, so that a copy elsewhere is the same model and a retrained one is not; a hub id with its revision."""
    path = Path(settings.model)
    if not path.exists():
        name, version = settings.model, settings.revision
    else:
        full = path.resolve()
        name = f"{full.parent.name}/{full.name}" if full.name.startswith("checkpoint-") else full.name
        version = content_on_disk(settings.model, "model")
    return f"{name}@{version}, {settings.dtype}, seed {seed}"


def check_model_folder(folder: Path) -> None:
    """Raises: UserError for a folder without weights or tokenizer."""
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        raise UserError(f"{folder}: holds no weights (no *.safetensors).")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise UserError(f"{folder}: holds no tokenizer (no tokenizer.json).")


ENGINE = Plugin(TransformersSettings, build)
