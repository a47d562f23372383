"""The finished outputs among which a question is followed: those in a run's folder, and all that they were made from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from teacherlm.errors import UserError
from teacherlm.store.manifest import MANIFEST, Manifest, lineage

NOT_OUTPUTS = (".stale", "measured", "shards")
"""Folders inside a run that hold what was replaced, or parts of outputs."""
WORK = ".work"
CHAIN = ("prepare", "enhance", "postprocess", "finetune", "evaluate", "report")


@dataclass(frozen=True)
class Output:
    path: Path
    manifest: Manifest

    @property
    def label(self) -> str:
        """`students/cot_head-0`: the job of a matrix with its step."""
        return f"{self.path.parent.name}/{self.path.name}" if self.manifest.entry else self.path.name


def find_outputs(places: Sequence[Path]) -> list[Output]:
    """Each once, in the order in which they were made.

    Raises: UserError for a place that is not there, or in which nothing was finished.
    """
    found: dict[Path, Output] = {}
    for place in places:
        if not place.exists():
            raise UserError(f"{place}: no such file or folder.")
        finished = [Output(path, manifest) for here in _inside(place) for path, manifest in lineage(here)]
        if not finished:
            raise UserError(f"{place}: no finished output here; name the folder of a run, or the output of a stage.")
        for output in finished:
            found.setdefault(output.path.resolve(), output)
    return sorted(found.values(), key=_when)


def _when(output: Output) -> tuple[str, int, str]:
    """Stages of one second stand as they follow each other."""
    stage = output.manifest.stage
    return output.manifest.started, CHAIN.index(stage) if stage in CHAIN else len(CHAIN), str(output.path)


def _inside(place: Path) -> Iterator[Path]:
    """The place itself, and outputs in it."""
    yield place
    if place.is_dir():
        for file in sorted(place.rglob(MANIFEST)):
            folder = file.parent
            if not set(folder.relative_to(place).parts) & set(NOT_OUTPUTS):
                yield folder.with_name(folder.name.removesuffix(WORK)) if folder.name.endswith(WORK) else folder
