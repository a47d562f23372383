"""Ask a teacher for rationales: cot, error and fundamental side by side; killed at any moment, it continues where it was."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from pydantic import BeforeValidator, Field, field_validator

from teacherlm.asking import Drop, Row, Terms, Way
from teacherlm.catalog import EngineChoice, WayChoice, find
from teacherlm.errors import UserError, unknown
from teacherlm.log import Progress, progress, say
from teacherlm.prompts import KINDS
from teacherlm.records import TOO_LONG, Completion, Engine, Load, Request, Sampling, model_name
from teacherlm.stage import Alias, Input, Outcome, Runtime, Stage, StageConfig
from teacherlm.store.files import read_jsonl, work_folder, writing
from teacherlm.store.ledger import Ledger
from teacherlm.store.manifest import require_finished

DROPPED = "dropped.jsonl"
LEDGER = "ledger"
COUNTED_AT_ONCE = 512


def parse_kinds(value: Any) -> Any:
    """`cot_text,error` -> ["cot", "error"], in the order of KINDS. Raises: UserError for an unknown kind."""
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)):
        return value
    names = [str(word).strip().removesuffix("_text") for word in words]
    for name in names:
        if name not in KINDS:
            raise unknown("kind", name, KINDS)
    return [kind for kind in KINDS if kind in names]


class EnhanceConfig(StageConfig):
    output: Runtime[Path]
    """Folder to write <NAME>_<kinds>.jsonl into; or the .jsonl file itself (its ledger then lies in <file>.work/)."""
    input: Input
    """Folder written by `prepare`, or a .jsonl file with cot_text, error_text or fundamental_text."""
    teacher: Annotated[EngineChoice, Alias("--name", key="model"), Alias("--dtype", key="dtype")]
    """The engine and its settings: {name: transformers, model: FOLDER_OR_HUB_ID}; `--name MODEL` alone will do."""
    kinds: Annotated[list[str], BeforeValidator(parse_kinds), Field(min_length=1), Alias("--task_type")] = list(KINDS)
    """Kinds of rationale: cot, error, fundamental. The originals' cot_text, error_text, fundamental_text mean the same."""
    way: WayChoice = Field(default="rationalise", validate_default=True)
    """How the teacher is asked; rationalise: it explains the gold answer."""
    max_new_tokens: Annotated[int, Alias("--num_tokens"), Field(ge=1)] = 2048
    """Longest rationale; a prompt near the end of the model's context gets what is left of it."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0 is greedy. The original sampled, unseeded, at temperature 1 and top_k 50."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Sample from the smallest set of tokens with this probability; 1 is off."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Sample from the most likely tokens only; 0 is off."""
    stop: list[Annotated[str, Field(min_length=1)]] = ["\nQ:"]
    """A rationale ends before the first of these: a teacher that runs on asks itself the next question. The original had none: []."""
    seed: int = 0
    """Decides what is sampled, for each request by itself: batches and shards do not matter."""
    limit: Annotated[int | None, Field(ge=1)] = None
    """Only the first questions."""
    on_overlong: Literal["fail", "drop"] = "fail"
    """A prompt that fills the model's context: fail before anything is asked, or drop the question with that reason."""
    shard: Runtime[str | None] = None
    """i/n: ask only the i-th of n slices (from 0) and write no rows; the run without it finds the answers and writes the file."""
    batch_size: Annotated[Runtime[int | None], Field(ge=1)] = None
    """Most rows in a batch; by default as many as batch_tokens allows."""
    batch_tokens: Annotated[Runtime[int], Field(ge=1)] = 16384
    """Tokens (prompts and continuations) that the engine may hold at once."""

    @field_validator("shard")
    @classmethod
    def _is_a_slice(cls, value: str | None) -> str | None:
        if value is not None:
            parse_shard(value)
        return value

    @property
    def sampling(self) -> Sampling:
        """Greedy choice is the same whatever top_p and top_k say, so they do not make another request of it."""
        stop = tuple(self.stop)
        return Sampling(self.temperature, self.top_p, self.top_k, stop) if self.temperature else Sampling(stop=stop)


