"""`model.json`: how a student behind an API is called and asked."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from teacherlm.engines.openai import OpenaiSettings
from teacherlm.errors import UserError
from teacherlm.hosted.settings import ApiSettings
from teacherlm.store.files import read_json, write_json

FILE = "model.json"
PREFIX = "openai:"


@dataclass(frozen=True)
class Hosted:
    model: str
    """As the server knows it."""
    base: str
    base_url: str
    api_key_env: str
    endpoint: str
    system: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What evaluation needs to know: template, train_on, seed, ..."""


def write_hosted(output: Path, hosted: Hosted) -> None:
    write_json(output / FILE, asdict(hosted))


def find_hosted(place: str) -> Hosted | None:
    """The student in an output of `finetune: {backend: openai}`; None for anything else. Raises: UserError for a file that is none."""
    path = Path(place) / FILE
    if not path.is_file():
        return None
    try:
        return Hosted(**read_json(path))
    except TypeError:
        raise UserError(f"{path}: does not say how a student behind an API is called.") from None


def settings_of(place: str, given: ApiSettings | None) -> tuple[OpenaiSettings, Mapping[str, Any]] | None:
    """(how it is asked, what it was taught) of `openai:MODEL` or an output with model.json; None for a student of another kind.

    What is given goes before what the file says.
    """
    own = given.model_dump(exclude_unset=True, exclude={"model"}) if given else {}
    if place.startswith(PREFIX):
        return OpenaiSettings(**{**own, "model": place.removeprefix(PREFIX)}), {}
    hosted = find_hosted(place)
    if hosted is None:
        return None
    told = {name: getattr(hosted, name) for name in ("model", "base_url", "api_key_env", "endpoint", "system")}
    return OpenaiSettings(**{**told, **own}), hosted.facts
