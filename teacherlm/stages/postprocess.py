"""Turn rationales into examples: join the specialists, stack the teachers, check what they say, lay out what a student reads."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import orjson
from pydantic import BeforeValidator, Field, field_validator

from teacherlm import interrupt
from teacherlm.catalog import ChosenSettings, GateChoice, chosen, find
from teacherlm.errors import Stopped, UserError
from teacherlm.inquiry import Inquiry
from teacherlm.layout import Enhanced, Layout, grouped
from teacherlm.log import Progress, progress, say
from teacherlm.prompts import KINDS
from teacherlm.records import Load
from teacherlm.screening import BEST, Screen, Screened, Tally
from teacherlm.stage import Input, Outcome, Settings, Stage, StageConfig
from teacherlm.store.files import REJECTED, only_jsonl, read_jsonl, work_folder
from teacherlm.store.ledger import Ledger
from teacherlm.store.manifest import Manifest, require_finished
from teacherlm.store.scratch import Counts, scratch_database
from teacherlm.store.staging import staged
from teacherlm.verify import AskingGate, Gate, build_gate

LEDGER = "ledger"
EXPORTS = "exports"

Row = dict[str, Any]


def _agreement() -> list[ChosenSettings]:
    return [chosen("gates")("agreement")]


class ExportSettings(Settings):
    format: Literal["trl", "messages", "alpaca", "llama_factory", "axolotl", "openai", "parquet"]
    train_on: str = "cot_tail"
    """The column that is to be learned; parquet has them all."""


def _export(value: Any) -> Any:
    return {"format": value.replace("-", "_")} if isinstance(value, str) else value


class PostprocessConfig(StageConfig):
    input: list[Input]
    """Outputs of `enhance` (folder or .jsonl). Different kinds are joined side by side, by id and completion_index; the same kinds by
    several teachers are stacked, and each row says who wrote it."""
    verify: list[GateChoice] = Field(default_factory=_agreement)
    """Gates that drop rows (`teacherlm list gates`), by name or with settings: agreement, {name: length, min_words: 10}."""
    measure: list[GateChoice] = []
    """Gates that only count."""
    best: Annotated[int | None, Field(ge=1)] = None
    """Most rationales to keep of a question; the first ones that pass."""
    exports: list[Annotated[ExportSettings, BeforeValidator(_export)]] = []
    """Files for other trainers, written into `exports/`: trl, {format: openai, train_on: cot_head}. What is there already is
    exported without redoing anything by `teacherlm export`."""

    @field_validator("measure")
    @classmethod
    def _once(cls, gates: list[ChosenSettings], info: Any) -> list[ChosenSettings]:
        """A gate's verdicts have one column. Raises: UserError for a name that comes twice with different settings."""
        given: dict[str, ChosenSettings] = {}
        for one in (*info.data.get("verify", ()), *gates):
            if given.setdefault(one.name, one) != one:
                raise UserError(f"gate '{one.name}' is there twice, with different settings.")
        return gates

    @property
    def gates(self) -> list[ChosenSettings]:
        return list({one.name: one for one in (*self.verify, *self.measure)}.values())


def postprocess(config: PostprocessConfig) -> Outcome:
    """Writes the examples as a Dataset into `config.output`, and the rows that were not kept into rejected.jsonl."""
    layout = Layout(grouped(_inputs(config.input)))
    tally = Tally()
    with ExitStack() as opened:
        gates = [build_gate(settings) for settings in config.gates]
        screen = Screen(layout.kinds, gates, frozenset(one.name for one in config.verify))
        opened.enter_context(closing(screen))
        if screen.asking:
            ledger = opened.enter_context(Ledger(work_folder(config.output) / LEDGER))
            screen.inquiries = {gate.name: _inquiry(gate, ledger) for gate in screen.asking}
            _ask(screen, layout)
        with staged(config.output) as part:
            _write(part, config, layout, screen, tally)
            outcome = _outcome(tally, layout, gates)
            _write_exports(part, config)
            _write_card(part, config, outcome)
    for line in screen.failures.said():
        say(f"postprocess: warning: {line}")
    say(f"postprocess: kept {outcome.counts['out']} of {tally.rows} rows ({tally.said()}).")
    return outcome


def _outcome(tally: Tally, layout: Layout, gates: Sequence[Gate]) -> Outcome:
    facts = {"funnel": tally.funnel(gates), "kinds": layout.kinds, "rejected": dict(tally.reasons)}
    return Outcome(counts={"in": tally.rows, "out": tally.rows - tally.dropped, "dropped": tally.dropped}, facts=facts)


def _inquiry(gate: AskingGate, ledger: Ledger) -> Inquiry:
    return Inquiry(find("engines", gate.engine.name).build(gate.engine, 0, Load()), ledger)


