"""The vllm engine: vLLM's asynchronous engine in a thread of its own, so that every text comes back as soon as it is finished.

Prompts are encoded, and texts begin and end, as in the transformers engine. Of the model's generation_config only the end tokens
count. vLLM is always given a few more rows than it can write at once: it never waits for work, and little is lost by a kill.
"""

import asyncio
import weakref
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from queue import SimpleQueue
from typing import Any

from vllm import RequestOutput, SamplingParams, TokensPrompt
from vllm.sampling_params import RequestOutputKind

from teacherlm import interrupt
from teacherlm.engines.bodies.sampling import seed_of
from teacherlm.engines.bodies.vllm_process import Running, end_engine
from teacherlm.log import say
from teacherlm.records import Completion, Request, too_long
from teacherlm.store.top_logprobs import from_dicts, packed, vocabulary_of

PART = 64
"""Most requests that are encoded together."""


@dataclass(frozen=True)
class Written:
    completion: Completion
    read: int = 0
    """Prompt tokens that vLLM could have had in its cache."""
    cached: int = 0
    """And had."""


class VllmEngine:
    """Writes with an engine of vLLM that runs in `loop`, in another thread; ends it when nobody holds this object any more."""

    seq2seq = False

    def __init__(
        self,
        running: Running,
        tokenizer: Any,
        identity: str,
        ends: Sequence[int] = (),
        conversation: Sequence[Mapping[str, str]] | None = None,
    ) -> None:
        """`ends`: end tokens beside those of the tokenizer and the generation_config. `conversation`: where the model's chat template
        is asked for, the turns before the prompt."""
        self.engine, self.loop, self.tokenizer, self.identity = running.engine, running.loop, tokenizer, identity
        self.ends, self.conversation = list(ends), conversation
        self.rendered = False
        """Prompts come in the words of a chat template already."""
        config = running.engine.vllm_config
        self.context: int = config.model_config.max_model_len
        at_once = config.scheduler_config.max_num_seqs * config.parallel_config.data_parallel_size
        self.window = at_once + at_once // 8 + 8
        """Rows in hand: as many as vLLM writes at once, and some that wait at its door."""
        self.caches_prefixes = bool(config.cache_config.enable_prefix_caching)
        weakref.finalize(self, end_engine, running)

    def count_tokens(self, prompts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self.encode(self.render(prompts))]

    def render(self, prompts: Sequence[str]) -> list[str]:
        """What the model reads: the prompts, or the conversations that end in them."""
        if self.conversation is None:
            return list(prompts)
        turns = [[*self.conversation, {"role": "user", "content": prompt}] for prompt in prompts]
        return list(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """A chat template brings its special tokens itself."""
        special = self.conversation is None and not self.rendered
        return list(self.tokenizer(list(texts), add_special_tokens=special, verbose=False)["input_ids"])

    def complete(self, requests: Iterable[tuple[str, Request]]) -> Iterator[Completion]:
        waiting = iter(requests)
        writing: dict[str, Future[Written]] = {}
        finished: SimpleQueue[str] = SimpleQueue()
        read = cached = 0
        try:
            while True:
                while (room := self.window - len(writing)) > 0 and not interrupt.wanted():
                    begun = self._begin(list(islice(waiting, min(room, PART))))
                    for key, future in begun:
                        writing[key] = future
                        future.add_done_callback(partial(_note, finished, key))
                    if not begun:
                        break
                if not writing:
                    break
                written = writing.pop(finished.get()).result()
                read += written.read
                cached += written.cached
                yield written.completion
        finally:
            for future in writing.values():
                future.cancel()
        self._tell(read, cached)

    def _begin(self, part: list[tuple[str, Request]]) -> list[tuple[str, "Future[Written]"]]:
        if not part:
            return []
        texts = self.render([request.prompt for _, request in part])
        work: list[tuple[str, Coroutine[Any, Any, Written]]] = []
        for (key, request), text, prompt in zip(part, texts, self.encode(texts), strict=True):
            wholes = [self._continued(text, prompt, option) for option in request.options]
            work.append((key, self._answer(key, request, prompt, wholes)))
        return [(key, asyncio.run_coroutine_threadsafe(one, self.loop)) for key, one in work]

    async def _answer(self, key: str, request: Request, prompt: list[int], wholes: list[list[int]]) -> Written:
        """`wholes`: the prompt with each of the request's options behind it."""
        longest = max(map(len, wholes), default=len(prompt))
        if longest >= self.context:
            return Written(too_long(key, longest, self.context))
        try:
            return await (self._weigh(key, prompt, wholes) if wholes else self._write(key, request, prompt))
        except ValueError as error:  # vLLM refuses this request; the others go on
            return Written(Completion(key, "", "error", len(prompt), error=f"vLLM refuses it: {first_line(error)}"))

    async def _write(self, key: str, request: Request, prompt: list[int]) -> Written:
        params = params_of(key, request, min(request.max_new_tokens, self.context - len(prompt)), self.ends)
        output = await self._ask(key, prompt, params)
        completion = completion_of(key, len(prompt), output)
        if request.top_logprobs and completion.finish != "error":
            completion = replace(completion, top_logprobs=likely_of(output, completion.tokens, request.top_logprobs, self.vocabulary))
        return Written(completion, len(prompt), output.num_cached_tokens or 0)

    @cached_property
    def vocabulary(self) -> str:
        return vocabulary_of(self.tokenizer)

    async def _weigh(self, key: str, prompt: list[int], wholes: list[list[int]]) -> Written:
        """vLLM writes one token behind each whole, because it must write something."""
        if not prompt:
            raise ValueError("there is nothing before the options")
        params = SamplingParams(
            temperature=0.0, max_tokens=1, prompt_logprobs=0, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY
        )
        outputs = await asyncio.gather(*(self._ask(f"{key}-{i}", whole, params) for i, whole in enumerate(wholes)))
        logprobs = tuple(weight_of(output, len(prompt)) for output in outputs)
        return Written(Completion(key, "", "stop", len(prompt), logprobs=logprobs))

    def _continued(self, text: str, prompt: list[int], option: str) -> list[int]:
        """The tokens of both together, where they begin with those of the prompt; else those of each."""
        [whole] = self.encode([text + option])
        if len(whole) > len(prompt) and whole[: len(prompt)] == prompt:
            return whole
        return prompt + list(self.tokenizer(option, add_special_tokens=False, verbose=False)["input_ids"])

    async def _ask(self, name: str, ids: list[int], params: SamplingParams) -> RequestOutput:
        [rendered] = self.engine.renderer.render_cmpl([TokensPrompt(prompt_token_ids=ids)])
        async for output in self.engine.generate(rendered, params, request_id=name):
            if output.finished:
                return output
        raise RuntimeError(f"vLLM left the request {name} without an answer")

    def _tell(self, read: int, cached: int) -> None:
        if read and self.caches_prefixes:
            say(f"vllm: prefix caching is on: {cached / read:.0%} of {read} prompt tokens were there already.")
        elif read:
            say("vllm: prefix caching is off: every prompt was computed in full.")


def _note(finished: "SimpleQueue[str]", key: str, future: "Future[Written]") -> None:
    finished.put(key)


def params_of(key: str, request: Request, budget: int, ends: list[int]) -> SamplingParams:
    """A request's draws depend on its key alone, not on what is written beside it."""
    sampling = request.sampling
    drawing: dict[str, Any] = {"temperature": 0.0}
    if sampling.temperature:
        drawing = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k or -1}
        drawing["seed"] = seed_of(key) & (2**63 - 1)
    stop = list(sampling.stop)
    drawing |= {"logprobs": request.top_logprobs} if request.top_logprobs else {}
    return SamplingParams(max_tokens=budget, stop=stop, stop_token_ids=ends, output_kind=RequestOutputKind.FINAL_ONLY, **drawing)


