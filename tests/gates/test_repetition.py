import json
from pathlib import Path

import pytest
from gate_cases import built
from hypothesis import given
from hypothesis import strategies as st

from teacherlm.gates.repetition import ends_in_loop, repeated_share
from teacherlm.verify import Rationale


def verdict(text: str, **settings: object) -> str:
    return built("repetition", **settings).verdict(Rationale("cot", text, "A", "letter"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" He saw it." + " They see the box." * 6, "loop"),
        (" He saw it." + " blue" * 20 + " bl", "loop"),
        (" x" + "ha" * 30, "loop"),
        (" We know." + " 5 + ? = 6\n\n" * 8 + "5 +", "loop"),
        (" They see the box. They see the box. Then they go home and sleep.", "fine"),
        (" Jo flips the coin. Al flips the coin. Ed flips the coin. Mo flips the coin.", "fine"),
        ("", "fine"),
        (" " + " and then ".join(["one two three four five six seven"] * 5) + " and so it ends.", "repetitive"),
    ],
)
def test_loops_are_told_from_reasoning_that_repeats_itself(text: str, expected: str) -> None:
    assert verdict(text) == expected


def brute_force(text: str, rounds: float, characters: int) -> bool:
    plain = " ".join(text.split())
    for length in range(characters, len(plain) + 1):
        end = plain[-length:]
        if any(length >= rounds * period and end[period:] == end[:-period] for period in range(1, length)):
            return True
    return False


@given(st.text("ab ", max_size=40), st.sampled_from([2.0, 2.5, 3.0]), st.integers(1, 12))
def test_a_loop_is_what_trying_every_period_finds(text: str, rounds: float, characters: int) -> None:
    assert ends_in_loop(text, rounds, characters) == brute_force(text, rounds, characters)


@given(st.lists(st.sampled_from("abcdef"), min_size=20, max_size=60), st.integers(2, 5))
def test_what_is_said_several_times_is_repeated_for_the_rest_of_it(words: list[str], times: int) -> None:
    assert repeated_share(" ".join(words * times), 4) >= 1 - (len(words) + 3) / (times * len(words) - 3)


@pytest.mark.real
def test_fewer_than_one_in_a_hundred_real_rationales_is_flagged(gpt3: list[Rationale]) -> None:
    flagged = [one.id for one in gpt3 if built("repetition").verdict(one) != "fine"]
    assert 1 <= len(flagged) < 0.01 * len(gpt3)  # GPT-3 looped too: aqua 119, for one
    assert any("5 + ? × 19" in one.text for one in gpt3 if one.id in flagged)


@pytest.mark.real
@pytest.mark.slow
def test_loops_of_a_real_tiny_model_are_caught(stories260k: Path, creak: Path) -> None:
    from teacherlm.engines.transformers import ENGINE, TransformersSettings
    from teacherlm.records import Load, Request

    engine = ENGINE.build(TransformersSettings(model=str(stories260k), dtype="float32"), 0, Load())
    rows = [json.loads(line) for line in (creak / "train.json").read_text().splitlines()[:40]]
    prompts = [f"Q: {row['sentence']} A: The answer is (A). Let's think step by step." for row in rows]
    texts = [one.text for one in engine.complete((str(n), Request(prompt, 256)) for n, prompt in enumerate(prompts))]
    loops = [text for text in texts if brute_force(text[-200:], 3, 60)]
    assert len(loops) >= 4, "the model no longer loops: the test says nothing"
    assert all(verdict(text) == "loop" for text in loops)
    stories = [text for text in texts if repeated_share(text, 4) < 0.25]
    assert len(stories) >= 10 and all(verdict(text) == "fine" for text in stories)
