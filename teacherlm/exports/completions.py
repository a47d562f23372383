"""Completions to be scored, read from whatever holds them: JSON lines, a completion file of Fine-tune-CoT, a log of zero-shot-CoT, a
folder of these.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from teacherlm.answers import RULES, AnswerRule, rule
from teacherlm.answers.cleansing import DIALECTS, PREFIXES, STATED_AS
from teacherlm.answers.scores import Score, Summary, score_completion, summarise
from teacherlm.choices import split_choices
from teacherlm.errors import UserError, unknown
from teacherlm.exports.finetune_cot import CODE_FORM, README_FORM, identifier, read_completions
from teacherlm.exports.imports import log_rows
from teacherlm.exports.zero_shot_cot import is_log
from teacherlm.store.files import is_rows, read_json
from teacherlm.store.manifest import MANIFEST
from teacherlm.store.sources import read_json_rows, require

Row = Mapping[str, Any]

RESULTS = "results.jsonl"
"""What `evaluate` writes of all that it measured."""
MEASURES = ("accuracy", "contains_answer", "correct_format", "complete")


@dataclass(frozen=True)
class Reading:
    """How to score what is read; what is None, the files say."""

    rule: str | None = None
    prefix: tuple[str, ...] | None = None
    completion_key: str = "completion"
    gold_key: str = "answer"


@dataclass(frozen=True)
class Scored:
    """One file."""

    path: Path
    rules: tuple[str, ...]
    """More than one where the rows name several."""
    scores: tuple[Score, ...]
    metadata: Mapping[str, Any]
    """Whose completions they are: base_model, dataset_key, completion_key, train_key, epoch, as far as the file says it."""
    chance: float | None
    """What answering at random would score; None where a question's choices are not known."""

    @property
    def summary(self) -> Summary:
        return summarise(self.scores)


def score_path(path: Path, reading: Reading) -> list[Scored]:
    """Every file of a folder, or the one file. Raises: UserError naming the place of what cannot be scored."""
    if reading.rule is not None:
        rule(reading.rule)
    return [_score_file(file, reading) for file in completion_files(path)]


