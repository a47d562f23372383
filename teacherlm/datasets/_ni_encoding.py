"""Tasks as questions in the encoding of Tk-Instruct: what a prompt states of its task, and how much of it fits.

The switches have the names of Tk-Instruct's own options. What they leave out is not in the question's definition, demonstrations and
blocks; the template tk_instruct writes what is there. `question` holds definition and input whatever the switches say: other
templates, and teachers, read that.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from pydantic import Field

from teacherlm.catalog import ChosenSettings
from teacherlm.dataset import BadRow
from teacherlm.datasets._ni_lengths import DEFINITION, INPUT, TASK, Lengths, fitted, token_counter
from teacherlm.datasets._ni_tasks import Instance, Task, parse_instance
from teacherlm.errors import UserError
from teacherlm.records import Demonstration, Question
from teacherlm.stage import Model


class EncodingSettings(ChosenSettings):
    add_task_name: bool = False
    """A prompt begins with the task's name."""
    add_task_definition: bool = True
    num_pos_examples: int = Field(default=2, ge=0)
    """Worked examples of the task in a prompt."""
    num_neg_examples: int = Field(default=0, ge=0)
    """Examples of how not to answer."""
    add_explanation: bool = False
    """Each positive example says why it is right."""
    tk_instruct: bool = False
    """Every question draws one of five: definition; 2 positive examples; both; both and 2 negative ones; both and explanations. The
    five settings above then count for nothing."""
    max_num_instances_per_task: int | None = Field(default=None, ge=1)
    """So many of each training task, drawn by the seed; by default all, in their order."""
    max_num_instances_per_eval_task: int | None = Field(default=100, ge=1)
    """So many of each task that is not trained on: the first ones of a test task, which are balanced, of the others drawn ones."""
    tokenizer: Model | None = None
    """The student, by whose tokenizer the two lengths below are counted (a model folder or a hub id); without it nothing is cut."""
    max_source_length: int = Field(default=1024, ge=1)
    """Tokens of a prompt: examples are added while it fits; of a prompt that alone is longer the end of the input is cut."""
    max_target_length: int = Field(default=128, ge=1)
    """Tokens of what a student is to write."""


@dataclass(frozen=True)
class Encoding:
    """What a prompt states of its task."""

    name: bool
    definition: bool
    positive: int
    negative: int
    explained: bool


FIVE = (
    Encoding(False, True, 0, 0, False),
    Encoding(False, False, 2, 0, False),
    Encoding(False, True, 2, 0, False),
    Encoding(False, True, 2, 2, False),
    Encoding(False, True, 2, 0, True),
)
"""Those of which `tk_instruct` draws."""


def task_questions(task: Task, split: str, settings: EncodingSettings, seed: int) -> Iterator[Question | BadRow]:
    """The questions of one task; an instance that is broken is a BadRow."""
    limits = lengths(settings)
    for number in kept_instances(len(task.instances), split, task.name, settings, seed):
        row, where = task.instances[number], f"{task.place}: instance {number + 1}"
        try:
            question = build_question(task, parse_instance(row, where), number, settings, seed, where, limits)
        except UserError as error:
            yield BadRow(where, str(error), row if isinstance(row, dict) else {})
        else:
            yield question


def lengths(settings: EncodingSettings) -> Lengths | None:
    """None where nothing is counted. Raises: UserError where the tokenizer cannot be read."""
    if settings.tokenizer is None:
        return None
    return Lengths(token_counter(settings.tokenizer), settings.max_source_length, settings.max_target_length)


def kept_instances(count: int, split: str, task: str, settings: EncodingSettings, seed: int) -> Sequence[int]:
    """Which of a task's instances become questions, in their order."""
    limit = settings.max_num_instances_per_task if split == "train" else settings.max_num_instances_per_eval_task
    if limit is None or split == "test":
        return range(count if limit is None else min(count, limit))
    numbers = list(range(count))
    Random(f"{seed}/{task}").shuffle(numbers)
    return numbers[:limit]


def build_question(
    task: Task, instance: Instance, number: int, settings: EncodingSettings, seed: int, where: str, limits: Lengths | None
) -> Question:
    """`number`: of the instance in its task, on which with the seed depends what is drawn.

    Raises: UserError where the limits leave no room for anything.
    """
    question = _encoded(task, instance, number, settings, seed, where)
    return question if limits is None else fitted(question, limits)


def _encoded(task: Task, instance: Instance, number: int, settings: EncodingSettings, seed: int, where: str) -> Question:
    place = f"{seed}/{task.name}/{number}"
    shown = FIVE[_drawn(f"{place}/encoding", len(FIVE))] if settings.tk_instruct else _asked_for(settings)
    target = instance.references[_drawn(f"{place}/reference", len(instance.references))]
    definition = task.definition if shown.definition else ""
    blocks = ((TASK, task.name if shown.name else ""), (DEFINITION, definition))
    return Question(
        question=f"{task.definition}\n\n{instance.input}".strip(),
        answer=target,
        answer_rule="text",
        source_id=instance.id,
        raw={
            "task": task.name,
            "category": task.category,
            "id": instance.id,
            "input": instance.input,
            "output": list(instance.references),
            **instance.notes,
        },
        where=where,
        blocks=(*(block for block in blocks if block[1]), (INPUT, instance.input)),
        response=(("OUTPUT", target),),
        definition=definition,
        demonstrations=_shown(task.demonstrations, shown),
        references=instance.references,
    )


def _asked_for(settings: EncodingSettings) -> Encoding:
    return Encoding(
        settings.add_task_name,
        settings.add_task_definition,
        settings.num_pos_examples,
        settings.num_neg_examples,
        settings.add_explanation,
    )


def _shown(demonstrations: Sequence[Demonstration], shown: Encoding) -> tuple[Demonstration, ...]:
    positive = [one for one in demonstrations if one.positive][: shown.positive]
    negative = [one for one in demonstrations if not one.positive][: shown.negative]
    kept = (*positive, *negative)
    return kept if shown.explained else tuple(replace(one, explanation="") for one in kept)


def _drawn(place: str, among: int) -> int:
    """A number below `among` that depends on nothing but the place."""
    if among == 1:
        return 0
    return int.from_bytes(hashlib.blake2b(place.encode(), digest_size=8).digest(), "big") % among
