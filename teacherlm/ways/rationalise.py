"""The gold answer stands in the prompt; the teacher explains it once for each kind, all kinds side by side in one row."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from teacherlm.asking import Conversation, Drop, Row, Terms, Way, told_beside
from teacherlm.catalog import ChosenSettings
from teacherlm.errors import UserError
from teacherlm.prompts import KINDS, TEXT_COLUMN
from teacherlm.records import Completion
from teacherlm.stage import Plugin
from teacherlm.store.sources import require


class RationaliseSettings(ChosenSettings):
    name: Literal["rationalise"] = "rationalise"
    kinds: ClassVar[tuple[str, ...]] = KINDS


def rationalise(row: Mapping[str, Any], terms: Terms, where: str, sample: int = 0) -> Conversation[Row | Drop]:
    """The prompts are the row's own: cot_text, error_text, fundamental_text."""
    refuse_kinds_there(row, terms.kinds, where)
    return (yield from explained(row, {kind: _prompt(row, kind, where) for kind in terms.kinds}, terms, where, sample))


def explained(row: Mapping[str, Any], prompts: Mapping[str, str], terms: Terms, where: str, sample: int) -> Conversation[Row | Drop]:
    """prompts: kind -> what the teacher reads. A question whose explanation of any kind fails for good is dropped.

    `all` is prompt and explanation of the first kind present, made from the two parts: nothing is searched for in a text that may
    contain the suffix twice.
    """
    told = yield [terms.request(prompt, sample, where) for prompt in prompts.values()]
    written = dict(zip(prompts, told, strict=True))
    for kind, completion in written.items():
        if completion.finish == "error":
            return Drop(f"{kind}: {completion.error}")
    return _joined(row, written, prompts, terms.teacher, where, sample)


def refuse_kinds_there(row: Mapping[str, Any], kinds: tuple[str, ...], where: str) -> None:
    for kind in kinds:
        if kind in row:
            raise UserError(f"{where}: column '{kind}' is there already; ask for other kinds, or enhance the file written by `prepare`.")


def _prompt(row: Mapping[str, Any], kind: str, where: str) -> str:
    found = require(row, TEXT_COLUMN[kind], where)
    if not isinstance(found, str) or not found.strip():
        raise UserError(f"{where}: column '{TEXT_COLUMN[kind]}': expected the teacher's prompt, found {found!r}.")
    return found


def _joined(
    row: Mapping[str, Any], written: Mapping[str, Completion], prompts: Mapping[str, str], teacher: str, where: str, sample: int
) -> Row:
    """Also adds a kind to a row that an earlier run gave others: `all` stays with the first kind present."""
    ours = {"all", "completion_index", "teacher", *(f"{kind}_finish" for kind in KINDS), *KINDS}
    texts = {kind: written[kind].text if kind in written else row[kind] for kind in KINDS if kind in written or kind in row}
    earlier = {f"{kind}_finish": row[f"{kind}_finish"] for kind in texts if f"{kind}_finish" in row}
    first = next(iter(texts))
    teachers = dict.fromkeys((*([row["teacher"]] if "teacher" in row else []), teacher))
    return {
        **{column: value for column, value in row.items() if column not in ours},
        **texts,
        "all": (prompts[first] if first in prompts else _prompt(row, first, where)) + texts[first],
        "completion_index": row.get("completion_index", sample),
        "teacher": ", ".join(teachers),
        **earlier,
        **{name: value for kind, completion in written.items() for name, value in told_beside(kind, completion).items()},
    }


def build(settings: RationaliseSettings) -> Way:
    return rationalise


WAY = Plugin(RationaliseSettings, build)
