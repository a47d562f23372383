"""Does the question or its rationale share a run of words with an evaluation split? Then the evaluation would measure memory."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from teacherlm.catalog import ChosenSettings
from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.overlap import OverlapIndex, build_index, evaluation_tables, question_texts
from teacherlm.stage import Input, Plugin
from teacherlm.verify import JudgingGate, Rationale

VERDICTS = ("question", "rationale", "clean")


class OverlapSettings(ChosenSettings):
    name: Literal["overlap"] = "overlap"
    against: list[Input]
    """Evaluation questions: outputs of `prepare` (every split but train), or .jsonl files with a column `prompt` or `question`."""
    splits: list[str] = []
    """Splits to take of a folder with several; by default all but train."""
    n: Annotated[int, Field(ge=1)] = 13
    """Words that must be the same in a row; 8 is stricter."""
    shortest: Annotated[int, Field(ge=1)] = 5
    """An evaluation question with fewer words than n counts where all of it is found, unless it has fewer than this."""
    common: Annotated[int, Field(ge=1)] = 10
    """What stands in more evaluation questions than this is the dataset's own wording and does not count."""
    drops: list[Literal["question", "rationale", "clean"]] = ["question", "rationale"]
    """Verdicts that drop a row: the overlap is in the question, or in the rationale alone."""

    @model_validator(mode="after")
    def _names_something(self) -> "OverlapSettings":
        if not self.against:
            raise UserError("against: name at least one folder or .jsonl of evaluation questions.")
        if self.shortest > self.n:
            raise UserError(f"shortest {self.shortest} is more than n {self.n}.")
        return self


def read_index(settings: OverlapSettings) -> OverlapIndex:
    """Raises: UserError for a source without an evaluation split, and for a row without a question."""
    tables = [table for path in settings.against for table in evaluation_tables(str(path), settings.splits)]
    index = build_index(map(question_texts, tables), settings.n, settings.shortest, settings.common)
    say(f"overlap: {index.sequences} sequences of {index.texts} evaluation questions ({', '.join(table.place for table in tables)}).")
    return index


def build(settings: OverlapSettings) -> JudgingGate:
    index = read_index(settings)

    def judge(rationale: Rationale) -> str:
        if index.shares_sequence(rationale.prompt):
            return "question"
        return "rationale" if index.shares_sequence(rationale.text) else "clean"

    return JudgingGate(name=settings.name, judge=judge, verdicts=VERDICTS, drops=frozenset(settings.drops), column="overlap")


GATE = Plugin(OverlapSettings, build)
