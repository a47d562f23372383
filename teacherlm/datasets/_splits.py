"""Which splits of a source hold questions: some are published without answers, and a hub name may have several configurations."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.store.fingerprint import is_hub_id
from teacherlm.store.sources import Origin, Table


def labelled(tables: Mapping[str, Table], column: str) -> dict[str, Table]:
    """The splits whose first row has an answer in this column.

    A source that is nothing but a split without answers stays as it is: reading it says what is wrong.
    """
    found = {split: table for split, table in tables.items() if _has_answers(table, column)}
    if not found:
        return dict(tables)
    for split in tables:
        if split not in found:
            say(f"{tables[split].place}: is left out, it is published without answers ('{column}').")
    return found


def with_config(origin: Origin, config: str) -> Origin:
    """A plain hub name gets this configuration, and so does a download of its repository, which has a folder for each.

    Other files and folders, and names that say themselves which they mean, stay as they are.
    """
    if (Path(origin.place) / config).is_dir():
        return replace(origin, place=str(Path(origin.place) / config))
    return replace(origin, place=f"{origin.place}:{config}") if is_plain_hub_name(origin.place) else origin


def is_plain_hub_name(place: str) -> bool:
    return is_hub_id(place) and ":" not in place and not Path(place).exists()


def _has_answers(table: Table, column: str) -> bool:
    """What cannot be read is left to whoever reads it in earnest."""
    try:
        _, row = next(iter(table.rows_or_errors()), ("", None))
    except UserError:
        return True
    return not isinstance(row, dict) or str(row.get(column) if row.get(column) is not None else "").strip() != ""
