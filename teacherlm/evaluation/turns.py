"""A task's questions as the student was taught to read them: in the turns of a chat, or behind the name of one of its tasks.

In a chat each shot is a turn, and a letter the start of an answer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from teacherlm.errors import UserError
from teacherlm.evaluation.students import Student
from teacherlm.prompts import ANY, Chat, find_template, short_name

if TYPE_CHECKING:
    from teacherlm.evaluation.harness import EngineLM, WritingLM
    from teacherlm.evaluation.loading import LoadedTask


def chat_of(student: Student, task: "LoadedTask") -> Chat | None:
    """The task's own where its rows are a chat, else that of a student that was taught nothing but chats.

    Raises: UserError for a task whose rows are put by several chats.
    """
    asked = _chats(task.templates)
    if len(asked) == 1 and task.templates[0].endswith(ANY):
        raise UserError(f"task '{task.name}': its rows follow several settings of {short_name(task.templates[0])}; measure them apart.")
    taught = _chats(student.templates)
    if asked:
        return asked[0]
    return taught[0] if taught and len(taught) == len(student.templates) else None


def _chats(specs: tuple[str, ...]) -> list[Chat]:
    found = (find_template(spec.removesuffix(ANY)) for spec in specs)
    return [one.chat for one in found if one and one.chat]


@contextmanager
def put_in_turns(task: "LoadedTask", chat: Chat | None, student: "EngineLM | WritingLM", name: str, prefix: str = "") -> Iterator[None]:
    """While this lasts, the task's requests are as the student's chat template puts them.

    `prefix` (`predict: `) stands before every question asked; of a chat in the user's last turn.
    """
    if chat is None:
        with _begun(task, prefix):
            yield
        return
    from teacherlm.engines.bodies.turns import Renderer
    from teacherlm.evaluation.loading import build_requests

    renderer = Renderer(student.engine.tokenizer, chat, name)

    def put(history: list[dict[str, str]], **_: Any) -> str:
        return renderer.start(_asked([_turn(message) for message in history], prefix))

    build_requests(task.task, task.options, apply_chat_template=True, fewshot_as_multiturn=True, chat_template=put)
    try:
        with student.rendered():
            yield
    finally:
        build_requests(task.task, task.options)


@contextmanager
def _begun(task: "LoadedTask", prefix: str) -> Iterator[None]:
    """While this lasts, the prefix stands before every prompt; not before a text that is only weighed as a whole."""
    asked = [instance for instance in task.task.instances if instance.request_type != "loglikelihood_rolling"] if prefix else []
    kept = [instance.arguments for instance in asked]
    for instance in asked:
        instance.arguments = (prefix + instance.arguments[0], *instance.arguments[1:])
    try:
        yield
    finally:
        for instance, arguments in zip(asked, kept, strict=True):
            instance.arguments = arguments


def _asked(history: list[dict[str, str]], prefix: str) -> list[dict[str, str]]:
    last = max((i for i, message in enumerate(history) if message["role"] == "user"), default=-1)
    return [{**message, "content": prefix + message["content"]} if i == last else message for i, message in enumerate(history)]


def _turn(message: dict[str, str]) -> dict[str, str]:
    """No turn of the assistant begins with a space."""
    return {**message, "content": message["content"].lstrip()} if message["role"] == "assistant" else message
