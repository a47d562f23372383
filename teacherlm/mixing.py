"""How much of each source goes into a mix: the grammar of sizes, and which rows are drawn."""

import random
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from teacherlm.errors import UserError

SIZE = re.compile(r"(?P<percent>\d+(\.\d+)?)\s*%|(?P<rows>\d+)")


def parse_size(word: str, count: int) -> int:
    """Rows that `all`, `12.5%` or `1000` are of a source of `count` rows; a share is rounded down, as the original did.

    Raises: UserError for another word, and for more than 100%.
    """
    if word == "all":
        return count
    found = SIZE.fullmatch(word.strip())
    if found is None:
        raise UserError(f"size '{word}': expected all, a share such as 10%, or a number of rows.")
    if found["rows"]:
        return int(found["rows"])
    share = Fraction(found["percent"])
    if share > 100:
        raise UserError(f"size '{word}': is more than 100%; say how often the rows are read with epochs.")
    return int(count * share / 100)


def parse_list(word: str) -> list[str]:
    """`[arc, mmlu]` or `arc,mmlu` -> ["arc", "mmlu"], as the original's options were spelled."""
    return [part.strip().strip("'\"") for part in word.strip().removeprefix("[").removesuffix("]").split(",") if part.strip()]


def by_weight(weights: Mapping[str, float], rows: int) -> dict[str, int]:
    """Rows of each source so that they are shared out by weight: `rows` in all, the largest remainders get the last ones."""
    total = sum(weights.values())
    exact = {name: rows * weight / total for name, weight in weights.items()}
    counts = {name: int(share) for name, share in exact.items()}
    left = sorted(exact, key=lambda name: counts[name] - exact[name])[: rows - sum(counts.values())]
    return {name: count + (name in left) for name, count in counts.items()}


def draw(count: int, wanted: int, epochs: float, seed: str) -> list[int]:
    """How often each of `count` rows stands in the mix: `wanted` rows drawn without replacement (beyond `count`: every row as often as
    the others, but for one), and these `epochs` times; of half an epoch a half is drawn.
    """
    dice = random.Random(seed)
    order = list(range(count))
    dice.shuffle(order)
    times = [0] * count
    chosen = [order[i % count] for i in range(wanted)] if count else []
    whole, part = int(epochs), epochs - int(epochs)
    for i in chosen:
        times[i] += whole
    for i in chosen[: round(part * len(chosen))]:
        times[i] += 1
    return times


def as_dataset(mix: Mapping[str, Any], upsample: bool) -> dict[str, Any]:
    """The settings of the dataset `mix`, of {source: size or settings}, or of the original's two lists.

    Raises: UserError when those differ in length, or name a source twice.
    """
    lists = [mix.get(name) for name in ("instruction_datasets", "dataset_sizes")]
    if all(isinstance(one, (str, list)) for one in lists) and len(mix) == len(lists):
        names, sizes = (parse_list(one) if isinstance(one, str) else list(map(str, one or ())) for one in lists)
        mix = _paired(names, sizes)
    return {"name": "mix", "parts": dict(mix), "upsample": upsample}


def _paired(names: Sequence[str], sizes: Sequence[str]) -> dict[str, str]:
    if len(names) != len(sizes):
        raise UserError(f"instruction_datasets names {len(names)} sources, dataset_sizes gives {len(sizes)} sizes; give one for each.")
    if len(set(names)) < len(names):
        raise UserError(f"instruction_datasets: '{next(name for name in names if names.count(name) > 1)}' is there twice.")
    return dict(zip(names, sizes, strict=True))
