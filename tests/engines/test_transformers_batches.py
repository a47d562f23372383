"""Rows that join and leave, beginnings read once, memory that runs out, a wish to stop: none of it changes a text or loses one."""

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as t

from teacherlm import interrupt
from teacherlm.engines.bodies import decoding
from teacherlm.engines.bodies.batches import CausalModel
from teacherlm.engines.bodies.loading import load_model
from teacherlm.engines.bodies.memory import run_out_of_memory
from teacherlm.engines.bodies.prefixes import common_prefix, find_groups
from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.prompts import SUFFIX
from teacherlm.records import Completion, Load, Request, Sampling

QUESTIONS = [
    "Q: Is it so that the little red bird flew over the big tree? (A) True (B) False A: The answer is (B).",
    "Q: Tom has a ball. Lily has two. Who has more? A: The answer is Lily.",
    "Q: Did the dog eat the cake, and was the cat sad, and did mom come home early to see it all? A: The answer is (A).",
    "Q: One? A: The answer is 1.",
    "Q: Where did the girl go when it began to rain in the park near the old house? A: The answer is home.",
]
KINDS = [question + suffix for question in QUESTIONS for suffix in SUFFIX.values()]
WARM = Sampling(temperature=0.9, top_p=0.95, top_k=50)

pytestmark = [pytest.mark.slow, pytest.mark.real]


@pytest.fixture(scope="module")
def loaded(stories260k: Path) -> tuple[Any, Any]:
    return load_model(str(stories260k), "main", "float32", "cpu", False)


def engine_of(loaded: tuple[Any, Any], **load: Any) -> TransformersEngine:
    return TransformersEngine(*loaded, "stories", Load(**load))


def requests_of(prompts: Sequence[str], tokens: Callable[[int], int], sampling: Sampling) -> list[Request]:
    return [Request(prompt, tokens(index), sampling, sample=index) for index, prompt in enumerate(prompts)]


