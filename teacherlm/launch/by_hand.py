"""A stage called on the command line; inside an array of Slurm's (`sbatch --array=0-15 slurm/enhance.sh ...`) it does its own shard.

The first job of the first array decides into how many shards the output is cut, and writes that down in the output. So a later
`--array=3,7` means two of the same sixteen. The job that finds all others done writes the rows.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.launch.perform import is_done, job_fingerprint, perform
from teacherlm.log import say
from teacherlm.stage import Stage, StageConfig
from teacherlm.store.files import read_json, shard_place, work_folder, write_json
from teacherlm.store.fingerprint import digest
from teacherlm.together import world_size

ARRAY = "SLURM_ARRAY_TASK_"


@dataclass(frozen=True)
class Element:
    """What Slurm tells a job of an array."""

    index: int
    count: int
    first: int
    last: int

    @property
    def is_whole_range(self) -> bool:
        """Without holes, as a first array is."""
        return self.last - self.first + 1 == self.count


def perform_by_hand(name: str, stage: Stage, config: StageConfig, overwrite: bool = False) -> None:
    """As `perform`; of a stage that can be cut into shards, inside an array, its own shard.

    What is done is done again with `overwrite` where the stage keeps what was costly: nobody can know of all that a task's own code reads.
    Raises: UserError for an array that does not fit the first one.
    """
    element = find_element(os.environ)
    if not stage.sharded or element is None or getattr(config, "shard", None):
        again = overwrite and bool(stage.keeps) and world_size() == 1
        perform(name, stage, config, overwrite=overwrite, again=again)
        return
    whole = job_fingerprint(name, stage, config)
    if is_done(config.output, whole):
        say(f"{name}: {config.output} is already done.")
        return
    first, count = _cut(config.output, whole, element)
    shard = f"{element.index - first}/{count}"
    say(f"{name}: element {element.index} of an array does shard {shard} of {config.output}.")
    perform(name, stage, config.model_copy(update={"shard": shard}), overwrite=overwrite)
    missing = _not_done(config.output, whole, count)
    if missing:
        say(f"{name}: {len(missing)} of {count} shards are not done yet; the last one to end writes the rows.")
        return
    perform(name, stage, config, overwrite=overwrite)


def find_element(environment: Mapping[str, str]) -> Element | None:
    """None outside an array, and in one of a single job."""
    words = [environment.get(f"{ARRAY}{name}", "") for name in ("ID", "COUNT", "MIN", "MAX")]
    return Element(*map(int, words)) if all(word.isdigit() for word in words) else None


def _cut(output: Path, whole: str, element: Element) -> tuple[int, int]:
    """(first index, number of shards) of the output. Raises: UserError when the array does not fit."""
    path = work_folder(output) / "shards" / f"array-{whole}.json"
    if not path.exists():
        if not element.is_whole_range:
            shown = f"{element.count} jobs from {element.first} to {element.last}"
            raise UserError(f"{output}: the first array cuts it into shards and must have no holes, such as --array=0-15; found {shown}.")
        _write_once(path, {"first": element.first, "count": element.count})
    found = read_json(path)
    first, count = int(found["first"]), int(found["count"])
    written, given = f"--array={first}-{first + count - 1}", f"--array={element.first}-{element.last}"
    outside = element.first < first or element.last >= first + count
    others = set(range(count)) - set(range(element.first - first, element.last - first + 1))
    another = element.is_whole_range and element.count not in (1, count) and others & set(_not_done(output, whole, count))
    if outside or another:
        how = "repeat single ones as in --array=3,7"
        raise UserError(f"{output}: was cut into {count} shards by {written}, and {given} is another cut; {how}.")
    return first, count


def _write_once(path: Path, value: Any) -> None:
    """Of several processes the first wins."""
    beside = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}")
    write_json(beside, value)
    try:
        os.link(beside, path)
    except FileExistsError:
        pass
    finally:
        beside.unlink()


def _not_done(output: Path, whole: str, count: int) -> list[int]:
    shards = [f"{index}/{count}" for index in range(count)]
    return [index for index, shard in enumerate(shards) if not is_done(shard_place(output, shard), digest(whole, shard))]