def _ask(screen: Screen, layout: Layout) -> None:
    """Raises: Stopped when a signal came; what was answered by then is in the ledger."""
    with interrupt.interruptible(), progress("postprocess: asking", None, "answers") as bar:
        screen.ask_all(layout.rows, lambda completion: bar.advance())
        if reason := interrupt.wanted():
            raise Stopped(f"postprocess was ended by {reason}; the same command goes on from there.", interrupt.exit_code(reason))


def _write(part: Path, config: PostprocessConfig, layout: Layout, screen: Screen, tally: Tally) -> None:
    from teacherlm.store.hf import write_dataset

    origin = str(layout.groups[0][0].path)
    with progress("postprocess", None, "rows") as bar:
        with (part / REJECTED).open("wb") as rejected, scratch_database() as database:
            limited = _limit(Counts(database, "kept"), config.best)
            examples = _kept(layout, screen, limited, tally, rejected, bar)
            first = next(examples, None)
            if first is None:
                raise UserError(f"{origin}: none of {tally.rows} rows is left ({tally.said()}).")
            _check_exports(config, first)
            columns = layout.columns([gate.column for gate in screen.gates], _others(first))
            write_dataset(part, chain([first], examples), last=columns, origin=origin)
        if not tally.dropped:
            (part / REJECTED).unlink()


def _check_exports(config: PostprocessConfig, example: Row) -> None:
    """Raises: UserError for a column that no example has, before the examples are written."""
    texts = [name for name, value in example.items() if isinstance(value, str) and value.startswith(example["prompt"]) and name != "prompt"]
    for number, export in enumerate(config.exports):
        if export.format != "parquet" and export.train_on not in example:
            raise UserError(f"exports.{number}.train_on: there is no column '{export.train_on}'; there are: {', '.join(texts)}.")


def _write_exports(part: Path, config: PostprocessConfig) -> None:
    from teacherlm.exports.training_files import write_parquet, write_training_file

    for export in config.exports:
        folder = part / EXPORTS / export.format
        if export.format == "parquet":
            write_parquet(part, folder)
        else:
            write_training_file(export.format, part, folder, export.train_on, f"{config.output.name}_{export.train_on}")


def _write_card(part: Path, config: PostprocessConfig, outcome: Outcome) -> None:
    """The manifest, which says the same and more, is written when everything else lies in its place."""
    from teacherlm.reporting.dataset_card import write_dataset_card

    inputs = {str(path): "" for path in config.input}
    own = Manifest("postprocess", STAGE.version, "", config.model_dump(mode="json"), inputs, counts=outcome.counts, facts=outcome.facts)
    write_dataset_card(part, own)


def _others(example: Row) -> list[str]:
    """Columns that earlier stages wrote behind the texts."""
    names = list(example)
    return names[names.index("text") :]


def _limit(counts: Counts, best: int | None) -> Callable[[Screened], Screened]:
    """Of each question, the first rows that pass stay."""

    def limited(screened: Screened) -> Screened:
        if best is None or screened.reason or counts.next(str(screened.row["id"])) < best:
            return screened
        return Screened(screened.row, f"{BEST}{best} of its question", screened.verdicts)

    return limited


def _kept(
    layout: Layout,
    screen: Screen,
    limited: Callable[[Screened], Screened],
    tally: Tally,
    rejected: BinaryIO,
    bar: Progress,
) -> Iterator[Row]:
    """Rows that pass; each other one is written into `rejected` with its reason."""
    screen.begin()
    for laid in layout.rows():
        screened = limited(screen.screen(laid))
        tally.count(screened)
        bar.advance()
        if screened.reason:
            rejected.write(orjson.dumps({**screened.row, "reason": screened.reason}, option=orjson.OPT_APPEND_NEWLINE))
        else:
            yield screened.row


def _inputs(paths: Sequence[Path]) -> list[Enhanced]:
    """Raises: UserError for an unfinished input, and for one without rationales."""
    if not paths:
        raise UserError("input: is required: the output of enhance.")
    return [_input(path) for path in paths]


def _input(path: Path) -> Enhanced:
    require_finished(path)
    file = only_jsonl(path, "rationales")
    _, row = next(read_jsonl(file))
    kinds = tuple(kind for kind in KINDS if kind in row)
    if not kinds:
        raise UserError(f"{file}:1: there is no rationale (column {', '.join(KINDS)}); `enhance` writes them.")
    return Enhanced(file, kinds, str(row.get("teacher", "")))


STAGE = Stage(postprocess, PostprocessConfig, version=4, words=("input", "output"), keeps=(LEDGER,))