def completion_files(path: Path) -> list[Path]:
    """The file itself; of a folder its JSON-lines files, completion files and logs, in folders inside it too.

    Not those that `evaluate` wrote. Raises: UserError where there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder.")
    evaluated = set(evaluated_folders(path))
    inside = (file for pattern in ("*.json*", "*.log") for file in path.rglob(pattern))
    found = sorted(file for file in inside if file.is_file() and evaluated.isdisjoint(file.parents) and _holds_completions(file))
    if not found and not evaluated:
        raise UserError(f"{path}: holds neither a .jsonl nor a completion file (D_<dataset>.json) nor a log of zero-shot-CoT.")
    return found


def evaluated_folders(path: Path) -> list[Path]:
    """The outputs of `evaluate` in a folder, or that it is."""
    return sorted(file.parent for file in path.rglob(RESULTS) if (file.parent / MANIFEST).is_file()) if path.is_dir() else []


def _holds_completions(file: Path) -> bool:
    if file.suffix == ".jsonl":
        return is_rows(file) and not file.parent.name.endswith(".work")
    if file.suffix == ".log":
        return is_log(file)
    return any(form.fullmatch(file.name) for form in (CODE_FORM, README_FORM))


def prefix_of(template: str) -> tuple[str, ...]:
    """What stands before an answer in completions of a template. Raises: UserError for an unknown name."""
    if template not in PREFIXES:
        raise unknown("template of prediction", template, PREFIXES)
    return PREFIXES[template]


def _score_file(file: Path, reading: Reading) -> Scored:
    rules: dict[str, None] = {}
    scores, chances = [], []
    metadata: Mapping[str, Any] = {}
    for where, row in _rows(file):
        chosen = _rule(row, reading, where)
        rules[chosen.name] = None
        scores.append(_score_row(row, chosen, reading, where))
        chances.append(_chance(row, chosen.name))
        metadata = metadata or row.get("metadata") or {}
    known = [chance for chance in chances if chance is not None]
    return Scored(file, tuple(rules), tuple(scores), metadata, sum(known) / len(known) if len(known) == len(chances) else None)


def _rows(file: Path) -> Iterator[tuple[str, Row]]:
    """(place, row); a row of a completion file or a log has its metadata too, and what of it says how the row is scored."""
    if file.suffix == ".log":
        yield from ((f"{file}: question {row['sample_index'] + 1}", row) for row in log_rows(file))
    elif file.suffix == ".json" and isinstance(read_json(file), dict):
        dataset = read_completions(file)
        metadata = {**identifier(file), **dataset.metadata}
        said = {key: metadata.get(key) for key in ("dataset_key", "answer_rule")}
        said["prediction_template"] = metadata.get("prediction_template") or _template_named_by(metadata.get("completion_key"))
        yield from ((f"{file}: {place}", {"metadata": metadata, **said, **sample}) for place, sample in dataset.samples())
    else:
        yield from read_json_rows(file)


def _template_named_by(completion_key: Any) -> str | None:
    """`zs_cot_t70` are completions of zs_cot at a temperature of 0.7. None for a key of another kind."""
    fitting = [name for name in PREFIXES if completion_key == name or str(completion_key).startswith(f"{name}_")]
    return max(fitting, key=len, default=None)


def _chance(row: Row, rule: str) -> float | None:
    kind = STATED_AS.get(rule, rule)
    if kind == "yes_no":
        return 0.5
    if kind != "letter":
        return 0.0
    choices = row.get("choices") or split_choices(str(row.get("question", "")))[1]
    return 1 / len(choices) if choices else None


def _rule(row: Row, reading: Reading, where: str) -> AnswerRule:
    named = (row.get("dataset_key"), row.get("answer_rule")) if reading.rule is None else (reading.rule,)
    known = next((name for name in named if isinstance(name, str) and (name in RULES or name in DIALECTS)), None)
    if known is None:
        raise UserError(f"{where}: nothing says which rule finds the answer; give one with --rule: {', '.join(sorted(RULES))}.")
    return rule(known)


def _score_row(row: Row, chosen: AnswerRule, reading: Reading, where: str) -> Score:
    template = row.get("prediction_template")
    prefix = reading.prefix if reading.prefix is not None else prefix_of(str(template)) if template else ()
    finish, choices = row.get("finish_reason"), row.get("choices") or ()
    if not isinstance(finish, str | None):
        raise UserError(f"{where}: key 'finish_reason': expected a text such as 'stop', found {finish!r}.")
    return score_completion(
        _text(row, reading.completion_key, where),
        _text(row, reading.gold_key, where),
        chosen,
        prefix=prefix,
        choices=[str(choice) for choice in choices],
        finish_reason=finish,
    )


def _text(row: Row, key: str, where: str) -> str:
    """A number counts as the text that it is written as."""
    found = require(row, key, where)
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        raise UserError(f"{where}: key '{key}': expected a text or a number, found {found!r}.")
    return str(found)


def report(scored: Sequence[Scored]) -> dict[str, Any]:
    """The measures of all completions together; of a folder those of each file too. Raises: UserError where there are none."""
    _require_some(scored)
    each = [{"file": str(one.path), "rule": ", ".join(one.rules), **asdict(one.summary)} for one in scored]
    if len(each) == 1:
        return each[0]
    rules = dict.fromkeys(name for one in scored for name in one.rules)
    return {"rule": ", ".join(rules), **asdict(_together(scored)), "files": each}


def table(scored: Sequence[Scored]) -> str:
    """One line a file, and one for all of them where there are several. Raises: UserError where there are none."""
    _require_some(scored)
    lines = [(str(one.path), ", ".join(one.rules), one.summary) for one in scored]
    lines += [("all", "", _together(scored))] if len(lines) > 1 else []
    cells: list[tuple[str, ...]] = [("file", "rule", "n", *MEASURES)]
    cells += [(file, rules, str(found.n), *(_share(getattr(found, name)) for name in MEASURES)) for file, rules, found in lines]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(_pad(cell, widths[at], at) for at, cell in enumerate(line)).rstrip() for line in cells)


def _require_some(scored: Sequence[Scored]) -> None:
    if not scored:
        raise UserError("the folder holds outputs of evaluate and no completions; their place is a table: --format table.")


def _together(scored: Sequence[Scored]) -> Summary:
    return summarise([score for one in scored for score in one.scores])


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.5f}"


def _pad(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column < len(("file", "rule")) else cell.rjust(width)
