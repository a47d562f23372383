"""An output of several files appears at once: written in a hidden folder inside it, moved into place when all of it is there."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PART = ".part"


@contextmanager
def staged(output: Path) -> Iterator[Path]:
    """A folder to write into; its entries replace those of the same name in `output` when the block ends without an error.

    An error leaves `output` as it was; what a killed attempt left behind is removed first.
    """
    existed = output.exists()
    part = output / PART
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        for path in sorted(part.iterdir()):
            _replace(output / path.name, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if not existed:
            with suppress(OSError):  # only an empty folder goes
                output.rmdir()


def _replace(target: Path, source: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    source.replace(target)
