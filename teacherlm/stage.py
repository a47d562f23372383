"""What a stage is: a frozen config, a function, a version.

The marks below sit in a field's annotation. From them follow its place in the fingerprint (DESIGN: the output is decided
by settings and by the content of what is read, never by paths or by how the work was cut up) and its shape on the command line.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from teacherlm.headline import field_docstrings

T = TypeVar("T")


@dataclass(frozen=True)
class RuntimeMark:
    """The setting does not change the result (batch sizes, devices, logging): it stays out of the fingerprint."""


@dataclass(frozen=True)
class Source:
    """The setting names something to read: its content decides the result, not its spelling."""

    kind: Literal["data", "model"]
    words: tuple[str, ...] = ()
    """Values that name nothing to read."""


@dataclass(frozen=True)
class Positional:
    """On the command line the setting may also stand as a plain word, without its flag."""


@dataclass(frozen=True)
class Alias:
    """Another spelling of the flag, hidden from the help. `key` points inside the setting: `--name` is `teacher.model`."""

    flag: str
    key: str = ""
    value: str = ""
    """A switch without a word of its own: `--train_lora` sets adapter.name to this."""


Runtime = Annotated[T, RuntimeMark()]
Input = Annotated[Path, Source("data")]
"""A folder or file written by another stage, or the user's own."""
Model = Annotated[str, Source("model")]
"""A model folder, the output folder of `finetune` (its last checkpoint), or a hub id."""


class Settings(BaseModel):
    """Frozen, no unknown keys; the docstring under a field is its help text, and stands nowhere else."""

    # Validators are built at first use: `--help` needs none.
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), defer_build=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """As `use_attribute_docstrings`, which looks for the source of each class anew: three times as slow."""
        told = field_docstrings(getattr(sys.modules.get(cls.__module__), "__file__", None)).get(cls.__qualname__, {})
        for name, text in told.items():
            if (field := cls.__pydantic_fields__.get(name)) is not None and field.description is None:
                field.description = text


class StageConfig(Settings):
    output: Runtime[Path]
    """Folder (or file) to write."""


@dataclass(frozen=True)
class Outcome:
    """What a stage reports about its own work; goes into the manifest. Rows are conserved: rows in = rows out + dropped."""

    counts: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Anything else worth keeping: the funnel, tokens, the template, the engine's identity."""


@dataclass(frozen=True)
class Stage:
    run: Callable[[Any], Outcome]
    """Reads the config's inputs, writes `config.output`. May be killed and started again at any time."""
    config: type[StageConfig]
    version: int = 1
    """Raised whenever the same settings would write something else."""
    sharded: bool = False
    """The config has a `shard` field, and `shards: n` in a pipeline makes n extra jobs."""
    distributed: bool = False
    """One job may be several processes, on several nodes, started by torchrun."""
    words: tuple[str, ...] = ()
    """On the command line these settings may also stand as plain words, in this order, without their flags: the originals' scripts were
    called so. A dot points inside a setting (`teacher.model`)."""
    keeps: tuple[str, ...] = ()
    """Folders in the output that stay valid when the rest is redone, such as a ledger keyed by content."""


@dataclass(frozen=True)
class Plugin:
    """What an engine or objective file declares: its settings (light) and how to build the heavy thing."""

    settings: type[Settings]
    build: Callable[..., Any]
