"""The card of a dataset: README.md with front matter for a hub, from what the manifests say and the rows show."""

import random
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from teacherlm.prompts import KINDS
from teacherlm.records import OUR_COLUMNS
from teacherlm.reporting import cards
from teacherlm.store.files import writing
from teacherlm.store.manifest import Manifest

SHOWN = 10
DATA_FILES = "data-*.arrow"
ASKING = ("teacher", "way", "kinds", "samples", "temperature", "top_p", "top_k", "max_new_tokens", "stop", "seed", "limit")
CHECKING = ("verify", "measure", "best")
MEANING = {
    "text": "the question and its answer, without a rationale",
    "all": "what the teacher read, and what it wrote",
    "id": "id of the question",
    "prompt": "what a student reads",
    "choices": "texts of the choices",
    "answer": "the right answer: a letter where there are choices",
    "answer_rule": "how answers are compared",
    "template": "the words around a question",
    "completion_index": "which attempt at the question",
    "teacher": "the model that wrote the rationale",
    "messages": "the source's conversation",
}
KIND_MEANING = {
    "_tail": "prompt, answer, then the rationale",
    "_head": "prompt, rationale, then the answer",
    "_think": "prompt, the rationale in <think> tags, then the answer",
    "_text": "what a teacher that explains the answer reads",
    "_finish": "how the teacher's text ended",
    "": "the rationale",
}

Row = Mapping[str, Any]


def write_dataset_card(folder: Path, own: Manifest) -> None:
    """`own`: the manifest of the `postprocess` that wrote the rows in the folder, or what is known of it by now."""
    with writing(folder / cards.CARD) as file:
        file.write(dataset_card(folder, own).encode())


def dataset_card(folder: Path, own: Manifest) -> str:
    from datasets import disable_progress_bars, load_from_disk

    disable_progress_bars()
    rows: Any = load_from_disk(str(folder))
    before = cards.history([Path(path) for path in own.inputs])
    prepared = [one for one in before if one.stage == "prepare"]
    kinds = list(own.facts.get("kinds", ())) or [kind for kind in KINDS if kind in rows.column_names]
    title = f"{_title(prepared, own)} with rationales"
    words = {
        "title": title,
        "rows": len(rows),
        "sources": list(dict.fromkeys(str(one.facts.get("dataset", "")) for one in prepared)),
        "kinds": kinds,
        "teachers": _teachers(rows),
        "version": version("teacherlm"),
        "glance": list(_glance(rows, kinds, prepared)),
        "settings": list(_settings([*before, own])),
        "funnel": list(funnel([*before, own])),
        "rejected": sorted(own.facts.get("rejected", {}).items(), key=lambda item: -item[1]),
        "judged": list(_judged(own)),
        "columns": [(name, str(field.type), _meaning(name)) for name, field in _fields(rows)],
        "examples": [_example(row, kinds) for row in _drawn(rows)],
        "commands": list(filter(None, map(cards.command_of, (*before, own)))),
        "repository": cards.REPOSITORY,
    }
    front = _front(title, len(rows), prepared, kinds)
    return cards.card_template("dataset_card.md").render(front=front, **words)


def _front(title: str, rows: int, prepared: Sequence[Manifest], kinds: Sequence[str]) -> str:
    from huggingface_hub import DatasetCardData

    files = [{"config_name": "default", "data_files": [{"split": "train", "path": DATA_FILES}]}]
    return DatasetCardData(
        pretty_name=title,
        **cards.licence_fields(licences(prepared)),
        size_categories=cards.size_category(rows),
        task_categories=["text-generation", "question-answering"],
        tags=["teacherlm", "rationales", "distillation", "synthetic", *kinds],
        configs=files,
    ).to_yaml()


def licences(prepared: Sequence[Manifest]) -> list[str]:
    """As the datasets state them."""
    stated = [one.facts.get("licence") for one in prepared]
    return [word for one in stated for word in (one if isinstance(one, list) else [one]) if word]


def _title(prepared: Sequence[Manifest], own: Manifest) -> str:
    stems = [Path(str(one.facts["jsonl"])).stem for one in prepared if "jsonl" in one.facts]
    return " and ".join(dict.fromkeys(stems or [Path(path).stem for path in own.inputs]))