def told(engine: TransformersEngine, requests: Sequence[Request]) -> list[Completion]:
    found = list(engine.complete((request.key("x"), request) for request in requests))
    assert Counter(one.key for one in found) == Counter(request.key("x") for request in requests), "one completion for each request"
    by_key = {one.key: one for one in found}
    return [by_key[request.key("x")] for request in requests]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """(rows, columns) of everything the model is given."""
    shapes: list[tuple[int, int]] = []
    original = CausalModel.read

    def counting(self: CausalModel, ids: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        shapes.append((ids.shape[0], ids.shape[1]))
        return original(self, ids, *args, **kwargs)

    monkeypatch.setattr(CausalModel, "read", counting)
    yield shapes


@pytest.mark.parametrize("sampling", [Sampling(), WARM], ids=["greedy", "sampled"])
@pytest.mark.parametrize("load", [{"rows": 3}, {"tokens": 900}, {"tokens": 2500}], ids=str)
def test_rows_that_join_a_running_batch_write_what_they_write_alone(loaded: tuple[Any, Any], load: dict[str, int], sampling: Sampling):
    lengths = [random.Random(index).choice((1, 2, 5, 20, 60)) for index in range(60)]
    requests = requests_of(KINDS * 4, lambda index: lengths[index], sampling)
    assert told(engine_of(loaded, **load), requests) == told(engine_of(loaded, rows=1), requests)


def test_a_batch_is_refilled_while_long_rows_run(loaded: tuple[Any, Any], read: list[tuple[int, int]]):
    requests = requests_of(KINDS * 4, lambda index: 100 if index == 0 else 5, Sampling())
    told(engine_of(loaded, rows=6), requests)
    steps = [rows for rows, columns in read if columns == 1]
    assert len(steps) < 130, "the long row's 100 steps carry the others: by sixes they would need 40 more, in batches of their own"
    assert max(steps) == 6


def test_a_running_batch_takes_newcomers_longer_than_itself(loaded: tuple[Any, Any]):
    engine = engine_of(loaded)
    lines = [engine.encode([prompt])[0] for prompt in ("Tom", "Lily likes", KINDS[0])]
    with torch.inference_mode():
        short = engine.reader.begin(lines[:2])
        short.extend(short.scores.argmax(-1))
        long = engine.reader.begin(lines[2:])
        long.extend(long.scores.argmax(-1))
        alone = engine.reader.begin(lines[2:])
        alone.extend(alone.scores.argmax(-1))
        assert short.keep([1], long, [0]) == [2, 1], "the newcomer lies where a row has left"
        for batch in (short, alone):
            batch.step()
    assert torch.allclose(short.scores[0], alone.scores[0], atol=1e-4)


@pytest.mark.parametrize("sampling", [Sampling(), WARM], ids=["greedy", "sampled"])
def test_the_kinds_of_a_question_and_its_samples_are_read_once_and_write_the_same(
    loaded: tuple[Any, Any], read: list[tuple[int, int]], sampling: Sampling
):
    requests = requests_of([prompt for prompt in KINDS for _ in range(3)], lambda index: 12, sampling)
    shared = told(engine_of(loaded), requests)
    tokens = sum(rows * columns for rows, columns in read if columns > 1)
    read.clear()
    alone = told(engine_of(loaded, rows=1), requests)
    assert shared == alone
    assert tokens < 0.5 * sum(rows * columns for rows, columns in read if columns > 1)


def test_few_shot_prompts_are_read_once_for_all_questions(loaded: tuple[Any, Any], read: list[tuple[int, int]]):
    shots = " ".join(QUESTIONS)
    prompts = [f"{shots} {question}" for question in QUESTIONS] + ["Tom", "One day"]
    engine = engine_of(loaded)
    shared = told(engine, requests_of(prompts, lambda index: 8, Sampling()))
    tokens = sum(rows * columns for rows, columns in read if columns > 1)
    assert tokens < 0.5 * sum(engine.count_tokens(prompts))
    assert shared == told(engine_of(loaded, rows=1), requests_of(prompts, lambda index: 8, Sampling()))


def test_groups_keep_every_row_once_and_never_share_the_last_token():
    draw = random.Random(1)
    for _ in range(300):
        lines = [[draw.randrange(2) for _ in range(draw.randrange(1, 9))] for _ in range(draw.randrange(1, 12))]
        groups = find_groups(lines)
        assert sorted(row for group in groups for row in group.rows) == list(range(len(lines)))
        for group in groups:
            assert len(group.rows) > 1 or group.shared == 0
            for row in group.rows:
                assert lines[row][: group.shared] == lines[group.rows[0]][: group.shared]
                assert group.shared < len(lines[row])
    assert common_prefix([1, 2, 3], [1, 2, 4]) == 2 and common_prefix([], [1]) == 0 and common_prefix([5, 6], [5, 6]) == 2


def tiny(family: str, size: int) -> Any:
    torch.manual_seed(0)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "vocab_size": size}
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2}
    if family == "mistral":
        return t.MistralForCausalLM(t.MistralConfig(**small, **ids, sliding_window=24))
    if family == "gemma2":
        return t.Gemma2ForCausalLM(t.Gemma2Config(**small, **ids, head_dim=8, sliding_window=24))
    if family == "lfm2":
        return t.Lfm2ForCausalLM(t.Lfm2Config(**small, **ids, layer_types=["conv", "full_attention", "conv"]))
    if family == "gpt2":
        return t.GPT2LMHeadModel(t.GPT2Config(n_embd=32, n_layer=2, n_head=4, **ids))
    if family == "bloom":
        return t.BloomForCausalLM(t.BloomConfig(hidden_size=32, n_layer=2, n_head=4, **ids))
    assert family == "opt"
    return t.OPTForCausalLM(
        t.OPTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64, word_embed_proj_dim=32, **ids)
    )


@pytest.mark.parametrize("family", ["mistral", "gemma2", "lfm2", "gpt2", "bloom", "opt"])
def test_other_families_share_and_join_without_a_change(loaded: tuple[Any, Any], family: str):
    # float64, so that no two of a random model's logits are as near as the error of batching; BLOOM's masks overflow in it.
    model = tiny(family, len(loaded[1])).to(torch.float32 if family == "bloom" else torch.float64).eval()
    requests = requests_of(KINDS, lambda index: 3 + 5 * index % 17, Sampling())
    found = told(TransformersEngine(model, loaded[1], family, Load(rows=4)), requests)
    for request, one in zip(requests, found, strict=True):
        given = loaded[1](request.prompt, return_tensors="pt", return_token_type_ids=False)
        whole = model.generate(**given, max_new_tokens=request.max_new_tokens, do_sample=False)[0]
        assert one.text.strip() == loaded[1].decode(whole[given.input_ids.shape[1] :], skip_special_tokens=True).strip()


def test_an_encoder_decoder_encodes_equal_prompts_once(loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch):
    small = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    torch.manual_seed(0)
    model = t.T5ForConditionalGeneration(t.T5Config(vocab_size=len(loaded[1]), decoder_start_token_id=0, **small)).double().eval()
    rows: list[int] = []
    model.get_encoder().register_forward_pre_hook(lambda module, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True)
    requests = requests_of([prompt for prompt in QUESTIONS for _ in range(4)], lambda index: 4 + index % 5, WARM)
    shared = told(TransformersEngine(model, loaded[1], "t5"), requests)
    assert rows == [len(QUESTIONS)]
    assert shared == told(TransformersEngine(model, loaded[1], "t5", Load(rows=1)), requests)


