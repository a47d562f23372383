"""The most likely tokens at each token that a server wrote, which has to name them by their ids.

A token's text does not name it: several tokens may look alike, and half a character looks like none. vLLM writes `token_id:42` in its
place where it is asked to (`return_tokens_as_token_ids`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from teacherlm.errors import UserError
from teacherlm.records import Request
from teacherlm.store.top_logprobs import from_dicts, packed

MARK = "token_id:"
ADVICE = "ask a vLLM server, with extra: {return_tokens_as_token_ids: true}"


def asked_for(request: Request, chat: bool) -> dict[str, Any]:
    """What stands in a request's body for them."""
    if not request.top_logprobs:
        return {}
    return {"logprobs": True, "top_logprobs": request.top_logprobs} if chat else {"logprobs": request.top_logprobs}


def told(choice: Mapping[str, Any], request: Request, chat: bool) -> str:
    """As a completion holds them; "" where nobody asked. Raises: UserError where the server tells none, or none by id."""
    if not request.top_logprobs:
        return ""
    try:
        found = choice["logprobs"]
        tokens, likely = _of_chat(found["content"] or []) if chat else (found["tokens"], found["top_logprobs"])
        pairs = [{_id(token): float(value) for token, value in (one or {}).items()} for one in likely]
        return packed(from_dicts([_id(token) for token in tokens], pairs, request.top_logprobs))
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"top_logprobs: the server gives no log-probabilities with its text; {ADVICE}.") from None


def _of_chat(content: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[dict[str, float]]]:
    return [one["token"] for one in content], [{other["token"]: other["logprob"] for other in one["top_logprobs"]} for one in content]


def _id(token: str) -> int:
    if not token.startswith(MARK):
        raise UserError(f"top_logprobs: the server names tokens by their text ({token!r:.20}), which may be that of several; {ADVICE}.")
    return int(token.removeprefix(MARK))
