"""The cards of the students that a report has read: beside the page, so that no finished output is touched."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from teacherlm.reporting.model_card import label_of, model_card
from teacherlm.reporting.scores import CARDS, Score
from teacherlm.store.checkpoints import find_checkpoints
from teacherlm.store.files import read_json, write_json, writing
from teacherlm.store.manifest import read_manifest

SCORES = "scores.json"
"""Fingerprint of a student's training -> what it scored: `push` puts it into the card that it uploads."""


def write_cards(folder: Path, scores: Mapping[Path, Sequence[Score]]) -> None:
    """`<label>.md` for each student whose training is at hand, and the scores of all."""
    known: dict[str, list[dict[str, object]]] = {}
    taken: Counter[str] = Counter()
    for run, found in scores.items():
        own = read_manifest(run)
        checkpoints = find_checkpoints(run)
        if own is None or not (checkpoints or own.facts.get("model")):
            continue
        known[own.fingerprint] = [asdict(score) for score in found]
        label = re.sub(r"[^\w.-]+", "-", label_of(run, own)).strip("-.") or "student"
        taken[label] += 1
        name = label if taken[label] == 1 else f"{label}-{taken[label]}"
        with writing(folder / f"{name}.md") as file:
            file.write(model_card(checkpoints[-1] if checkpoints else None, own, label_of(run, own), "", found).encode())
    if known:
        write_json(folder / SCORES, known)


def newest_scores(reports: Iterable[Path]) -> dict[str, list[Score]]:
    """Fingerprint of a training -> its scores, by the latest of these reports that knows it."""
    found: dict[str, list[Score]] = {}
    for folder in sorted(reports, key=lambda folder: manifest.ended if (manifest := read_manifest(folder)) else ""):
        path = folder / CARDS / SCORES
        if path.is_file():
            found |= {mark: [Score(**score) for score in scores] for mark, scores in read_json(path).items()}
    return found