def limited(stories260k: Path, fails: Callable[[torch.Tensor], bool], error: Exception) -> Any:
    """The model on a machine that cannot hold everything."""
    model = t.LlamaForCausalLM.from_pretrained(stories260k, dtype="float32").eval()

    def look(module: Any, args: Any, kwargs: Any) -> None:
        if fails(kwargs["input_ids"]):
            raise error

    model.register_forward_pre_hook(look, with_kwargs=True)
    return model


def test_out_of_memory_makes_batches_smaller_and_loses_nothing(
    loaded: tuple[Any, Any], stories260k: Path, capsys: pytest.CaptureFixture[str]
):
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has nothing.")
    small = limited(stories260k, lambda ids: len(ids) > 4, error)
    requests = requests_of(KINDS, lambda index: 4 + 10 * (index % 3), WARM)
    engine = TransformersEngine(small, loaded[1], "stories", Load(tokens=100_000))
    assert told(engine, requests) == told(engine_of(loaded), requests)
    notices = [line for line in capsys.readouterr().err.splitlines() if line.startswith("notice")]
    assert notices and all(line.startswith("notice: out of memory; batches hold ") for line in notices)
    assert engine.room.tokens < 1000
    assert told(engine, requests) and "notice" not in capsys.readouterr().err, "the smaller budget stays"


def test_a_row_that_does_not_fit_alone_is_an_error_and_the_rest_goes_on(loaded: tuple[Any, Any], stories260k: Path):
    error = RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: 9 bytes.")
    narrow = limited(stories260k, lambda ids: ids.shape[1] > 90, error)
    requests = requests_of([*QUESTIONS[:2], "word " * 100, QUESTIONS[3]], lambda index: 6, Sampling())
    found, expected = told(TransformersEngine(narrow, loaded[1], "stories"), requests), told(engine_of(loaded), requests)
    assert [one.text for one in found[:2] + found[3:]] == [one.text for one in expected[:2] + expected[3:]]
    assert found[2].finish == "error" and found[2].error == "out of memory: can't allocate memory: 9 bytes"


def test_another_error_is_not_taken_for_memory():
    def fails() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        run_out_of_memory(fails)


LIMITED = """
import json, resource, sys
from teacherlm.engines.bodies.loading import load_model
from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.records import Load, Request
model, tokenizer = load_model(sys.argv[1], "main", "float32", "cpu", False)
requests = [(str(i), Request(f"{i} " + "word " * 80, 3)) for i in range(300)]
list(TransformersEngine(model, tokenizer, "s").complete(requests[:3]))
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
if int(sys.argv[2]):
    resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[2]), resource.RLIM_INFINITY))
engine = TransformersEngine(model, tokenizer, "s", Load(tokens=10_000_000))
told = sorted((int(one.key), one.text, one.finish) for one in engine.complete(requests))
print(json.dumps(told))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS")
def test_a_real_shortage_of_memory_changes_no_text(stories260k: Path):
    """How much a process has to spare beside what it holds varies, so less and less is given until it runs short."""

    def run(limit: int) -> tuple[list[Any], str]:
        done = subprocess.run([sys.executable, "-c", LIMITED, str(stories260k), str(limit)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), done.stderr

    free, told = run(0)
    assert len(free) == 300 and "notice" not in told
    for limit in (150, 100, 60):
        limited, told = run(limit << 20)
        assert limited == free
        if "notice: out of memory; batches hold" in told:
            return
    raise AssertionError("it never ran short")


def test_a_wish_to_stop_finishes_what_is_in_hand_and_begins_nothing(loaded: tuple[Any, Any], read: list[tuple[int, int]]):
    requests = requests_of(KINDS * 4, lambda index: 5 + index % 7, Sampling())
    with interrupt.interruptible():
        writing = engine_of(loaded, rows=6).complete((request.key("x"), request) for request in requests)
        first = next(writing)
        interrupt.ask_to_stop("SIGTERM")
        prompts = sum(columns > 1 for _, columns in read)
        rest = list(writing)
        assert 0 < len(rest) < 12 and len({first.key, *(one.key for one in rest)}) == 1 + len(rest)
        assert sum(columns > 1 for _, columns in read) == prompts, "no prompt was read any more"
        assert not list(engine_of(loaded).complete((request.key("x"), request) for request in requests))


def test_what_rows_wrote_decides_how_many_are_taken(loaded: tuple[Any, Any], read: list[tuple[int, int]]):
    requests = requests_of(["Tom"] * 200, lambda index: 500, Sampling(stop=(".",)))  # thought to write 256, they write about 15
    told(engine_of(loaded, tokens=2000), requests)
    assert decoding.EXPECTED_TOKENS == 256
    assert read[0][0] * 258 <= 2000 < max(rows for rows, _ in read) * 100