def parse_shard(shard: str) -> tuple[int, int]:
    """ "3/16" -> (3, 16). Raises: UserError."""
    found = re.fullmatch(r"(\d+)/(\d+)", shard)
    if not found or int(found[1]) >= int(found[2]):
        raise UserError(f"expected i/n with i from 0 to n-1, such as 3/16, found '{shard}'.")
    return int(found[1]), int(found[2])


def enhance(config: EnhanceConfig) -> Outcome:
    """Asks what the ledger does not know, until nothing is missing; then writes the rows in the order of the questions."""
    source = find_questions(config.input)
    engine: Engine = find("engines", config.teacher.name).build(config.teacher, config.seed, Load(config.batch_tokens, config.batch_size))
    terms = Terms(model_name(engine.identity), tuple(config.kinds), config.max_new_tokens, config.sampling)
    with Ledger(work_folder(config.output) / LEDGER) as ledger:
        asking = Asking(config, source, engine, ledger, terms, find("ways", config.way.name).build(config.way))
        started = time.monotonic()
        asked = asking.ask_all()
        seconds = time.monotonic() - started
        facts = {"engine": engine.identity, **_rate(asked, seconds)}
        if config.shard:
            return Outcome(counts={"questions": sum(1 for _ in asking.questions()), "asked": asked["asked"]}, facts=facts)
        written = asking.write(output_file(config, source), work_folder(config.output) / DROPPED)
    facts |= {**written.tokens, "finish": dict(sorted(written.finishes.items()))}
    return Outcome(counts={**written.counts, "asked": asked["asked"]}, facts=facts)


def find_questions(path: Path) -> Path:
    """The .jsonl of an input. Raises: UserError unless there is exactly one."""
    require_finished(path)
    if path.is_file():
        return path
    found = sorted(file for file in path.glob("*.jsonl") if file.name != DROPPED and not file.name.startswith("."))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise UserError(f"{path}: expected one .jsonl of questions, found {names}; run `prepare` first, or name the file itself.")
    return found[0]


def output_file(config: EnhanceConfig, source: Path) -> Path:
    """`CREAK.jsonl` -> `CREAK_cot_error.jsonl` in the output folder."""
    if config.output.suffix == ".jsonl":
        return config.output
    return config.output / f"{source.stem}_{'_'.join(config.kinds)}.jsonl"


@dataclass(frozen=True)
class Replay:
    """How far a question's conversation got: to its result, or to requests that are not answered yet."""

    result: Row | Drop | None = None
    missing: list[tuple[str, Request]] = field(default_factory=list)
    told: list[Completion] = field(default_factory=list)


@dataclass
class Written:
    """Sums over the rows written."""

    counts: Counter[str] = field(default_factory=lambda: Counter(questions=0, rows=0, dropped=0))
    tokens: Counter[str] = field(default_factory=Counter)
    finishes: Counter[str] = field(default_factory=Counter)

    def add(self, replay: Replay) -> None:
        self.counts.update(("questions", "dropped" if isinstance(replay.result, Drop) else "rows"))
        for completion in replay.told:
            self.tokens.update({"tokens": completion.tokens, "prompt_tokens": completion.prompt_tokens})
            self.finishes[completion.finish] += 1


