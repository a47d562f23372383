"""A student trained behind an API: rows uploaded once, one job, polled to its end; a killed run goes on from what it wrote down.

Before anything is uploaded or begun, the server's own lists are searched for it: a process killed between the two has not noted it.
"""

import base64
import binascii
import csv
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from teacherlm import interrupt
from teacherlm.errors import UserError
from teacherlm.hosted.client import Client, Missing, Passing
from teacherlm.hosted.material import Material, write_material
from teacherlm.hosted.settings import Backend, OpenaiBackend
from teacherlm.hosted.student import Hosted, write_hosted
from teacherlm.log import say
from teacherlm.prompts import gathered
from teacherlm.stage import Outcome
from teacherlm.store.files import read_json, write_json, write_jsonl
from teacherlm.store.fingerprint import digest

NOTES = "api_job.json"
LONGEST_PAUSE = 60.0
GROWTH = 1.5
OVER = ("failed", "cancelled")
Facts = Callable[[Sequence[str]], Mapping[str, Any]]


class Tuning(Protocol):
    """What of the settings of `finetune`, which stand above, is told to an API."""

    @property
    def input(self) -> Path: ...
    @property
    def output(self) -> Path: ...
    @property
    def model(self) -> str | None: ...
    @property
    def backend(self) -> Backend: ...
    @property
    def train_on(self) -> str: ...
    @property
    def loss_on(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def limit(self) -> int | None: ...


def tune(config: Tuning, template_facts: Facts) -> Outcome:
    """Writes training.jsonl, metrics.jsonl and model.json into its output.

    Raises: UserError with the server's reason where the job fails, Stopped at a signal; the job goes on meanwhile.
    """
    settings = config.backend
    assert isinstance(settings, OpenaiBackend)
    config.output.mkdir(parents=True, exist_ok=True)
    material = write_material(config.input, config.train_on, settings.form, config.limit, config.output)
    started = time.monotonic()
    with Client(settings) as client, interrupt.interruptible():
        notes = _Notes(config.output / NOTES, digest(material.digest, config.model, config.seed, _asked(config)))
        file = notes.keep("file", lambda: _uploaded(client, material))
        job = notes.keep("job", lambda: _begun(client, config, file, notes.key))
        ended = _polled(client, job, notes)
        curve = _curve(client, ended)
    facts = {**template_facts(gathered(material.specs)), "train_on": config.train_on, "loss_on": config.loss_on, "seed": config.seed}
    facts["student"] = str(config.model)
    endpoint = "chat" if settings.form == "messages" else "completions"
    model = str(ended["fine_tuned_model"])
    write_hosted(config.output, Hosted(model, str(config.model), settings.base_url, settings.api_key_env, endpoint, material.system, facts))
    if curve:
        write_jsonl(config.output / "metrics.jsonl", curve)
    tokens = ended.get("trained_tokens")
    metrics = {"seconds": round(time.monotonic() - started, 1)} | ({"train_loss": curve[-1]["loss"]} if curve else {})
    told = {"trained_tokens": tokens} if isinstance(tokens, int) else {}
    say(f"finetune: {model} is trained; `evaluate --input {config.output}` measures it.")
    return Outcome({"rows": material.rows, "trained": material.rows}, {**metrics, **told}, {**facts, **told, "model": model, "job": job})


class _Notes:
    """What the server has called things, kept for the next attempt; forgotten where another content or other settings are asked for."""

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        found = read_json(path) if path.is_file() else {}
        self.known: dict[str, str] = found if found.get("key") == key else {"key": key}

    def keep(self, name: str, make: Callable[[], str]) -> str:
        if name not in self.known:
            self.known[name] = make()
            write_json(self.path, self.known)
        return self.known[name]

    def forget(self, name: str) -> None:
        del self.known[name]
        write_json(self.path, self.known)


def _asked(config: Tuning) -> dict[str, Any]:
    """What a job is told beside its file."""
    settings = config.backend
    assert isinstance(settings, OpenaiBackend)
    body = {"model": str(config.model), "seed": config.seed, **({"suffix": settings.suffix} if settings.suffix else {})}
    return {**body, **({"hyperparameters": settings.hyperparameters} if settings.hyperparameters else {}), **settings.parameters}


def _uploaded(client: Client, material: Material) -> str:
    """Id of the file, uploaded where the server does not have it."""

    def act() -> str:
        for one in _listed(client, "files", purpose="fine-tune"):
            if one.get("filename") == material.name and one.get("status") not in ("error", "deleted"):
                say(f"finetune: the server has the {material.rows} rows already ({one['id']}).")
                return str(one["id"])
        return _id(client.upload("files", material.name, material.path.read_bytes(), purpose="fine-tune"))

    return _required(client, "uploading the rows", act)


def _begun(client: Client, config: Tuning, file: str, key: str) -> str:
    """Id of the job, begun where the server has no living one for the same."""
    body = {**_asked(config), "training_file": file, "metadata": {"teacherlm": key}}

    def act() -> str:
        for one in _listed(client, "fine_tuning/jobs"):
            same = one.get("training_file") == file and (one.get("metadata") or {}).get("teacherlm") == key
            if same and one.get("status") not in OVER:
                return str(one["id"])
        return _id(client.post("fine_tuning/jobs", body))

    return _required(client, "beginning the job", act)


def _required(client: Client, what: str, act: Callable[[], str]) -> str:
    try:
        return client.patiently(what, act)
    except Missing as error:
        raise UserError(f"{error}; it may have no finetuning, or base_url is not right (most end in /v1).") from None


def _listed(client: Client, path: str, **query: str) -> Iterator[Mapping[str, Any]]:
    """All pages; nothing where the server keeps no list."""
    after: dict[str, str] = {}
    while True:
        try:
            page = client.get(path, limit=100, **query, **after)
        except Missing:
            return
        found = [one for one in page.get("data") or [] if isinstance(one, dict) and one.get("id")]
        yield from found
        if not page.get("has_more") or not found or after.get("after") == found[-1]["id"]:
            return
        after = {"after": str(found[-1]["id"])}


def _id(answer: Mapping[str, Any]) -> str:
    if not isinstance(answer.get("id"), str):
        raise Passing("an answer without an id")
    return str(answer["id"])


def _polled(client: Client, job: str, notes: _Notes) -> Mapping[str, Any]:
    """The job when it has succeeded. Raises: UserError with the server's reason where it has not."""
    seconds, status = client.settings.poll_seconds, ""
    while True:
        try:
            found = client.patiently(f"looking at job {job}", lambda: client.get(f"fine_tuning/jobs/{job}"))
        except Missing as error:
            notes.forget("job")
            raise UserError(f"{error}: job {job} is not known there any more; the same command begins a new one.") from None
        if found.get("status") != status:
            status = str(found.get("status"))
            say(f"finetune: job {job}: {status}.")
        if status == "succeeded" and found.get("fine_tuned_model"):
            return found
        if status in OVER:
            notes.forget("job")
            reason = client.scrub(str((found.get("error") or {}).get("message") or "the server gives no reason"))
            raise UserError(f"{client.url}: job {job} {status}: {' '.join(reason.split()).rstrip('.')}; the same command begins a new one.")
        client.pause(seconds, f"job {job} is {status}")
        seconds = min(LONGEST_PAUSE, seconds * GROWTH)


def _curve(client: Client, job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """{step, loss} from the job's file of results; nothing where there is none that can be read: the student is trained all the same."""
    files = [str(one) for one in job.get("result_files") or [] if isinstance(one, str)]
    if not files:
        return []
    try:
        return list(_losses(client.patiently("reading the results", lambda: client.get_text(f"files/{files[0]}/content"))))
    except (Missing, UserError) as error:
        say(f"finetune: the job's losses cannot be read ({error}).")
        return []


def _losses(text: str) -> Iterator[dict[str, Any]]:
    """A CSV, which OpenAI puts into base64."""
    if "," not in text.partition("\n")[0]:
        try:
            text = base64.b64decode(text, validate=True).decode()
        except (binascii.Error, ValueError):
            return
    for row in csv.DictReader(io.StringIO(text)):
        try:
            yield {"step": int(row["step"]), "loss": float(row["train_loss"])}
        except (KeyError, TypeError, ValueError):
            continue
