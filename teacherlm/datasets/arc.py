"""ARC: science questions of school exams, easy and challenging. (CC BY-SA 4.0; Clark et al. 2018)

    {"id": "Mercury_SC_415702", "answerKey": "A",
     "question": {"stem": "George wants to warm his hands quickly by rubbing them. Which skin surface will produce the most heat?",
                  "choices": [{"text": "dry palms", "label": "A"}, {"text": "wet palms", "label": "B"},
                              {"text": "palms covered with oil", "label": "C"}, {"text": "palms covered with lotion", "label": "D"}]}}

Published as ARC-Challenge/ARC-Challenge-{Train,Dev,Test}.jsonl, and the same for ARC-Easy. The hub has them flat, as two configurations:
`question` is the stem, `choices` {"text": [...], "label": [...]}. Labels are A to E or 1 to 4, three to five of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import BadRow, Dataset, Splits, read_questions
from teacherlm.datasets._choices import listed, require_gold, stem_and_choices
from teacherlm.datasets._options import as_letter
from teacherlm.datasets._splits import is_plain_hub_name, labelled, with_config
from teacherlm.datasets._texts import as_text
from teacherlm.prompts import LETTERS
from teacherlm.records import Question
from teacherlm.store.sources import Origin, Table

SUBSETS = {"challenge": ("ARC-Challenge",), "easy": ("ARC-Easy",), "both": ("ARC-Challenge", "ARC-Easy")}
PARTS = {"Train": "train", "Dev": "validation", "Test": "test"}


class ArcSettings(ChosenSettings):
    name: Literal["arc"] = "arc"
    subset: Literal["challenge", "easy", "both"] = "both"
    """The 2,590 questions that simple methods failed on, the 5,197 others, or all."""


def read(settings: ArcSettings, origin: Origin | None, seed: int) -> Splits:
    assert origin is not None
    splits: dict[str, list[Iterable[Question | BadRow]]] = {}
    for tables in _sources(settings, origin):
        for split, table in labelled(tables, "answerKey").items():
            splits.setdefault(split, []).append(read_questions(table, _question))
    return {split: chain.from_iterable(parts) for split, parts in splits.items()}


def _sources(settings: ArcSettings, origin: Origin) -> list[Mapping[str, Table]]:
    """The tables of each subset that is wanted: of the hub, of a folder for each, or of one folder or file."""
    subsets = SUBSETS[settings.subset]
    folder = Path(origin.place)
    if is_plain_hub_name(origin.place):
        return [with_config(origin, subset).tables() for subset in subsets]
    if apart := [subset for subset in subsets if (folder / subset).is_dir()]:
        return [replace(origin, place=str(folder / subset)).tables(_files(subset)) for subset in apart]
    if folder.is_file():
        return [origin.tables(_files(*SUBSETS["both"]))]
    together = [subset for subset in subsets if any(folder.glob(f"{subset}-*.jsonl*"))]
    return [origin.tables(_files(subset)) for subset in together] or [origin.tables(_files(*subsets))]


def _files(*subsets: str) -> dict[str, str]:
    return {f"{subset}-{part}.jsonl": split for subset in subsets for part, split in PARTS.items()}


def _question(row: dict[str, Any], where: str) -> Question:
    stem, options = stem_and_choices(row, where)
    letter = as_letter(require_gold(row, "answerKey", where), options, "letter", True, where)
    return Question(
        question=stem,
        answer=letter,
        choices=options.texts,
        answer_rule="letter",
        source_id=as_text(row.get("id")),
        raw=row,
        where=where,
        blocks=(("QUESTION", stem), ("CANDIDATE ANSWERS", listed(options.labels, options.texts))),
        response=(("ANSWER", options.texts[LETTERS.index(letter)]),),
    )


DATASET = Dataset(ArcSettings, read, title="ARC", hub="allenai/ai2_arc", licence="cc-by-sa-4.0")
