"""Any language model of the transformers library, on the CPU or a GPU of this machine: batched, greedy or seeded sampling."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import model_validator

from teacherlm.catalog import ChosenSettings
from teacherlm.engines.bodies.late import Late
from teacherlm.errors import UserError
from teacherlm.records import Load
from teacherlm.stage import Model, Plugin, Runtime
from teacherlm.store.adapters import is_adapter_folder
from teacherlm.store.checkpoints import resolve_model
from teacherlm.store.fingerprint import content_on_disk

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")


class TransformersSettings(ChosenSettings):
    name: Literal["transformers"] = "transformers"
    model: Model
    """A model folder, the output of `finetune` (its last checkpoint), or a hub id."""
    revision: str = "main"
    """Branch, tag or commit of a hub model."""
    dtype: Literal["auto", "float32", "float16", "bfloat16", "int8", "nf4"] = "auto"
    """Precision of the weights; auto: as they were saved. int8 and nf4 quantise them while loading (extra `quantized`)."""
    chat: bool = False
    """The prompt becomes a user's turn in the model's chat template."""
    system: str = ""
    """What the system says before that turn; only with `chat`."""
    trust_remote_code: bool = False
    """Run code that comes with the model. Only for models you trust."""
    device: Runtime[str] = "auto"
    """cpu, cuda, cuda:1, ...; auto: a GPU where there is one."""
    device_map: Runtime[str] = ""
    """For a model larger than a card: auto, balanced, balanced_low_0 or sequential spread its layers over all there are, and the CPU."""
    batching: Runtime[Literal["own", "continuous"]] = "own"
    """continuous: transformers' own continuous batching, for greedy texts without stop strings; the rest is always batched by us."""

    @model_validator(mode="after")
    def _fits_together(self) -> "TransformersSettings":
        if self.system and not self.chat:
            raise UserError("system: is only said in a chat; set chat: true as well.")
        if self.device_map and self.device != "auto":
            raise UserError("device_map: decides about the devices; leave `device` out.")
        return self


def build(settings: TransformersSettings, seed: int = 0, load: Load | None = None) -> Late:
    """An engine whose model is loaded when something is asked of it.

    Raises: UserError at once for a folder without weights, tokenizer, or the chat template that is asked for.
    """
    place = resolve_model(settings.model)
    if Path(place).exists():
        check_model_folder(Path(place))
        if settings.chat:
            check_chat_template(Path(place))

    def loaded() -> Any:
        from teacherlm.engines.bodies.loading import load_model
        from teacherlm.engines.bodies.texts import Chat
        from teacherlm.engines.bodies.transformers import TransformersEngine

        s = settings
        model, tokenizer = load_model(place, s.revision, s.dtype, s.device, s.trust_remote_code, s.device_map)
        chat = Chat(s.system) if s.chat else None
        if s.batching == "own":
            return TransformersEngine(model, tokenizer, identity, load, chat)
        from teacherlm.engines.bodies.continuous import ContinuousEngine

        return ContinuousEngine(model, tokenizer, identity, load, chat)

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
    return f"{name}@{version}, {settings.dtype}{_manner(settings)}, seed {seed}"


def _manner(settings: TransformersSettings) -> str:
    """Of asking; nothing where nothing is set."""
    system = f", system {hashlib.blake2b(settings.system.encode(), digest_size=8).hexdigest()}" if settings.system else ""
    return f", chat{system}" if settings.chat else ""


def check_model_folder(folder: Path) -> None:
    """Raises: UserError for a folder without weights or tokenizer (an adapter without one has its base's)."""
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        raise UserError(f"{folder}: holds no weights (no *.safetensors).")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES) and not is_adapter_folder(folder):
        raise UserError(f"{folder}: holds no tokenizer (no tokenizer.json).")


def check_chat_template(folder: Path) -> None:
    """Raises: UserError for a folder without one."""
    files = [folder / "chat_template.jinja", folder / "chat_template.json", folder / "additional_chat_templates"]
    config = folder / "tokenizer_config.json"
    if not any(path.exists() for path in files) and not (config.exists() and orjson.loads(config.read_bytes()).get("chat_template")):
        raise UserError(f"{folder}: its tokenizer has no chat template; leave `chat` off, or choose a chat model.")


ENGINE = Plugin(TransformersSettings, build)
