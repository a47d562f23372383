"""Where a student is trained: here, or by the finetuning API of OpenAI (and of servers that speak as it does)."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator

from teacherlm.catalog import ChosenSettings
from teacherlm.engines.openai import OpenaiSettings, plain_url
from teacherlm.errors import UserError, unknown
from teacherlm.parsing import parse_config
from teacherlm.stage import Runtime

OURS = ("model", "training_file", "suffix", "seed", "hyperparameters", "metadata")


class LocalBackend(ChosenSettings):
    name: Literal["local"] = "local"


class OpenaiBackend(ChosenSettings):
    name: Literal["openai"] = "openai"
    base_url: Runtime[str] = "https://api.openai.com/v1"
    """Where the server is, with the version."""
    api_key_env: Runtime[str] = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; it goes to base_url and nowhere else."""
    form: Literal["messages", "prompt_completion"] = "messages"
    """How rows are told: messages (turns; the student is asked by chat), prompt_completion (for models that continue a text)."""
    suffix: Annotated[str, Field(max_length=64)] = ""
    """Becomes a part of the student's name."""
    epochs: Annotated[int | None, Field(gt=0)] = None
    """Passes over the rows; by default the server decides, as of the next two."""
    batch_size: Annotated[int | None, Field(gt=0)] = None
    """Rows of a step."""
    learning_rate_multiplier: Annotated[float | None, Field(gt=0)] = None
    """Of the learning rate that the server finds right."""
    parameters: dict[str, Any] = {}
    """Further parameters of the job, under the server's names: {method: {...}}."""
    poll_seconds: Annotated[Runtime[float], Field(gt=0)] = 5.0
    """First pause between two looks at the job; pauses grow to a minute."""
    timeout: Annotated[Runtime[float], Field(gt=0)] = 120.0
    """Seconds for one try of one request."""
    retries: Annotated[Runtime[int], Field(ge=0)] = 8
    """How often what failed in passing (429, 5xx, no connection, no answer) is tried again."""

    @field_validator("base_url")
    @classmethod
    def _is_plain(cls, value: str) -> str:
        return plain_url(value)

    @field_validator("parameters")
    @classmethod
    def _leaves_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key in value:
            if key in OURS:
                raise UserError(f"'{key}' is said by settings of its own; parameters may hold others of the server.")
        return value

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Those that are set, as the API calls them."""
        given = {"n_epochs": self.epochs, "batch_size": self.batch_size, "learning_rate_multiplier": self.learning_rate_multiplier}
        return {name: value for name, value in given.items() if value is not None}


BACKENDS: Mapping[str, type[ChosenSettings]] = {"local": LocalBackend, "openai": OpenaiBackend}


def _parse_backend(value: Any) -> Any:
    given = {"name": value} if isinstance(value, str) else value
    if isinstance(given, ChosenSettings):
        return given
    if not isinstance(given, Mapping):
        raise UserError(f"expected local, openai, or {{name: openai, ...}}, found {value!r}.")
    name = str(given.get("name", "openai"))
    if name not in BACKENDS:
        raise unknown("backend", name, BACKENDS)
    return parse_config(BACKENDS[name], {**given, "name": name})


Backend = Annotated[SerializeAsAny[ChosenSettings], BeforeValidator(_parse_backend)]


class ApiSettings(OpenaiSettings):
    """The openai engine's settings for a student whose name is given elsewhere."""

    model: str = ""
    """Comes from `input`."""
