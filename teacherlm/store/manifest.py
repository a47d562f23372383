"""`manifest.json`: written last, so its presence means the output is complete; and `job.json`: what was started there."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.store.files import read_json, work_folder, write_json

MANIFEST = "manifest.json"
JOB = "job.json"


@dataclass(frozen=True)
class Manifest:
    """Everything worth knowing about one finished job. No secret and no environment variable ever enters it."""

    stage: str
    version: int
    fingerprint: str
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    """Path as the config spells it -> fingerprint of what lay there."""
    entry: Mapping[str, str] = field(default_factory=dict)
    """Matrix labels of the job, such as {"student": "1b3", "train_on": "cot_tail"}."""
    counts: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    started: str = ""
    ended: str = ""
    seconds: float = 0.0
    host: str = ""
    slurm: Mapping[str, Any] = field(default_factory=dict)
    """Under Slurm: {job, element, restarts, nodes} of the attempt that finished it."""
    versions: Mapping[str, str] = field(default_factory=dict)
    git_commit: str = ""
    command: str = ""


def read_manifest(output: Path) -> Manifest | None:
    """The manifest of an output (folder or .jsonl), or None where there is none.

    Raises: UserError when the file is there but is not a manifest.
    """
    path = work_folder(output) / MANIFEST
    if not path.is_file():
        return None
    try:
        return Manifest(**read_json(path))
    except TypeError as error:
        raise UserError(f"{path}: not a manifest of this tool ({error}).") from None


def write_manifest(output: Path, manifest: Manifest) -> None:
    write_json(work_folder(output) / MANIFEST, asdict(manifest))


def begun_fingerprint(output: Path) -> str | None:
    """Fingerprint of the job that last started to write here; None when no job of ours did."""
    path = work_folder(output) / JOB
    return str(read_json(path)["fingerprint"]) if path.is_file() else None


def require_finished(path: Path) -> None:
    """Raises: UserError when `path` is missing, or is an output whose job has begun and not ended."""
    if not path.exists():
        raise UserError(f"{path}: no such file or folder.")
    if begun_fingerprint(path) is not None and read_manifest(path) is None:
        raise UserError(f"{path}: this output is not finished; run its stage again, it continues where it stopped.")


def lineage(path: Path) -> list[tuple[Path, Manifest]]:
    """The manifests behind an output, nearest first: its own, its inputs', theirs. External inputs have none.

    An input that lies in an output, as a checkpoint or the file of a split does, is that output's.
    """
    found: list[tuple[Path, Manifest]] = []
    waiting, seen = [path], set()
    while waiting:
        here = _output_of(waiting.pop(0))
        if here in seen:
            continue
        seen.add(here)
        manifest = read_manifest(here)
        if manifest is not None:
            found.append((here, manifest))
            waiting += [Path(name) for name in manifest.inputs]
    return found


def _output_of(path: Path) -> Path:
    if read_manifest(path) is not None:
        return path
    with suppress(UserError):  # a manifest.json of somebody else's
        return path.parent if read_manifest(path.parent) is not None else path
    return path
