"""Tokenised rows kept for the next start, under a name that holds everything they depend on; the oldest go when they are too many.

An entry is a folder: `about.json` (counts), and the flat arrays of the rows trained on and of those held out. It is written beside and
renamed, so that nobody reads half of it; what does not fit its own sizes is thrown away and written anew.
"""

import dataclasses
import hashlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from teacherlm import prompts
from teacherlm.log import duration, say
from teacherlm.prompts import find_template
from teacherlm.stage import Settings
from teacherlm.store.files import read_json, write_json
from teacherlm.store.fingerprint import cache_folder, content_on_disk, digest, identity, sha256_of
from teacherlm.together import from_main, is_main
from teacherlm.training.encoding import Encoded
from teacherlm.training.families import Causal, Family
from teacherlm.training.flat_rows import map_rows

ABOUT = "about.json"
LARGEST = 20 * 2**30
"""Bytes that all entries may take together."""
LEFT_BEHIND = 86400.0
"""Seconds after which a half-written entry is nobody's."""
LIBRARIES = ("tokenizers", "transformers")
PARTS = ("trained", "held_out")


@dataclasses.dataclass(frozen=True)
class Tokens:
    """All that a training needs to know of its texts."""

    trained: Encoded
    held_out: Encoded
    texts: dict[str, int]
    """How many there were: {"rows": ..., a part of the objective: ...}."""


Make = Callable[[Path | None], Tokens]
"""Tokenises; into a folder (`trained/`, `held_out/`), or in memory."""


def read_or_make(name: str | None, make: Make) -> Tokens:
    """The entry of this name, made if it is not there (among several processes by the first); None: made in memory by each."""
    began = time.monotonic()
    if name is None:
        return make(None)
    is_new = from_main(lambda: _ready(name, make))
    found = read_entry(name)
    if found is None:  # the cache cannot be written, or not by the first process for this one
        return make(None)
    if is_main():
        _tell(found, is_new, time.monotonic() - began)
    return found


def _tell(tokens: Tokens, is_new: bool, seconds: float) -> None:
    rows = len(tokens.trained.rows) + len(tokens.held_out.rows)
    size = tokens.trained.tokens + tokens.held_out.tokens
    how = "tokenised" if is_new else "read from the token cache"
    say(f"{rows} rows of {size} tokens {how} in {f'{seconds:.2f} s' if seconds < 60 else duration(seconds)}.")


def _ready(name: str, make: Make) -> bool:
    """The entry is there, if it can be; whether it had to be made."""
    if read_entry(name) is not None:
        return False
    folder = cache_folder("tokens")
    writing = folder / f".writing-{uuid.uuid4().hex}"
    try:
        writing.mkdir(parents=True)
        write_entry(writing, make(writing))
        shutil.rmtree(folder / name, ignore_errors=True)
        writing.rename(folder / name)
        drop_oldest(folder, LARGEST, spare=name)
    except OSError as error:
        if read_entry(name) is None:  # else another process was faster
            say(f"{folder}: tokens cannot be kept for the next start ({error.strerror or error}).")
    finally:
        shutil.rmtree(writing, ignore_errors=True)
    return True


def write_entry(folder: Path, tokens: Tokens) -> None:
    """What is read back with the rows that `make` left in the folder."""
    about: dict[str, Any] = {"texts": tokens.texts}
    for part in PARTS:
        encoded: Encoded = getattr(tokens, part)
        about[part] = {**encoded.counts(), "rows": len(encoded.rows), "keys": encoded.rows.keys, "numbers": encoded.rows.numbers}
    write_json(folder / ABOUT, about)


def read_entry(name: str) -> Tokens | None:
    """None where it is not there, torn, or not one of ours."""
    folder = cache_folder("tokens") / name
    try:
        about = read_json(folder / ABOUT)
        parts = [_read_part(folder / part, about[part]) for part in PARTS]
        os.utime(folder / ABOUT)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Tokens(parts[0], parts[1], about["texts"])


def _read_part(folder: Path, about: dict[str, Any]) -> Encoded:
    """Raises: ValueError where the files are not those of the counts."""
    rows = map_rows(folder, about["keys"], about["numbers"])
    if len(rows) != about["rows"] or int(rows.costs.sum()) != about["tokens"]:
        raise ValueError(f"{folder}: not the rows it tells of")
    return Encoded(rows, about["truncated"], about["completions_cut"], about["tokens"])


def drop_oldest(folder: Path, largest: int, spare: str) -> None:
    """Entries go, the longest unused first, until the others fit; so does what a killed process left half written."""
    for half in folder.glob(".writing-*"):
        if time.time() - half.stat().st_mtime > LEFT_BEHIND:
            shutil.rmtree(half, ignore_errors=True)
    entries = sorted((_used(path), _size(path), path) for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    whole = sum(size for _, size, _ in entries)
    for _, size, path in entries:
        if whole > largest and path.name != spare:
            shutil.rmtree(path, ignore_errors=True)
            whole -= size


def _used(entry: Path) -> float:
    about = entry / ABOUT
    return about.stat().st_mtime if about.is_file() else 0.0


def _size(entry: Path) -> int:
    return sum(path.stat().st_size for path in entry.rglob("*") if path.is_file())


def entry_name(
    source: Path, objective: Settings, tokenizer: Any, family: Family, templates: Sequence[str], settings: dict[str, Any]
) -> str:
    """Names the rows that these would be tokenised to. `settings`: column, lengths, what carries loss, limits, what is held out."""
    return digest(
        _data_content(source),
        identity(objective, content_on_disk),
        tokenizer_content(tokenizer),
        repr(dataclasses.replace(family, packing=False) if isinstance(family, Causal) else family),
        [(spec, repr(find_template(spec))) for spec in templates],
        settings,
        _code(),
        {name: version(name) for name in LIBRARIES},
    )


def _data_content(path: Path) -> Any:
    """The bytes themselves: an output of a stage whose code or teacher changed has its old fingerprint."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in (".arrow", ".json") and _is_data(p, path))
    return [(str(file.relative_to(path)), sha256_of(file)) for file in files]


def _is_data(file: Path, folder: Path) -> bool:
    """Not what stages write beside the rows, such as manifests with their times."""
    return file.suffix == ".arrow" or file.name in ("state.json", "dataset_info.json", "dataset_dict.json")


def tokenizer_content(tokenizer: Any) -> str:
    """Of all its files: words, special tokens, chat template."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return digest([(str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files])


def _code() -> str:
    """The code that makes rows of texts: a change of it must not read what an older one wrote."""
    return digest([hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(_code_files())])


def _code_files() -> Iterator[Path]:
    package = Path(prompts.__file__).parent
    yield from (package / "prompts.py", package / "engines" / "bodies" / "turns.py")
    yield from (package / "training").rglob("*.py")
    yield from (package / "templates").rglob("*")
