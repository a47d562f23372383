"""How much of a task fits into a prompt: worked examples are left out first, then the end of the input goes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from teacherlm.errors import UserError
from teacherlm.prompts import template
from teacherlm.records import Demonstration, Question

TEMPLATE = "tk_instruct"
"""Lengths are those of its prompts."""
TASK, DEFINITION, INPUT = "TASK", "DEFINITION", "INPUT"
"""Blocks of a task's question."""


@dataclass(frozen=True)
class Lengths:
    """How long prompt and target may be, in tokens; those of `count` hold the special ones too."""

    count: Callable[[str], int]
    source: int
    target: int


def fitted(question: Question, limits: Lengths) -> Question:
    """The question with as much of its task as fits.

    Examples are added one by one and the first that is too long ends it, for both kinds on their own. Where no example is left the end
    of the input goes, then that of the definition: a prompt always ends in what asks for the output.
    Raises: UserError where not even that fits.
    """
    prompt = template(TEMPLATE).prompt

    def fits(candidate: Question) -> bool:
        return limits.count(prompt(candidate)) <= limits.source

    question = _shortened_target(question, limits)
    if fits(question):
        return question
    bare = question._replace(demonstrations=())
    if fits(bare):
        return _with_examples(bare, question.demonstrations, fits)
    nothing = _with_input(bare, "")
    if fits(nothing):
        return _with_input(bare, _longest(dict(bare.blocks)[INPUT], lambda text: fits(_with_input(bare, text))))
    undefined = _with_definition(nothing, "")
    if not fits(undefined):
        needed = limits.count(prompt(undefined))
        raise UserError(f"{question.where}: max_source_length {limits.source} is too short: a prompt without input takes {needed} tokens.")
    return _with_definition(nothing, _longest(nothing.definition, lambda text: fits(_with_definition(nothing, text))))


def _with_examples(bare: Question, offered: Sequence[Demonstration], fits: Callable[[Question], bool]) -> Question:
    chosen: tuple[Demonstration, ...] = ()
    for positive in (True, False):
        for one in offered:
            if one.positive != positive:
                continue
            if not fits(bare._replace(demonstrations=(*chosen, one))):
                break
            chosen = (*chosen, one)
    return bare._replace(demonstrations=chosen)


def _with_input(question: Question, text: str) -> Question:
    return question._replace(blocks=tuple((name, text if name == INPUT else value) for name, value in question.blocks))


def _with_definition(question: Question, text: str) -> Question:
    kept = tuple((name, text if name == DEFINITION else value) for name, value in question.blocks)
    return question._replace(definition=text, blocks=tuple(block for block in kept if block[0] != DEFINITION or block[1]))


def _shortened_target(question: Question, limits: Lengths) -> Question:
    """What is written is cut; the gold answer and the references stay whole."""
    ((name, target),) = question.response
    if limits.count(target) <= limits.target:
        return question
    short = _longest(target, lambda text: limits.count(text) <= limits.target)
    if not short.strip():
        raise UserError(f"{question.where}: max_target_length {limits.target} is too short for anything of the target.")
    return question._replace(response=((name, short),))


def _longest(text: str, fits: Callable[[str], bool]) -> str:
    """A beginning that fits, as long as bisection finds it; the empty one is taken to fit."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(text[:middle]) else (low, middle - 1)
    return text[:low]


@lru_cache(maxsize=4)
def token_counter(model: str) -> Callable[[str], int]:
    from transformers import AutoTokenizer

    from teacherlm.store.checkpoints import resolve_model

    try:
        tokenizer = AutoTokenizer.from_pretrained(resolve_model(model))
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"tokenizer: {model}: no tokenizer can be read ({reason}).") from None
    return lambda text: len(tokenizer(text, verbose=False)["input_ids"])
