"""Ask a teacher for rationales: cot, error and fundamental side by side; killed at any moment, it continues where it was."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from teacherlm import interrupt
from teacherlm.asking import Terms
from teacherlm.budget import Budget, Prices
from teacherlm.catalog import EngineChoice, WayChoice, find
from teacherlm.errors import Stopped, UserError, unknown
from teacherlm.log import say
from teacherlm.prompts import KINDS
from teacherlm.records import Engine, Load, Sampling, model_name
from teacherlm.stage import Alias, Input, Outcome, Runtime, Stage, StageConfig
from teacherlm.store.files import DROPPED, only_jsonl, work_folder
from teacherlm.store.fingerprint import digest
from teacherlm.store.manifest import require_finished

if TYPE_CHECKING:
    from teacherlm.questioning import Questioning
    from teacherlm.store.ledger import Ledger

LEDGER = "ledger"
SPECIALISTS = {"teacherlm-cot": "cot", "teacherlm-commonmistake": "error", "teacherlm-fundamental": "fundamental"}
"""Published teachers that were trained for one kind alone."""


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
    way: Annotated[WayChoice, Alias("--template", key="file")] = Field(default="rationalise", validate_default=True)
    """How the teacher is asked: rationalise (explain the gold answer), solve, few_shot, solve_then_hint; FILE.j2: prompts of your own."""
    samples: Annotated[int, Field(ge=1)] = 1
    """Attempts at each question; distinct ones become rows of their own. Needs a temperature above 0."""
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
    top_logprobs: Annotated[int, Field(ge=0)] = 0
    """Also keep, in the ledger, so many of the teacher's most likely tokens at each token it writes, with their log-probabilities (20 is
    usual): `finetune` distils from them without a teacher. The column <kind>_logprobs names them."""
    seed: int = 0
    """Decides what is sampled, for each request by itself: batches and shards do not matter."""
    limit: Annotated[int | None, Field(ge=1)] = None
    """Only the first questions."""
    on_overlong: Literal["fail", "drop"] = "drop"
    """A prompt that fills the model's context: drop the question with that reason, or fail before anything is asked."""
    max_tokens_total: Annotated[Runtime[int | None], Field(ge=1)] = None
    """Stop cleanly once so many tokens (prompts and continuations, earlier runs included) are used; raise it to go on."""
    max_cost: Annotated[Runtime[float | None], Field(gt=0)] = None
    """Stop cleanly once so much is spent, at `prices`; raise it to go on."""
    prices: Runtime[Prices] = Prices()
    """Money for a million tokens: {prompt: 2.5, completion: 10}."""
    estimate: Runtime[bool] = False
    """Ask 32 questions only and say how long the whole will take, how many tokens, what it costs. Their answers are kept."""
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

    @field_validator("way", mode="before")
    @classmethod
    def _may_be_a_template(cls, value: Any) -> Any:
        """A file, or settings of a template without its name."""
        if isinstance(value, str) and value.endswith((".j2", ".jinja", ".jinja2")):
            return {"name": "template", "file": value}
        return {"name": "template", **value} if isinstance(value, dict) and "file" in value else value

    @model_validator(mode="before")
    @classmethod
    def _template_is_a_way(cls, values: Any) -> Any:
        """`template: file.j2` in a YAML."""
        if isinstance(values, dict) and "template" in values and "way" not in values:
            return {**{key: value for key, value in values.items() if key != "template"}, "way": values["template"]}
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> "EnhanceConfig":
        if self.samples > 1 and self.temperature == 0:
            raise UserError(f"samples: {self.samples} attempts at temperature 0 are all the same; give a temperature, such as 0.7.")
        others = [kind for kind in self.kinds if kind not in self._possible]
        if others and self.kinds != list(KINDS):  # all kinds, the default, are all that the way has
            raise UserError(f"kinds: the way '{self.way.name}' writes {', '.join(self._possible)} only, not {others[0]}.")
        if self.max_cost is not None and not (self.prices.prompt or self.prices.completion):
            raise UserError("max_cost: needs prices, such as prices: {prompt: 2.5, completion: 10} for a million tokens.")
        return self

    @property
    def _possible(self) -> tuple[str, ...]:
        return tuple(getattr(self.way, "kinds", KINDS))

    @property
    def asked_kinds(self) -> tuple[str, ...]:
        """The kinds that this way of asking writes."""
        return tuple(kind for kind in self.kinds if kind in self._possible)

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
    from teacherlm.inquiry import Inquiry  # here, because `--help` needs none of them
    from teacherlm.interview import Interview
    from teacherlm.questioning import Questioning, Slice
    from teacherlm.store.ledger import Ledger

    source = find_questions(config.input)
    way = find("ways", config.way.name).build(config.way)
    engine: Engine = find("engines", config.teacher.name).build(config.teacher, config.seed, Load(config.batch_tokens, config.batch_size))
    terms = Terms(model_name(engine.identity), config.asked_kinds, config.max_new_tokens, config.sampling, config.top_logprobs)
    warn_of_wrong_specialist(terms)
    index, of = parse_shard(config.shard) if config.shard else (0, 1)
    place = work_folder(config.output)
    with Ledger(place / LEDGER) as ledger, interrupt.interruptible():
        questions = Questioning(Slice(source, config.limit, index, of), Inquiry(engine, ledger), way, terms, config.samples)
        interview = Interview(questions, _budget(config, ledger), place / LEDGER, _settings(config, questions))
        if config.on_overlong == "fail":
            questions.refuse_overlong()
        if config.estimate:
            raise Stopped(interview.estimate(), 0)
        if config.shard:
            interview.ask()
            return Outcome({"questions": questions.slice.count, **interview.counts()}, facts=interview.facts())
        written = interview.ask_and_write(output_file(config, source), place / DROPPED)
    if written.counts["dropped"]:
        say(f"enhance: {written.counts['dropped']} of {written.counts['questions']} questions were dropped; {place / DROPPED} says why.")
    facts = {**interview.facts(), **written.tokens, "finish": dict(sorted(written.finishes.items()))}
    return Outcome(counts={**written.counts, **interview.counts()}, facts=facts)


