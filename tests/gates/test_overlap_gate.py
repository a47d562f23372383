import json
from pathlib import Path

import pytest
from gate_cases import built

from teacherlm.errors import UserError
from teacherlm.stages.prepare import PrepareConfig, prepare
from teacherlm.verify import Rationale

CLAIMS = [
    "Soup is liquid in every bowl that I know of.",
    "Tea grows on bushes in the hills of many countries.",
    "Ice is never as hot as fire.",
]


def verdict(against: Path, claim: str, text: str = " So it is.", **settings: object) -> str:
    gate = built("overlap", against=[str(against)], n=8, **settings)
    return gate.verdict(Rationale("cot", text, "A", "letter", ("True", "False"), prompt=f"Q: {claim} (A) True (B) False A:"))


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Train holds one claim, validation the three of above."""
    (tmp_path / "raw").mkdir()
    for name, claims in (("train", ["Stones are hard to eat for people without teeth."]), ("validation", CLAIMS)):
        rows = [{"question": claim, "choices": ["True", "False"], "answer": "A"} for claim in claims]
        (tmp_path / "raw" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = tmp_path / "questions"
    prepare(PrepareConfig.model_validate({"dataset": "jsonl", "source": str(tmp_path / "raw"), "output": output}))
    return output


def test_a_question_of_an_evaluation_split_is_found_and_one_of_train_is_not(prepared: Path) -> None:
    assert verdict(prepared, CLAIMS[1]) == "question"
    assert verdict(prepared, "Stones are hard to eat for people without teeth.") == "clean"
    assert verdict(prepared, "Stones are hard to eat for people without teeth.", splits=["train"]) == "question"


def test_a_rationale_that_repeats_one_is_found(prepared: Path) -> None:
    assert verdict(prepared, "Rocks are hard.", f" We know that {CLAIMS[0].lower()}") == "rationale"
    assert verdict(prepared, "Rocks are hard.", " We know that soup is liquid.") == "clean"


def test_any_jsonl_with_questions_will_do(tmp_path: Path) -> None:
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps({"question": claim}) + "\n" for claim in CLAIMS))
    assert verdict(file, CLAIMS[2]) == "question"
    file.write_text('{"question": "Is it?"}\n{"text": "no"}\n')
    with pytest.raises(UserError, match=r"test\.jsonl:2: there is no question \(column prompt or question; found: text\)"):
        verdict(file, "x")


def test_a_source_without_an_evaluation_split_is_one_clear_line(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds none of the splits test \(found: train, validation\)"):
        verdict(prepared, "x", splits=["test"])
    with pytest.raises(UserError, match=r"no such file"):
        verdict(tmp_path / "nowhere.jsonl", "x")
    with pytest.raises(UserError, match=r"shortest 9 is more than n 8"):
        verdict(prepared, "x", shortest=9)
    with pytest.raises(UserError, match=r"against: name at least one"):
        built("overlap", against=[])
