"""Turn rationales into examples: join the specialists, check what they say, lay out what a student reads."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, takewhile
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from pydantic import field_validator

from teacherlm.errors import UserError
from teacherlm.log import Progress, progress, say
from teacherlm.prompts import KINDS, TEXT_COLUMN, head, tail, template
from teacherlm.records import OUR_COLUMNS
from teacherlm.stage import Input, Outcome, Stage, StageConfig
from teacherlm.store.files import read_jsonl
from teacherlm.store.joining import Joined, join
from teacherlm.store.manifest import require_finished
from teacherlm.store.sources import require
from teacherlm.store.staging import staged
from teacherlm.verify import NOT_JUDGED, Gate, Rationale, gate

REJECTED = "rejected.jsonl"
NOT_RATIONALES = (REJECTED, "dropped.jsonl")
TEXTS = ("text", *TEXT_COLUMN.values())

GATE = "gate "
"""Begins the reason of a row that a gate dropped."""

Row = dict[str, Any]


class PostprocessConfig(StageConfig):
    input: list[Input]
    """Outputs of `enhance` (folder or .jsonl), each with other kinds of rationale; joined by id and completion_index."""
    verify: list[str] = ["agreement"]
    """Gates that drop rows: agreement (a rationale that states another answer than the right one), arithmetic (an equation in it
    does not hold)."""
    measure: list[str] = []
    """Gates that only count."""

    @field_validator("verify", "measure")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        return [gate(name).name for name in names]


@dataclass(frozen=True)
class Enhanced:
    """One input: its rows, the kinds it gives."""

    path: Path
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Checks:
    """What is made of every row: its kinds in order, where each comes from, the gates it meets."""

    inputs: Sequence[Enhanced]
    gates: Sequence[Gate]
    dropping: frozenset[str]

    @cached_property
    def kinds(self) -> list[str]:
        return [kind for kind in KINDS if any(kind in given.kinds for given in self.inputs)]

    def columns(self) -> list[str]:
        """Our columns in their order; the source's stand before them. Up to the first tail they are the original's."""
        first, *others = self.kinds
        original = [first, "all", f"{first}_tail"]
        layouts = [*(f"{kind}_tail" for kind in others), *(f"{kind}_head" for kind in self.kinds)]
        ends = [f"{kind}_finish" for kind in self.kinds]
        judged = [f"{kind}_{one.column}" for kind in self.kinds for one in self.gates]
        return [*TEXTS, *original, *others, *layouts, *OUR_COLUMNS, "completion_index", "teacher", *ends, *judged]


@dataclass(frozen=True)
class Checked:
    """A row, why it is not kept ("" when it is), and the gravest verdict of each gate it met."""

    row: Row
    reason: str = ""
    verdicts: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Tally:
    """What became of the rows."""

    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count(self, checked: Checked) -> None:
        self.rows += 1
        self.verdicts.update(checked.verdicts.items())
        if checked.reason:
            self.reasons[checked.reason] += 1

    @property
    def dropped(self) -> int:
        return self.reasons.total()

    def funnel(self, gates: Sequence[Gate]) -> dict[str, Any]:
        """In the order of the checks; `unusable` rows (one input lacks them, an empty rationale) meet no gate."""
        judged = {one.name: self._verdicts(one) for one in gates}
        unusable = {"unusable": sum(n for reason, n in self.reasons.items() if not reason.startswith(GATE))}
        return {"questions in": self.rows, **unusable, **judged, "kept": self.rows - self.dropped}

    def _verdicts(self, one: Gate) -> dict[str, int]:
        counts = {verdict: self.verdicts[one.name, verdict] for verdict in (*one.verdicts, NOT_JUDGED)}
        return {verdict: count for verdict, count in counts.items() if count or verdict != NOT_JUDGED}

    def said(self) -> str:
        return ", ".join(f"{reason}: {count}" for reason, count in self.reasons.most_common()) or "nothing dropped"


def postprocess(config: PostprocessConfig) -> Outcome:
    """Writes the examples as a Dataset into `config.output`, and the rows that were not kept into rejected.jsonl."""
    from teacherlm.store.hf import write_dataset

    gates = [gate(name) for name in dict.fromkeys((*config.verify, *config.measure))]
    checks = Checks(_inputs(config.input), gates, frozenset(config.verify))
    origin = str(checks.inputs[0].path)
    tally = Tally()
    with staged(config.output) as part, progress("postprocess", None, "rows") as bar:
        with (part / REJECTED).open("wb") as rejected:
            examples = _kept(checks, tally, rejected, bar)
            first = next(examples, None)
            if first is None:
                raise UserError(f"{origin}: none of {tally.rows} rows is left ({tally.said()}).")
            write_dataset(part, chain([first], examples), last=checks.columns(), origin=origin)
        if not tally.dropped:
            (part / REJECTED).unlink()
    kept = tally.rows - tally.dropped
    say(f"postprocess: kept {kept} of {tally.rows} rows ({tally.said()}).")
    facts = {"funnel": tally.funnel(gates), "kinds": checks.kinds, "rejected": dict(tally.reasons)}
    return Outcome(counts={"in": tally.rows, "out": kept, "dropped": tally.dropped}, facts=facts)


def _inputs(paths: Sequence[Path]) -> list[Enhanced]:
    """Raises: UserError for an unfinished input, one without rationales, and two that give the same kind."""
    if not paths:
        raise UserError("input: is required: the output of enhance.")
    found: list[Enhanced] = []
    for path in paths:
        require_finished(path)
        file = _rationale_file(path)
        _, row = next(read_jsonl(file))
        kinds = tuple(kind for kind in KINDS if kind in row)
        if not kinds:
            raise UserError(f"{file}:1: there is no rationale (column {', '.join(KINDS)}); `enhance` writes them.")
        for other in found:
            if both := [kind for kind in kinds if kind in other.kinds]:
                raise UserError(f"{file}: gives '{both[0]}', as {other.path} does; joined inputs must give different kinds.")
        found.append(Enhanced(file, kinds))
    return found


def _rationale_file(path: Path) -> Path:
    if path.is_file():
        return path
    files = sorted(p for p in path.glob("*.jsonl") if p.is_file() and p.name not in NOT_RATIONALES)
    if len(files) != 1:
        raise UserError(f"{path}: expected one .jsonl of rationales, found {', '.join(p.name for p in files) or 'none'}.")
    return files[0]


def _kept(checks: Checks, tally: Tally, rejected: BinaryIO, bar: Progress) -> Iterator[Row]:
    """Rows that pass; each other one is written into `rejected` with its reason."""
    for joined in join([given.path for given in checks.inputs]):
        checked = _check(joined, checks)
        tally.count(checked)
        bar.advance()
        if checked.reason:
            rejected.write(orjson.dumps({**checked.row, "reason": checked.reason}, option=orjson.OPT_APPEND_NEWLINE))
        else:
            yield checked.row


def _check(joined: Joined, checks: Checks) -> Checked:
    """One key's rows as an example."""
    rows = [row for row in joined.rows if row is not None]
    if len(rows) < len(joined.rows):
        lacking = next(given for row, given in zip(joined.rows, checks.inputs, strict=True) if row is None)
        return Checked({name: value for row in reversed(rows) for name, value in row.items()}, f"no row in {lacking.path.name}")
    source = _by_kind(joined, checks)
    for kind, (row, _) in source.items():
        if not str(row[kind] or "").strip():
            return Checked(_example(rows[0], joined.places[0], source), f"{kind} is empty")
    return _judged(_example(rows[0], joined.places[0], source), checks)