def completion_of(key: str, prompt_tokens: int, output: RequestOutput) -> Completion:
    """vLLM counts the end token; a stop string's tokens are counted here too, they had to be written."""
    [one] = output.outputs
    if one.finish_reason not in ("stop", "length"):
        return Completion(key, "", "error", prompt_tokens, error=f"vLLM ended it: {one.finish_reason}")
    at_end_token = one.finish_reason == "stop" and not isinstance(one.stop_reason, str)
    return Completion(key, one.text, one.finish_reason, prompt_tokens, len(one.token_ids) - at_end_token)


def likely_of(output: RequestOutput, count: int, k: int, vocabulary: str) -> str:
    """The k most likely at each of the first `count` tokens written. vLLM tells the one that was drawn too, whatever its rank."""
    [one] = output.outputs
    assert one.logprobs is not None
    likely = [{place: found.logprob for place, found in told.items() if (found.rank or 0) <= k} for told in one.logprobs[:count]]
    return packed(from_dicts(list(one.token_ids)[:count], likely, k, vocabulary))


def weight_of(output: RequestOutput, start: int) -> float:
    """Log-probability of the prompt's tokens from `start` on."""
    assert output.prompt_token_ids is not None and output.prompt_logprobs is not None
    total = 0.0
    for token, found in list(zip(output.prompt_token_ids, output.prompt_logprobs, strict=True))[start:]:
        assert found is not None  # only a text's very first token has no probability, and a prompt is before `start`
        total += found[token].logprob
    return total


def first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
