"""lm-eval's own model with our engine beneath its generation: one engine for teacher and student.

Log-likelihoods stay lm-eval's to the last line of code, so numbers by letters equal those of plain `lm_eval`. Encoder-decoders alone
are asked otherwise than there (`beginnings.py`).
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs

from teacherlm.engines.bodies.held import Held
from teacherlm.engines.bodies.pairs import Pairs
from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.engines.transformers import check_model_folder
from teacherlm.engines.vllm import VllmOptions, VllmSettings
from teacherlm.engines.vllm import build as build_vllm
from teacherlm.errors import UserError
from teacherlm.evaluation.beginnings import beginning, moved
from teacherlm.evaluation.kept import InMemory, Kept, as_completion, as_weighed, completed, heed_wish, in_batches, weighed_key
from teacherlm.evaluation.loading import LoadedTask
from teacherlm.evaluation.scoring import Answer
from teacherlm.evaluation.students import LoadOptions, Protocol, Student
from teacherlm.log import progress
from teacherlm.records import Completion, Engine, Load, Request, Sampling

DEFAULT_NEW_TOKENS = 256
"""Where a task names no limit; lm-eval's own default."""
CPU_TOKENS = 2048
"""Most tokens that a CPU reads in one pass where answers are weighed: more of them are slower (benchmarks/evaluate_checkpoints.py)."""
UNLIMITED = 2**31
"""Tokens that an encoder with relative positions may read; lm-eval would take the length a T5 was trained on, and cut."""
UNDERSTOOD = {"until", "max_gen_toks", "do_sample", "temperature", "top_p", "top_k"}


