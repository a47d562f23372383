"""Completions to be scored, read from whatever holds them: JSON lines, a completion file of Fine-tune-CoT, a folder of either."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from teacherlm.answers import RULES, AnswerRule, rule
from teacherlm.answers.cleansing import DIALECTS, PREFIXES
from teacherlm.answers.scores import Score, Summary, score_completion, summarise
from teacherlm.errors import UserError, unknown
from teacherlm.exports.finetune_cot import CODE_FORM, README_FORM, read_completions
from teacherlm.store.files import is_rows, read_json
from teacherlm.store.sources import read_json_rows, require

Row = Mapping[str, Any]

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

    @property
    def summary(self) -> Summary:
        return summarise(self.scores)


def score_path(path: Path, reading: Reading) -> list[Scored]:
    """Every file of a folder, or the one file. Raises: UserError naming the place of what cannot be scored."""
    if reading.rule is not None:
        rule(reading.rule)
    return [_score_file(file, reading) for file in completion_files(path)]


def completion_files(path: Path) -> list[Path]:
    """The file itself; of a folder its JSON-lines files and completion files, in folders inside it too."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder.")
    found = sorted(file for file in path.rglob("*.json*") if file.is_file() and _holds_completions(file))
    if not found:
        raise UserError(f"{path}: holds neither a .jsonl nor a completion file (D_<dataset>.json).")
    return found


def _holds_completions(file: Path) -> bool:
    if file.suffix == ".jsonl":
        return is_rows(file) and not file.parent.name.endswith(".work")
    return any(form.fullmatch(file.name) for form in (CODE_FORM, README_FORM))


def prefix_of(template: str) -> tuple[str, ...]:
    """What stands before an answer in completions of a template. Raises: UserError for an unknown name."""
    if template not in PREFIXES:
        raise unknown("template of prediction", template, PREFIXES)
    return PREFIXES[template]


def _score_file(file: Path, reading: Reading) -> Scored:
    rules: dict[str, None] = {}
    scores = []
    for where, row in _rows(file):
        chosen = _rule(row, reading, where)
        rules[chosen.name] = None
        scores.append(_score_row(row, chosen, reading, where))
    return Scored(file, tuple(rules), tuple(scores))


def _rows(file: Path) -> Iterator[tuple[str, Row]]:
    """(place, row); a row of a completion file has the dataset_key and prediction_template of its metadata."""
    if file.suffix == ".json" and isinstance(read_json(file), dict):
        dataset = read_completions(file)
        said = {key: dataset.metadata.get(key) for key in ("dataset_key", "prediction_template", "answer_rule")}
        yield from ((f"{file}: {place}", {**said, **sample}) for place, sample in dataset.samples())
    else:
        yield from read_json_rows(file)


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
    """The measures of all completions together; of a folder those of each file too."""
    each = [{"file": str(one.path), "rule": ", ".join(one.rules), **asdict(one.summary)} for one in scored]
    if len(each) == 1:
        return each[0]
    rules = dict.fromkeys(name for one in scored for name in one.rules)
    return {"rule": ", ".join(rules), **asdict(_together(scored)), "files": each}


def table(scored: Sequence[Scored]) -> str:
    """One line a file, and one for all of them where there are several."""
    lines = [(str(one.path), ", ".join(one.rules), one.summary) for one in scored]
    lines += [("all", "", _together(scored))] if len(lines) > 1 else []
    cells: list[tuple[str, ...]] = [("file", "rule", "n", *MEASURES)]
    cells += [(file, rules, str(found.n), *(_share(getattr(found, name)) for name in MEASURES)) for file, rules, found in lines]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(_pad(cell, widths[at], at) for at, cell in enumerate(line)).rstrip() for line in cells)


def _together(scored: Sequence[Scored]) -> Summary:
    return summarise([score for one in scored for score in one.scores])


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.5f}"


def _pad(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column < len(("file", "rule")) else cell.rjust(width)
