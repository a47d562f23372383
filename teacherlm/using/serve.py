"""A student behind an OpenAI-compatible server, until Ctrl-C or SIGTERM."""

import json
import os
import re
import shlex
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from teacherlm.errors import Stopped, UserError
from teacherlm.evaluation.students import Student
from teacherlm.log import say
from teacherlm.store.adapters import is_adapter_folder
from teacherlm.using.child import Child, Signals, signals_noted
from teacherlm.using.servers import Quantise, Served, kind_of
from teacherlm.using.student import Wording, find_student, wording_of

EXAMPLE = "How many legs has a spider?"
EVERYWHERE = ("0.0.0.0", "::", "")
"""Hosts that mean all addresses of a machine; one asks it by 127.0.0.1."""


@dataclass(frozen=True)
class Wanted:
    model: str
    host: str = "127.0.0.1"
    port: int = 8000
    """0: any that is free."""
    name: str = ""
    engine: str = "transformers"
    quantise: Quantise = ""
    dtype: str = "auto"
    device: str = "auto"
    trust_remote_code: bool = False
    start_seconds: float = 600.0


def serve(wanted: Wanted) -> None:
    """Ends with Stopped at a signal, when the server is gone. Raises: UserError for all that keeps it from starting."""
    kind = kind_of(wanted.engine)
    student = find_student(wanted.model)
    if student.api:
        raise UserError(f"{student.name}: lives behind an API already; there is nothing to serve.")
    with TemporaryDirectory(prefix="teacherlm-serve-") as folder, signals_noted() as signals:
        port = free_port(wanted.host, wanted.port)
        name = wanted.name or name_of(student)
        served = Served(student.path, name, wanted.host, port, wanted.quantise, wanted.dtype, wanted.device, wanted.trust_remote_code)
        kind.require(served)
        served = _placed(served, Path(folder))
        with _running(kind.words(served), Path(folder), Path(student.path).exists()) as child:
            base = f"http://{_reachable(wanted.host)}:{port}"
            say(f"serve: {student.name} is being loaded by {wanted.engine}.")
            child.wait_until_healthy(f"{base}/health", wanted.start_seconds, signals)
            if not signals.came:
                _tell(base, name, wording_of(student))
            child.wait(signals)
            _end(child, signals)


def _end(child: Child, signals: Signals) -> None:
    """Raises: Stopped after a signal, UserError where the server ended by itself."""
    if signals.came is None:
        raise UserError(f"serve: the server ended: {child.last_word()}")
    child.end(signals.came)
    raise Stopped(f"serve was ended by {signals.came.name}; the server is gone.", 128 + signals.came)


def free_port(host: str, port: int) -> int:
    """The port itself, or for 0 any. Raises: UserError where it is taken, or the host is none of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: connections of an earlier one may linger
        try:
            one.bind((host, port))
        except OSError as error:
            advice = "--port 0 takes any that is free" if isinstance(error, PermissionError) or error.errno == 98 else "is --host right?"
            raise UserError(f"serve: {host}:{port} cannot be had ({error.strerror or error}); {advice}.") from None
        return int(one.getsockname()[1])


def name_of(student: Student) -> str:
    """The run's folder for its checkpoints, else the model's own name; of a hub id what stands behind its owner."""
    path = Path(student.path)
    own = path.resolve() if path.exists() else path
    name = own.parent.name if own.name.startswith("checkpoint-") else own.name
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "student"


def _placed(served: Served, folder: Path) -> Served:
    """The model under its name in the folder from which the server is started; an adapter is merged into its base there.

    Raises: UserError for an adapter that cannot be merged.
    """
    place, link = Path(served.place), folder / served.name
    if not place.exists():
        return served if served.name == served.place else Served(**{**vars(served), "name": served.place})
    if is_adapter_folder(place):
        from teacherlm.training.merging import merge

        merge(served.place, link, "auto", served.trust_remote_code)
    else:
        link.symlink_to(place.resolve(), target_is_directory=True)
    return Served(**{**vars(served), "place": str(link)})


@contextmanager
def _running(words: list[str], folder: Path, local: bool) -> Iterator[Child]:
    """Gone at the end, however that comes."""
    environment = {**os.environ, **({"HF_HUB_OFFLINE": "1"} if local else {})}
    child = Child(words, folder, environment)
    try:
        yield child
    finally:
        child.end(signal.SIGTERM)


def _reachable(host: str) -> str:
    found = "127.0.0.1" if host in EVERYWHERE else host
    return f"[{found}]" if ":" in found else found


def _tell(base: str, name: str, wording: Wording) -> None:
    """URL and one line to try it with, in the words that the student was taught."""
    asked = wording.prompt(EXAMPLE)
    body: dict[str, object] = {"model": name}
    if wording.chat:
        system = [{"role": "system", "content": wording.chat.system}] if wording.chat.system else []
        body["messages"] = [*system, {"role": "user", "content": asked}]
    else:
        body["prompt"] = asked
    where = f"{base}/v1/{'chat/' if wording.chat else ''}completions"
    data = json.dumps({**body, "max_tokens": 128, "temperature": 0}, ensure_ascii=False)
    print(f"{base}/v1 serves '{name}'; Ctrl-C ends it. Try it:")
    print(shlex.join(["curl", where, "-H", "Content-Type: application/json", "-d", data]), flush=True)