def find_questions(path: Path) -> Path:
    """The .jsonl of an input. Raises: UserError unless there is exactly one."""
    require_finished(path)
    return only_jsonl(path, "questions", "; run `prepare` first, or name the file itself")


def output_file(config: EnhanceConfig, source: Path) -> Path:
    """`CREAK.jsonl` -> `CREAK_cot_error.jsonl` in the output folder."""
    if config.output.suffix == ".jsonl":
        return config.output
    return config.output / f"{source.stem}_{'_'.join(config.asked_kinds)}.jsonl"


def warn_of_wrong_specialist(terms: Terms) -> None:
    """A teacher trained for one kind writes the others badly; nothing but the output would show it."""
    for name, kind in SPECIALISTS.items():
        others = [other for other in terms.kinds if other != kind]
        if others and name in terms.teacher.lower():
            say(f"warning: {terms.teacher} was trained to write {kind}; it is asked for {', '.join(others)} too.")


def _settings(config: EnhanceConfig, ask: "Questioning") -> str:
    """Names everything that decides which requests there are."""
    stat = ask.slice.source.stat()
    chosen = config.model_dump(mode="json", include={"way", "samples", "limit", "shard"})
    return digest(str(ask.slice.source.resolve()), stat.st_size, stat.st_mtime_ns, ask.inquiry.engine.identity, str(ask.terms), chosen)


def _budget(config: EnhanceConfig, ledger: "Ledger") -> Budget:
    budget = Budget(config.prices, config.max_tokens_total, config.max_cost)
    if budget.is_capped:
        budget.spend(*ledger.spent())
    return budget


STAGE = Stage(enhance, EnhanceConfig, version=1, sharded=True, words=("teacher.model", "input", "output", "kinds"), keeps=(LEDGER,))
