"""Which evaluations a report is over: outputs of `evaluate`, or whole runs, whose evaluations are found."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from teacherlm.log import say
from teacherlm.store.manifest import JOB, MANIFEST, begun_fingerprint, read_manifest

STAGE = "evaluate"


def evaluations_of(folder: Path) -> list[Path]:
    """The folder itself where it is an output (or nothing yet); else the finished evaluations somewhere below it, as they were made."""
    if (folder / MANIFEST).is_file() or (folder / JOB).is_file() or not folder.is_dir():
        return [folder]
    return [path for _, path in sorted(_evaluations_below(folder))] or [folder]


def _evaluations_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """When each began, and where. Hidden folders hold what was put aside."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if MANIFEST in files or JOB in files:
            folders[:] = []
            manifest = read_manifest(Path(place))
            if manifest is not None and manifest.stage == STAGE:
                yield manifest.started, Path(place)
            elif manifest is None and "results.jsonl" in files and begun_fingerprint(Path(place)):
                say(f"report: {place} is not finished and left out; run its stage again, it continues where it stopped.")


def run_of(evaluation: Path) -> Path:
    """The folder of the run that made it: above the step's folder, and above that of the job where a matrix made several."""
    manifest = read_manifest(evaluation)
    inside = 2 if manifest is not None and manifest.entry else 1
    return evaluation.absolute().parents[inside - 1]


def name_runs(runs: Sequence[Path]) -> dict[Path, str]:
    """As short as tells them apart: the folder's name, or with folders above it."""
    distinct = list(dict.fromkeys(runs))
    for depth in range(1, max((len(run.parts) for run in distinct), default=0) + 1):
        names = {run: "/".join(run.parts[-depth:]) for run in distinct}
        if len(set(names.values())) == len(names):
            return names
    return {run: str(run) for run in distinct}


def all_evaluations(folders: Iterable[Path]) -> list[Path]:
    return list(dict.fromkeys(found for folder in folders for found in evaluations_of(folder)))