def _by_kind(joined: Joined, checks: Checks) -> dict[str, tuple[Row, str]]:
    """Kind -> the row that gives it, its place; in the order of KINDS. Raises: UserError when a row lacks its kind."""
    found: dict[str, tuple[Row, str]] = {}
    for kind in checks.kinds:
        for row, place, given in zip(joined.rows, joined.places, checks.inputs, strict=True):
            if kind in given.kinds and row is not None:
                require(row, kind, place)
                found[kind] = (row, place)
                _same_question(row, place, joined)
    return found


def _same_question(row: Row, place: str, joined: Joined) -> None:
    first = joined.rows[0]
    assert first is not None
    if require(row, "prompt", place) != require(first, "prompt", joined.places[0]):
        raise UserError(f"{place}: id {row['id']!r} has another prompt than in {joined.places[0]}; the inputs hold different questions.")


def _example(first: Row, place: str, source: Mapping[str, tuple[Row, str]]) -> Row:
    """Source columns, texts, rationales, `all`, layouts, ours; whatever else the first input has at the end."""
    ours = {name: require(first, name, place) for name in (*TEXTS, *OUR_COLUMNS)}
    answer_text = template(ours["template"]).answer(str(ours["answer"]), lettered=bool(ours["choices"]))
    example = {name: first[name] for name in takewhile(lambda name: name != "text", first)}
    example.update((name, ours[name]) for name in TEXTS)
    rationales = {kind: str(row[kind] or "") for kind, (row, _) in source.items()}
    example.update(rationales)
    teacher_row, teacher_place = next(iter(source.values()))
    example["all"] = require(teacher_row, "all", teacher_place)
    example.update((f"{kind}_tail", tail(ours["prompt"], answer_text, kind, text)) for kind, text in rationales.items())
    example.update((f"{kind}_head", head(ours["prompt"], answer_text, kind, text)) for kind, text in rationales.items())
    example.update((name, ours[name]) for name in OUR_COLUMNS)
    example["completion_index"] = first.get("completion_index", 0)
    example["teacher"] = ", ".join(dict.fromkeys(str(row.get("teacher", "")) for row, _ in source.values()))
    example.update((f"{kind}_finish", str(row.get(f"{kind}_finish", ""))) for kind, (row, _) in source.items())
    return {**example, **{name: value for name, value in first.items() if name not in example}}


def _judged(example: Row, checks: Checks) -> Checked:
    """The example with the verdicts on it; the first gate that drops it gives the reason."""
    reason, gravest_of = "", {}
    for one in checks.gates:
        found = {kind: one.verdict(_rationale(example, kind)) for kind in checks.kinds}
        example.update((f"{kind}_{one.column}", verdict) for kind, verdict in found.items())
        gravest_of[one.name] = one.gravest(found.values())
        bad = [kind for kind, verdict in found.items() if verdict in one.drops]
        if bad and one.name in checks.dropping and not reason:
            reason = f"{GATE}{one.name}: {bad[0]} is {found[bad[0]]}"
    return Checked(example, reason, gravest_of)


def _rationale(example: Row, kind: str) -> Rationale:
    gold, rule, choices = str(example["answer"]), example["answer_rule"], tuple(example["choices"])
    return Rationale(kind, example[kind], gold, rule, choices, example[f"{kind}_finish"])


STAGE = Stage(postprocess, PostprocessConfig, version=1)