@dataclass
class Asking:
    """One run's questions, and the ledger that answers or does not answer them yet."""

    config: EnhanceConfig
    source: Path
    engine: Engine
    ledger: Ledger
    terms: Terms
    way: Way

    def questions(self) -> Iterator[tuple[str, Row]]:
        """(`file:line`, row) of this run's slice."""
        index, of = parse_shard(self.config.shard) if self.config.shard else (0, 1)
        for number, row in islice(islice(read_jsonl(self.source), self.config.limit), index, None, of):
            yield f"{self.source}:{number}", row

    def ask_all(self) -> Counter[str]:
        """Passes over the questions until one asks nothing. Returns: requests asked and tokens written now."""
        asked: Counter[str] = Counter()
        while waiting := self.survey():
            before = len(self.ledger)
            with progress("enhance", waiting, "completions") as bar:
                for completion in self.engine.complete(self.missing()):
                    self.ledger.append([completion])
                    asked.update({"asked": 1, "tokens": completion.tokens, "prompt_tokens": completion.prompt_tokens})
                    _show(bar, asked)
            if len(self.ledger) == before:
                raise RuntimeError(f"the engine {self.engine.identity} returned none of {waiting} completions")
        return asked

    def survey(self) -> int:
        """How many requests are missing. Raises: UserError, before any of them is asked, when a prompt fits no context."""
        waiting, over, first = 0, 0, ""
        requests = (request for _, request in self.missing())
        while part := list(islice(requests, COUNTED_AT_ONCE)):
            waiting += len(part)
            context = self.engine.context if self.config.on_overlong == "fail" else None
            if context is not None:
                lengths = self.engine.count_tokens([request.prompt for request in part])
                places = [f"{request.where}: the prompt has {n} tokens" for n, request in zip(lengths, part, strict=True) if n >= context]
                over += len(places)
                first = first or next(iter(places), "")
        if over:
            others = f" ({over - 1} more are too long)" if over > 1 else ""
            advice = "shorten it, or drop such questions (on_overlong: drop)"
            raise UserError(f"{first}, the model's context is {self.engine.context}{others}; {advice}.")
        return waiting

    def missing(self) -> Iterator[tuple[str, Request]]:
        """(key, request) of what has to be asked now, each key once: datasets repeat questions."""
        seen: set[str] = set()
        for where, row in self.questions():
            for key, request in self.replay(where, row).missing:
                if key not in seen:
                    seen.add(key)
                    yield key, request

    def replay(self, where: str, row: Row) -> "Replay":
        """A question's conversation as far as the ledger carries it."""
        conversation = self.way(row, self.terms, where, 0)
        told: list[Completion] = []
        try:
            requests = next(conversation)
            while True:
                keys = [request.key(self.engine.identity) for request in requests]
                found = {key: completion for key in keys if (completion := self.find(key)) is not None}
                if len(found) < len(set(keys)):
                    return Replay(missing=[pair for pair in zip(keys, requests, strict=True) if pair[0] not in found])
                told += [found[key] for key in keys]
                requests = conversation.send(told[-len(keys) :])
        except StopIteration as end:
            return Replay(end.value, told=told)

    def find(self, key: str) -> Completion | None:
        """What an earlier run dropped as too long is asked again by one that fails on it."""
        if key not in self.ledger:
            return None
        found = self.ledger[key]
        return None if self.config.on_overlong == "fail" and found.error.startswith(TOO_LONG) else found

    def write(self, rows: Path, dropped: Path) -> Written:
        """Rows in the order of the questions; questions = rows + dropped."""
        written = Written()
        with writing(dropped) as drops, writing(rows) as file:
            for where, row in self.questions():
                replay = self.replay(where, row)
                assert replay.result is not None, f"{where}: an answer of the last pass is gone"
                written.add(replay)
                if isinstance(replay.result, Drop):
                    drops.write(orjson.dumps({**row, "reason": replay.result.reason}, option=orjson.OPT_APPEND_NEWLINE))
                else:
                    file.write(orjson.dumps(replay.result, option=orjson.OPT_APPEND_NEWLINE))
        if written.counts["dropped"]:
            say(f"enhance: {written.counts['dropped']} of {written.counts['questions']} questions were dropped; {dropped} says why.")
        return written


def _show(bar: Progress, asked: Counter[str]) -> None:
    bar.advance(note=f"{asked['tokens']} tokens")


def _rate(asked: Counter[str], seconds: float) -> dict[str, Any]:
    """Of this run alone: what was found in the ledger cost nothing."""
    rate = asked["tokens"] / seconds if asked["tokens"] else 0.0
    return {"tokens_asked": asked["tokens"], "seconds_asked": round(seconds, 3), "tokens_per_second": round(rate, 1)}


STAGE = Stage(enhance, EnhanceConfig, version=1, sharded=True, keeps=(LEDGER,))
