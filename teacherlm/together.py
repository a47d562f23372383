"""Several processes of one job, started by torchrun: the first decides and writes, the others hear of it."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import orjson

from teacherlm.errors import UserError

T = TypeVar("T")
WAIT = timedelta(hours=2)
_store: Any = None
_calls = 0


def world_size() -> int:
    """Processes of this job; torchrun says how many."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def from_main(make: Callable[[], T]) -> T:
    """What `make` gives in the first process (something JSON knows), in all of them. Each calls this in the same order.

    Raises: UserError in all of them when `make` raises one.
    """
    if world_size() == 1:
        return make()
    store, key = _next_key()
    if not is_main():
        store.wait([key], WAIT)
        told = orjson.loads(store.get(key))
        if "error" in told:
            raise UserError(told["error"])
        value: T = told["value"]
        return value
    try:
        made = make()
    except UserError as error:
        store.set(key, orjson.dumps({"error": str(error)}))
        raise
    store.set(key, orjson.dumps({"value": made}))
    return made


def _next_key() -> tuple[Any, str]:
    global _store, _calls
    if _store is None:
        from torch.distributed.rendezvous import rendezvous

        _store = next(iter(rendezvous("env://")))[0]
    _calls += 1
    return _store, f"teacherlm/{_calls}"
