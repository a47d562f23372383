"""Solved examples before a question: never the question itself, and only whole ones, as many as fit into the student's context."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from teacherlm.evaluation.harness import EngineLM, WritingLM
    from teacherlm.evaluation.loading import LoadedTask

Fits = Callable[[Any, Any], bool]
"""(the prompt: a text, or one for each choice; the row) -> whether the student can read all of it and answer."""


@dataclass(frozen=True)
class Asked:
    """A question, and the rows that ask it: all of them have the same shots."""

    question: Any
    """As the data has it, so that it is known among the shots."""
    rows: Sequence[Any]


@contextmanager
def drawn_well(task: Any) -> Iterator[None]:
    """While this lasts, prompts are built so: where the question itself is among its shots others are drawn, and where a prompt does not
    fit (`task.fits`: Fits) the first shots are left out. Of a question that several rows ask (`task.asked`: row -> Asked) all have the
    same shots. `task.shown` says how many each prompt has.

    lm-eval leaves the row out of its shots only where they come from a test split, and cuts a prompt that is too long anywhere.
    """
    sampler, source = getattr(task, "sampler", None), getattr(task, "fewshot_cfg", None)
    if sampler is None or source is None:  # a task in Python of one's own
        yield
        return
    build = task.fewshot_context
    fits: Fits | None = getattr(task, "fits", None)
    asked: Callable[[Any], Asked] = getattr(task, "asked", lambda doc: Asked(doc, [doc]))
    chosen: Sequence[Any] = []
    task.shown = []

    def draw(question: Any, count: int) -> Sequence[Any]:
        shots = list(sampler.sample(n=count, eval_doc=question if source.split == task.config.test_split else None))
        if any(shot == question for shot in shots):
            more = len(sampler.df) > count
            shots = list(sampler.sample(n=count, eval_doc=question)) if more else [shot for shot in shots if shot != question]
        return shots

    def context(doc: Any, num_fewshot: int = 0, *rest: Any, **options: Any) -> Any:
        nonlocal chosen

        def prompt(row: Any, shots: Sequence[Any]) -> Any:
            before, sampler.sample = sampler.sample, lambda *_, **__: shots
            try:
                return build(row, len(shots), *rest, **options)
            finally:
                sampler.sample = before

        if not num_fewshot:
            return build(doc, num_fewshot, *rest, **options)
        question = asked(doc)
        if doc == question.rows[0]:  # the others come right behind it
            chosen = draw(question.question, num_fewshot)
            while chosen and fits and not all(fits(prompt(row, chosen), row) for row in question.rows):
                chosen = chosen[1:]
        task.shown.append(len(chosen))
        return prompt(doc, chosen)

    task.fewshot_context = context
    try:
        yield
    finally:
        task.fewshot_context = build


def mean_shown(loaded: "LoadedTask") -> float | None:
    """Of the prompts as they were built last: shots before a question, on average. None where nobody counts them."""
    shown = getattr(loaded.task, "shown", None)
    return sum(shown) / len(shown) if shown else None


def fits_into(student: "EngineLM | WritingLM", loaded: "LoadedTask", prefix: str = "") -> Fits:
    """By the student's own tokenizer, with room for the longest answer, but for no more than half the context. `prefix` is what is put
    before the prompt later.
    """
    task, context = loaded.task, student.engine.context
    written = task.get_config("output_type") == "generate_until"
    room = int((task.get_config("generation_kwargs") or {}).get("max_gen_toks", 0)) if written else 0

    def count(text: str) -> int:
        return len(student.tok_encode(text))

    def fits(prompt: Any, doc: Any) -> bool:
        if context is None:
            return True
        texts = [prompt] if isinstance(prompt, str) else list(prompt)
        if student.engine.seq2seq:  # its decoder has a context of its own
            return max(count(prefix + text) for text in texts) + 1 <= context
        if written:
            return max(count(prefix + text) for text in texts) + max(1, min(room, context // 2)) <= context
        return max(count(prefix + text) for text in texts) + max(map(count, _ends(task, doc))) <= context

    return fits


def _ends(task: Any, doc: Any) -> list[str]:
    """What may stand behind a prompt whose continuations are weighed."""
    delimiter = str(task.get_config("target_delimiter") or "")
    choices = task.doc_to_choice(doc) if task.get_config("doc_to_choice") is not None else [task.doc_to_target(doc)]
    return [delimiter + str(choice) for choice in choices]


@contextmanager
def whole_shots(loaded: "LoadedTask", student: "EngineLM | WritingLM", prefix: str = "") -> Iterator[None]:
    """While this lasts, no question of the task has more shots than fit. Nothing is built anew where all do."""
    from teacherlm.evaluation.loading import build_requests

    if not loaded.shots:
        yield
        return
    fits = fits_into(student, loaded, prefix)
    prompts = {(instance.doc_id, instance.args[0]): instance.doc for instance in loaded.task.instances}
    long = any(not fits(prompt, doc) for (_, prompt), doc in prompts.items())
    loaded.task.fits = fits
    try:
        if long:
            build_requests(loaded.task, loaded.options)
        yield
    finally:
        del loaded.task.fits
    if long:
        build_requests(loaded.task, loaded.options)
