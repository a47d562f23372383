"""How an encoder-decoder is asked for a letter: what its template puts before one belongs to its own answer, so the decoder gets it.

A decoder-only student goes on from `... A: The answer is (`, wherever the prompt ended in training. An encoder-decoder was taught
`... A:` in its encoder and ` The answer is (B).` in its decoder, and is asked the same way.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from teacherlm.evaluation.loading import LoadedTask
from teacherlm.prompts import find_template


def beginning(loaded: LoadedTask, doc: Mapping[str, Any], context: str) -> str:
    """The end of a task's context that its template would have a student write itself; "" where it is all prompt.

    A task that declares no template of ours has none: its words are its own.
    """
    chosen = find_template(str(doc.get("template") or next(iter(loaded.templates), "")))
    prefix = chosen.letter_prefix if chosen and not chosen.chat else ""
    return prefix if context.endswith(prefix) and len(context) > len(prefix) else ""


def moved(requests: Sequence[Any], beginnings: Sequence[str]) -> list[Any]:
    """lm-eval's (context, continuation) requests with each beginning taken from the context and put before the continuation."""
    found = []
    for request, begun in zip(requests, beginnings, strict=True):
        context, continuation = request.args
        other = copy.copy(request)
        other.arguments = (context.removesuffix(begun), begun + continuation) if begun else (context, continuation)
        found.append(other)
    return found