def _teachers(rows: Any) -> list[tuple[str, int]]:
    """(teacher, its rows), most first."""
    import pyarrow.compute as pc

    if "teacher" not in rows.column_names:
        return [("unknown", len(rows))]
    counted = pc.value_counts(rows.data["teacher"]).to_pylist()
    return sorted(((cards.public(cards.name_of(one["values"] or "unknown")), one["counts"]) for one in counted), key=lambda one: -one[1])


def _glance(rows: Any, kinds: Sequence[str], prepared: Sequence[Manifest]) -> Iterator[tuple[str, str]]:
    import pyarrow.compute as pc

    yield "examples", str(len(rows))
    for teacher, count in _teachers(rows):
        yield f"written by {teacher}", str(count)
    for kind in kinds:
        length = pc.utf8_length(rows.data[kind])
        shortest, longest = pc.min_max(length).as_py().values()
        yield f"characters of {kind}", f"{pc.mean(length).as_py():.0f} on average, {shortest} to {longest}"
    for name in ("template", "answer_rule"):
        if name in rows.column_names:
            yield name.replace("_", " "), ", ".join(str(value) for value in pc.unique(rows.data[name]).to_pylist())
    for one in prepared:
        source = one.config.get("source")
        place = cards.public(cards.name_of(source)) if source else "its own place on the hub"
        yield f"source of {one.facts.get('dataset', '')}", f"{place}, split {one.facts.get('split', '')}"
    yield "licence of the source", ", ".join(dict.fromkeys(licences(prepared))) or "its source states none that is known here"


def _settings(jobs: Sequence[Manifest]) -> Iterator[tuple[str, str, str]]:
    for job in jobs:
        names = {"enhance": ASKING, "postprocess": CHECKING}.get(job.stage, ())
        for name in names:
            value = job.config.get(name)
            if value not in (None, "", [], {}):
                yield job.stage, name.replace("_", " "), cards.said(short(value))


def short(value: Any) -> Any:
    """Settings chosen by name without what they leave empty; a model on this disk by its name."""
    if isinstance(value, Mapping):
        shown = {key: cards.name_of(one) if key == "model" else short(one) for key, one in value.items() if one not in (None, "", [], {})}
        return shown["name"] if list(shown) == ["name"] else shown
    return [short(one) for one in value] if isinstance(value, list) else value


def funnel(jobs: Sequence[Manifest]) -> Iterator[tuple[str, int, int]]:
    """(step, rows it wrote, rows it dropped)."""
    for job in jobs:
        counts = job.counts
        written = counts.get("out", counts.get("rows"))
        if job.stage == "prepare" and job.facts.get("split") in counts:
            yield f"prepare, split {job.facts['split']}", counts[job.facts["split"]], counts.get("dropped", 0)
        elif written is not None:
            yield job.stage, written, counts.get("dropped", 0)


def _judged(own: Manifest) -> Iterator[tuple[str, str]]:
    for gate, verdicts in own.facts.get("funnel", {}).items():
        if isinstance(verdicts, Mapping):
            yield gate, ", ".join(f"{verdict} {count}" for verdict, count in verdicts.items())


def _fields(rows: Any) -> Iterator[tuple[str, Any]]:
    schema = rows.data.schema
    return ((name, schema.field(name)) for name in schema.names)


def _meaning(column: str) -> str:
    kind = next((kind for kind in KINDS if column == kind or column.startswith(f"{kind}_")), None)
    if kind is not None:
        return KIND_MEANING.get(column.removeprefix(kind), "what a gate said of the rationale")
    return MEANING.get(column, "" if column in OUR_COLUMNS else "as in the source")


def _drawn(rows: Any) -> Iterator[Row]:
    numbers = sorted(random.Random(0).sample(range(len(rows)), min(SHOWN, len(rows))))
    return (rows[number] for number in numbers)


def _example(row: Row, kinds: Sequence[str]) -> dict[str, Any]:
    shown = {name: row.get(name, "") for name in ("id", "prompt", "answer")}
    teacher = cards.public(cards.name_of(row.get("teacher") or "unknown"))
    return {**shown, "teacher": teacher, "rationales": [(kind, row[kind]) for kind in kinds]}
