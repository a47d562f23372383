"""Any server that speaks the OpenAI protocol: vLLM, llama.cpp, Ollama, TGI, SGLang, `transformers serve`, OpenAI itself."""

import hashlib
import ipaddress
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import orjson
from pydantic import Field, field_validator, model_validator

from teacherlm.catalog import ChosenSettings
from teacherlm.engines.bodies.late import Late
from teacherlm.errors import UserError
from teacherlm.records import Load
from teacherlm.stage import Plugin, Runtime

OURS = ("model", "prompt", "messages", "stream", "n", "best_of", "echo", "logprobs")
"""What the engine alone says in a request's body."""
STAGES = ("max_tokens", "temperature", "top_p", "stop", "seed")
"""What the stage's settings say there; `extra` may only leave it out."""


class OpenaiSettings(ChosenSettings):
    name: Literal["openai"] = "openai"
    model: str
    """The model's name as the server knows it (GET /models lists them)."""
    base_url: Runtime[str] = "http://127.0.0.1:8000/v1"
    """Where the server is, with the version: endpoints are `<base_url>/completions` and so on."""
    endpoint: Literal["completions", "chat"] = "completions"
    """completions: the model continues the prompt as it stands; chat: the prompt is one user turn in the model's chat template."""
    system: str = ""
    """The system turn before it (chat only)."""
    api_key_env: Runtime[str] = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key, where the server wants one; the key goes to base_url and nowhere else."""
    extra: dict[str, Any] = {}
    """Further parameters of every request, such as {repetition_penalty: 1.05}; null leaves one of ours out: {temperature: null}."""
    context: Annotated[int | None, Field(ge=1)] = None
    """Tokens of prompt and text together. Only where overlong prompts shall fail (enhance's `on_overlong: fail`) are all prompts counted
    against it before the first is asked, by the server (vLLM, llama.cpp can); else a server that refuses an overlong prompt is believed."""
    concurrency: Annotated[Runtime[int], Field(ge=1)] = 8
    """Requests under way at once."""
    requests_per_minute: Annotated[Runtime[int | None], Field(ge=1)] = None
    """No more than these are begun, evenly spread."""
    tokens_per_minute: Annotated[Runtime[int | None], Field(ge=1)] = None
    """Of prompts and texts together, by the server's own count of what is done."""
    timeout: Annotated[Runtime[float], Field(gt=0)] = 600.0
    """Seconds for one try of one request, from sending it to its last byte."""
    retries: Annotated[Runtime[int], Field(ge=0)] = 6
    """How often a request that failed in passing (429, 5xx, no connection, a broken answer) is made again before its row is given up."""

    @field_validator("base_url")
    @classmethod
    def _is_plain(cls, value: str) -> str:
        return plain_url(value)

    @field_validator("extra")
    @classmethod
    def _leaves_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key in value:
            if key in OURS:
                raise UserError(f"'{key}' is the engine's to say; extra may hold other parameters of the server.")
            if key in STAGES and value[key] is not None:
                raise UserError(f"'{key}' is a setting of the stage; here it can only be left out (null).")
        return value

    @model_validator(mode="after")
    def _system_needs_chat(self) -> "OpenaiSettings":
        if self.system and self.endpoint != "chat":
            raise UserError("a system turn needs endpoint: chat.")
        return self

    @property
    def loopback(self) -> bool:
        """The server is on this machine: no proxy stands between."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")


def plain_url(value: str) -> str:
    """Raises: UserError for what is no URL of a server, or holds what a manifest must not."""
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise UserError(f"expected something like http://127.0.0.1:8000/v1, found '{value}'.")
    if url.username or url.password or url.query or url.fragment:
        raise UserError("a URL is written into manifests: no user, password or ?query in it; name the key's variable in api_key_env.")
    return value.rstrip("/")


def identity_of(settings: OpenaiSettings, seed: int) -> str:
    """`<model>@<endpoint>[, system <hash>][, extra <hash>], server, seed <n>`: the same model on another server is the same model."""
    parts: list[str] = [settings.endpoint]
    parts += [f"system {_digest(settings.system.encode())}"] if settings.system else []
    parts += [f"extra {_digest(orjson.dumps(settings.extra, option=orjson.OPT_SORT_KEYS))}"] if settings.extra else []
    return f"{settings.model}@{', '.join(parts)}, server, seed {seed}"


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=4).hexdigest()


def build(settings: OpenaiSettings, seed: int = 0, load: Load | None = None) -> Late:
    """Asks nothing yet. `load` is the server's business; `concurrency` says how much of it we want at once."""
    identity = identity_of(settings, seed)

    def loaded() -> Any:
        from teacherlm.engines.bodies.openai import OpenaiEngine

        return OpenaiEngine(settings, identity)

    return Late(identity, loaded)


ENGINE = Plugin(OpenaiSettings, build)
