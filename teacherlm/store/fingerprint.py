"""What decides an output, as a short hash: stage and version, settings that are not default, content of what is read.

Never paths, batch sizes, git or library versions: moving a run, cutting it up differently or upgrading redoes nothing.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from pydantic.fields import FieldInfo

from teacherlm.catalog import PLUGIN_MODULES
from teacherlm.errors import UserError
from teacherlm.stage import RuntimeMark, Settings, Source, Stage, StageConfig
from teacherlm.store.adapters import BASE, CONFIG, find_adapter
from teacherlm.store.files import read_json, write_json
from teacherlm.store.manifest import begun_fingerprint, read_manifest, require_finished

FILES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".gz", ".yaml")
"""Endings that no name on a hub has."""
WEIGHTS = (".safetensors", ".bin")
"""Endings of a model's weights."""


BEHIND_API = ("openai:", "ft:")
"""How a model begins that is known by name to a server: `openai:MODEL`, and what OpenAI calls its finetuned models."""


class Content(Protocol):
    """Names the content behind a path or hub id."""

    def __call__(self, source: str, kind: Literal["data", "model"]) -> str: ...


def fingerprint(name: str, stage: Stage, config: StageConfig, content: Content) -> str:
    """16 hex digits: equal for two jobs that would write the same."""
    return digest(name, stage.version, identity(config, content))


def digest(*parts: Any) -> str:
    return hashlib.blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def identity(config: Settings, content: Content) -> dict[str, Any]:
    """Settings that decide the output. Defaults are left out, so that a new option redoes nothing.

    Settings of a plugin bring the content of its file: unlike the package's stages it has no version to raise.
    """
    plugin = _find_plugin_file(type(config))
    found: dict[str, Any] = {"plugin code": sha256_of(plugin)} if plugin else {}
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if any(isinstance(mark, RuntimeMark) for mark in field.metadata):
            continue
        if name != "name" and not field.is_required() and value == field.get_default(call_default_factory=True):
            continue
        found[name] = _described(value, source_of(field), content)
    return found


def _find_plugin_file(settings: type[Settings]) -> Path | None:
    """The file of a plugin folder that declares these settings; None for the package's own."""
    if not settings.__module__.startswith(PLUGIN_MODULES):
        return None
    return Path(str(sys.modules[settings.__module__].__file__))


def source_of(field: FieldInfo) -> Source | None:
    """The mark of a field whose content counts, wherever it sits in the annotation (`list[Input]`, `Model | None`)."""
    return next((mark for mark in (*field.metadata, *_marks(field.annotation)) if isinstance(mark, Source)), None)


def sources(config: Settings) -> Iterator[tuple[str, Source]]:
    """Every path or hub id that the config reads, nested settings included."""
    for name, field in type(config).model_fields.items():
        mark = source_of(field)
        for value in _leaves(getattr(config, name)):
            if isinstance(value, Settings):
                yield from sources(value)
            elif mark is not None and isinstance(value, (str, Path)) and value not in mark.words:
                yield str(value), mark


def _marks(annotation: Any) -> Iterator[Any]:
    yield from getattr(annotation, "__metadata__", ())
    for part in get_args(annotation):
        yield from _marks(part)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _leaves(inner)
    elif value is not None:
        yield value


def _described(value: Any, source: Source | None, content: Content) -> Any:
    if isinstance(value, Settings):
        return identity(value, content)
    if isinstance(value, Mapping):
        return {str(k): _described(v, source, content) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_described(v, source, content) for v in value]
    if source is not None and isinstance(value, (str, Path)) and value not in source.words:
        return content(str(value), source.kind)
    return value


def content_on_disk(source: str, kind: Literal["data", "model"]) -> str:
    """The fingerprint of an output of ours (for what lies inside one: with its place), else a hash of the file or folder, else the hub id.

    A folder of data is hashed by its files' bytes, a model folder by names, sizes and times of its files.
    Raises: UserError for an output that is not finished, and for what is neither on disk nor a possible hub id.
    """
    path = Path(source)
    if source.startswith(BEHIND_API):
        return source
    if not path.exists():
        if is_hub_id(source):
            return f"hub:{source}"
        raise UserError(f"{source}: no such file or folder.")
    require_finished(path)
    manifest = read_manifest(path)
    if manifest is not None:
        return manifest.fingerprint
    for folder in path.absolute().parents:
        if begun_fingerprint(folder) is not None and (around := read_manifest(folder)) is not None:
            return digest(around.fingerprint, str(path.absolute().relative_to(folder)))
    if path.is_file():
        return sha256_of(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    if kind == "model":
        if find_adapter(source):
            return weights_content(source)
        return digest([(str(p.relative_to(path)), p.stat().st_size, p.stat().st_mtime_ns) for p in files])
    return digest([(str(p.relative_to(path)), sha256_of(p)) for p in files])


def content_to_come(source: str, kind: Literal["data", "model"]) -> str:
    """As `content_on_disk`; of a model that is still being trained what it will be: a fingerprint says what is asked for."""
    begun = begun_fingerprint(Path(source)) if kind == "model" else None
    return begun or content_on_disk(source, kind)


def weights_content(model: str) -> str:
    """Names the bytes of a model folder's config and weights, and of what an adapter lies over; of a hub model its id."""
    folder = Path(model)
    if not folder.exists():
        return f"hub:{model}"
    files = [path for path in sorted(folder.iterdir()) if path.suffix in WEIGHTS or path.name == "config.json"]
    content = [(path.name, sha256_of(path)) for path in files]
    if adapter := find_adapter(model):
        config = {key: value for key, value in adapter.config.items() if key != BASE}
        content += [(CONFIG, digest(config)), (BASE, f"{weights_content(adapter.base)}@{adapter.revision}")]
    return digest(content)


def is_hub_id(source: str) -> bool:
    """`name` or `owner/name`, as a model or dataset hub spells it, perhaps with `:config`, and nothing that looks like a file."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(:[\w.-]+)?", source) is not None and Path(source).suffix not in FILES


def sha256_of(path: Path) -> str:
    """The file's sha256, remembered per user and computed anew only when its size or time of change differs."""
    stat = path.stat()
    memory = cache_folder("sha256") / f"{hashlib.blake2b(str(path.resolve()).encode(), digest_size=16).hexdigest()}.json"
    if memory.is_file():
        known = read_json(memory)
        if (known["size"], known["mtime_ns"]) == (stat.st_size, stat.st_mtime_ns):
            return str(known["sha256"])
    with path.open("rb") as file:
        found = hashlib.sha256()
        while block := file.read(1 << 20):
            found.update(block)
    write_json(memory, {"path": str(path.resolve()), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": found.hexdigest()})
    return found.hexdigest()


def cache_folder(what: str) -> Path:
    """Where this user keeps what can be found out again: $TEACHERLM_CACHE, else ~/.cache/teacherlm."""
    chosen = os.environ.get("TEACHERLM_CACHE")
    return (Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "teacherlm") / what
