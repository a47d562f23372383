"""Solved examples before a question: never the question itself, and only whole ones, as many as fit into the student's context."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from teacherlm.evaluation.harness import EngineLM, WritingLM
    from teacherlm.evaluation.loading import LoadedTask

Fits = Callable[[Any, Any], bool]
"""(the prompt: a text, or one for each choice; the row) -> whether the student can read all of it and answer."""


@contextmanager
def drawn_well(task: Any, fits: Fits | None = None) -> Iterator[None]:
    """While this lasts, prompts are built so: where the row itself is among its shots others are drawn, and where a prompt does not fit
    the first shots are left out.

    lm-eval leaves the row out of its shots only where they come from a test split, and cuts a prompt that is too long anywhere.
    """
    sampler, source = getattr(task, "sampler", None), getattr(task, "fewshot_cfg", None)
    if sampler is None or source is None:  # a task in Python of one's own
        yield
        return
    build = task.fewshot_context

    def context(doc: Any, num_fewshot: int = 0, *rest: Any, **options: Any) -> Any:
        if not num_fewshot:
            return build(doc, num_fewshot, *rest, **options)
        draw = sampler.sample
        shots = list(draw(n=num_fewshot, eval_doc=doc if source.split == task.config.test_split else None))
        if any(shot == doc for shot in shots):
            more = len(sampler.df) > num_fewshot
            shots = list(draw(n=num_fewshot, eval_doc=doc)) if more else [shot for shot in shots if shot != doc]
        try:
            while True:
                sampler.sample = _giving(shots)
                prompt = build(doc, len(shots), *rest, **options)
                if not shots or fits is None or fits(prompt, doc):
                    return prompt
                shots = shots[1:]
        finally:
            sampler.sample = draw

    task.fewshot_context = context
    try:
        yield
    finally:
        task.fewshot_context = build


def _giving(shots: Sequence[Any]) -> Callable[..., Sequence[Any]]:
    return lambda *_, **__: shots


def fits_into(student: "EngineLM | WritingLM", loaded: "LoadedTask", prefix: str = "") -> Fits:
    """By the student's own tokenizer. `prefix` is what is put before the prompt later."""
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
            return max(count(prefix + text) for text in texts) + max(1, room) <= context
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
    with drawn_well(loaded.task, fits):
        if long:
            build_requests(loaded.task, loaded.options)
        yield
    if long:
        build_requests(loaded.task, loaded.options)