class EngineLM(HFLM):  # type: ignore[misc]
    """A student in memory, as lm-eval sees it.

    Overrides `generate_until`, what an encoder-decoder's answer begins with, and which log-likelihoods are read together, not how.
    """

    add_bos_token: bool | None
    batch_size_per_gpu: int

    def __init__(self, engine: TransformersEngine, batch_size: int, protocol: Protocol = "lm_eval", pairs: Pairs | None = None) -> None:
        noted = logging.getLogger("lm_eval.models.huggingface")
        level = noted.level
        noted.setLevel(logging.ERROR)  # it warns that a model in memory was given, which is the point
        given = {"backend": "seq2seq", "max_length": engine.context or UNLIMITED} if engine.seq2seq else {}
        super().__init__(pretrained=engine.model, tokenizer=engine.tokenizer, batch_size=batch_size, **given)
        noted.setLevel(level)
        self.engine = engine
        self.protocol = protocol
        self.pairs = pairs or Pairs()
        self.kept: Kept = InMemory()

    @contextmanager
    def rendered(self) -> Iterator[None]:
        """While this lasts, prompts bring their special tokens, and none are added."""
        before = self.add_bos_token
        self.add_bos_token, self.engine.texts.rendered = False, True
        try:
            yield
        finally:
            self.add_bos_token, self.engine.texts.rendered = before, False

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        key = context, continuation, self.add_bos_token, self.engine.seq2seq
        return self.pairs.of(key, lambda: self._encode_anew(context, continuation))

    def _encode_anew(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        if self.protocol == "teacherlm" and not self.engine.seq2seq:
            context_ids, continuation_ids = (self.tok_encode(text, add_special_tokens=False) for text in (context, continuation))
        else:
            context_ids, continuation_ids = super()._encode_pair(context, continuation)
        return context_ids, [*self.engine.texts.opening, *continuation_ids]

    def encoding(self, loaded: LoadedTask) -> str:
        """How a question and an answer that is weighed behind it become tokens; "" for a task that weighs none behind a text."""
        weighed = (one.args for one in loaded.task.instances if one.request_type == "loglikelihood" and one.args[0])
        asked = next(weighed, None)
        if asked is None:
            return ""
        first = self._encode_pair(*asked)[0][:1]
        bos = "BOS" if first and first[0] == self.tokenizer.bos_token_id else "no BOS"
        return f"{'apart' if self.protocol == 'teacherlm' or self.engine.seq2seq else 'together'}, {bos}"

    def _loglikelihood_tokens(
        self, requests: Sequence[Any], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """lm-eval reads them, batch by batch, and each is kept; what an earlier attempt has read is not read again."""
        keys = [weighed_key(context, continuation) for _, context, continuation in requests]
        with progress("log-likelihoods", len(requests), "answers") as bar:
            for batch in in_batches(requests, self.batch_size):
                missing = [place for place in batch if keys[place] not in self.kept]
                bar.skip(len(batch) - len(missing))
                if missing:
                    heed_wish()
                    asked = [requests[place] for place in missing]
                    with self._reading(self._rows_at_once(asked)):
                        values = super()._loglikelihood_tokens(asked, True)
                    self.kept.append([as_completion(keys[place], value) for place, value in zip(missing, values, strict=True)])
                    bar.advance(len(missing))
        return [as_weighed(self.kept[key]) for key in keys]

    @contextmanager
    def _reading(self, rows: int) -> Iterator[None]:
        """While this lasts, lm-eval reads so many rows in one pass."""
        before = self.batch_size_per_gpu
        self.batch_size_per_gpu = rows
        try:
            yield
        finally:
            self.batch_size_per_gpu = before

    def _rows_at_once(self, requests: Sequence[Any]) -> int:
        """The whole batch, but on a CPU, whose caches are small."""
        if self.device.type != "cpu":
            return int(self.batch_size)
        longest = max(len(context) + len(continuation) for _, context, continuation in requests)
        return max(1, min(int(self.batch_size), CPU_TOKENS // longest))

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        return [_written(one, f"item {request.doc_id}").text for one, request in zip(self.completions(requests), requests, strict=True)]

    def completions(self, requests: Sequence[Any]) -> list[Completion]:
        """What was written for each of lm-eval's requests, in their order."""
        return _completions(self.engine, requests, self.kept)


def _completions(engine: Engine, requests: Sequence[Any], kept: Kept) -> list[Completion]:
    asked = _requests([request.args for request in requests])
    keys = [request.key(engine.identity) for request in asked]
    told = {key: kept[key] for key in keys if key in kept}
    with progress(requests[0].task_name, len(asked), "answers") as bar:
        bar.skip(len(told))
        for one in completed(engine, list(zip(keys, asked, strict=True)), kept):
            told[one.key] = one
            bar.advance()
    return [told[key] for key in keys]


def _requests(arguments: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Request]:
    """(prompt, lm-eval's generation settings) -> requests; the i-th time the same is asked is its i-th sample."""
    seen: Counter[Request] = Counter()
    found = []
    for prompt, settings in arguments:
        first = Request(prompt, *_limits(settings))
        found.append(Request(prompt, first.max_new_tokens, first.sampling, sample=seen[first]))
        seen[first] += 1
    return found


def _limits(settings: Mapping[str, Any]) -> tuple[int, Sampling]:
    kwargs = normalize_gen_kwargs(dict(settings), DEFAULT_NEW_TOKENS)
    strange = set(kwargs) - UNDERSTOOD
    if strange:
        raise UserError(f"generation_kwargs.{min(strange)}: is not supported; known: {', '.join(sorted(UNDERSTOOD))}.")
    temperature = float(kwargs.get("temperature", 0.0)) if kwargs["do_sample"] else 0.0
    sampling = Sampling(temperature, float(kwargs.get("top_p", 1.0)), int(kwargs.get("top_k", 0)), tuple(s for s in kwargs["until"] if s))
    return int(kwargs["max_gen_toks"]), sampling


def ask(student: "EngineLM | HostedLM", loaded: LoadedTask) -> list[list[Answer]]:
    """What the student answers to every request of a task: one list per request, one answer per repeat."""
    answers: list[list[Answer]] = [[] for _ in loaded.task.instances]
    by_type: dict[str, list[int]] = defaultdict(list)
    for position, instance in enumerate(loaded.task.instances):
        by_type[instance.request_type] += [position] * (instance.repeats or 1)
    for kind, positions in by_type.items():
        for position, answer in zip(positions, _ask(student, kind, loaded, positions), strict=True):
            answers[position].append(answer)
    return answers


def _ask(student: "EngineLM | HostedLM", kind: str, loaded: LoadedTask, positions: Sequence[int]) -> list[Answer]:
    requests = [loaded.task.instances[position] for position in positions]
    if kind != "generate_until":
        assert isinstance(student, EngineLM), "evaluate refuses such tasks behind an API"
        begun = [""] * len(requests)
        if kind == "loglikelihood" and student.engine.seq2seq:
            begun = [beginning(loaded, request.doc, request.args[0]) for request in requests]
            requests = moved(requests, begun)
        values = getattr(student, kind)(requests, disable_tqdm=True)
        return [Answer(value, begun=begin) for value, begin in zip(values, begun, strict=True)]
    answers = []
    for one, request in zip(student.completions(requests), requests, strict=True):
        _written(one, f"task '{loaded.name}', item '{loaded.item_id(request.doc, request.doc_id)}'")
        answers.append(Answer(one.text, one.tokens, finish=one.finish))
    return answers


def _written(one: Completion, where: str) -> Completion:
    """Raises: UserError when nothing could be written, such as after a prompt longer than the model's context."""
    if one.finish == "error":
        raise UserError(f"{where}: {one.error}")
    return one


class HostedLM:
    """A student behind an API, as far as a task that generates needs one."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.kept: Kept = InMemory()

    def completions(self, requests: Sequence[Any]) -> list[Completion]:
        """What was written for each of lm-eval's requests, in their order."""
        return _completions(self.engine, requests, self.kept)

    def encoding(self, loaded: LoadedTask) -> str:
        """It weighs nothing."""
        return ""


class WritingLM(HostedLM):
    """A student that vLLM runs here: it is asked as one in memory is, and only writes."""

    engine: Any
    """A VllmEngine; vLLM is imported where it is wanted only."""

    def tok_encode(self, text: str) -> list[int]:
        [ids] = self.engine.encode([text])
        return list(ids)

    @contextmanager
    def rendered(self) -> Iterator[None]:
        """While this lasts, prompts bring their special tokens, and none are added."""
        before = self.engine.rendered
        self.engine.rendered = True
        try:
            yield
        finally:
            self.engine.rendered = before


def build_student(student: Student, options: LoadOptions, held: Held) -> "EngineLM | HostedLM":
    """A student in memory, or at the other end of the line. `held`: what is there of the one before.

    Raises: UserError when its weights or tokenizer are missing or cannot be loaded.
    """
    if student.api:
        from teacherlm.engines.openai import build

        return HostedLM(build(student.api, options.seed))
    if options.vllm:
        return WritingLM(_in_vllm(student, options, options.vllm))
    if Path(student.path).exists():
        check_model_folder(Path(student.path))
    model, tokenizer = held.load(student.path, options.revision, options.dtype, options.device, options.trust_remote_code)
    identity = f"{student.name}@{student.content}, {options.dtype}, seed {options.seed}"
    engine = TransformersEngine(model, tokenizer, identity, Load(rows=options.batch_size))
    return EngineLM(engine, options.batch_size, options.protocol, held.pairs.of(tokenizer))


def _in_vllm(student: Student, options: LoadOptions, how: VllmOptions) -> Engine:
    """Loaded at once: every cell that comes here has something to ask."""
    own = {"dtype": options.dtype, "trust_remote_code": options.trust_remote_code, "revision": options.revision}
    settings = VllmSettings.model_validate({**how.model_dump(), "model": student.path, **own})
    return build_vllm(settings, options.seed, Load(rows=options.batch_size)).loaded
