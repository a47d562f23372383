"""The templates of Fine-tune-CoT: their bytes, what ends a completion, how an answer is read back, and the examples of fs_cot."""

import json
from pathlib import Path
from typing import Any

import pytest

from teacherlm.catalog import chosen
from teacherlm.errors import UserError
from teacherlm.prompts import said_answer, short_name, spec_of, template
from teacherlm.records import Question


def made(name: str, **settings: Any) -> Any:
    return template(spec_of(chosen("templates")({"name": name, **settings})))


def test_templates_that_only_ask_have_their_prompts() -> None:
    question = Question("How many?", "3")
    assert made("zs").prompt(question) == "Q: How many?\n\nA:"
    assert made("zs", model_type="encoder_decoder").prompt(question) == "question: How many?"
    assert made("zs_cot").prompt(question) == "Q: How many?\nA: Let's think step by step."
    assert not made("zs").taught and not made("zs_cot").taught


@pytest.mark.parametrize("stop", ["", "END"])
@pytest.mark.parametrize(
    ("name", "model_type", "prompt", "completion"),
    [
        ("ft_natural", "decoder", "Q: How many are  left?\n\nA:", " 3"),
        ("ft_natural", "encoder_decoder", "Q: How many are  left?", "3"),
        ("ft_token", "decoder", "How many are  left? ###", " 3"),
        ("ft_token", "encoder_decoder", "How many are  left?", "3"),
        ("ft_cot_token", "decoder", "How many are  left? ###", " She ate 2.\nSo 3. --> 3"),
        ("ft_cot_token", "encoder_decoder", "How many are  left?", "She ate 2.\nSo 3. --> 3"),
        (
            "ft_cot_natural",
            "",
            "Q: How many are  left?\n\nA: Let's think step by step.\n\n",
            " She ate 2.\nSo 3.\n\nTherefore the answer is 3",
        ),
    ],
)
def test_prompt_and_completion_are_these_bytes(name: str, model_type: str, prompt: str, completion: str, stop: str) -> None:
    one = made(name, stop=stop, **({"model_type": model_type} if model_type else {}))
    asked, answer = one.prompt(Question(" How many are  left? ", " 3 ")), one.answer(" 3 ", ())
    text = one.head(asked, answer, "cot", " She ate 2.\nSo 3. ") if "cot" in name else asked + answer
    assert (asked, text.removeprefix(asked)) == (prompt, f"{completion} {stop}".rstrip())


def test_ft_cot_natural_is_made_for_decoders_alone() -> None:
    with pytest.raises(UserError, match="model_type: unknown key"):
        made("ft_cot_natural", model_type="encoder_decoder")


def test_the_sample_of_the_paper() -> None:
    one = made("ft_cot_token", stop="END")
    assert one.spec == 'ft_cot_token{"stop":"END"}' and one.stops == (" END",)
    prompt = one.prompt(Question("What is 1+1?", "2"))
    assert one.head(prompt, one.answer("2", ()), "cot", " One and one.") == "What is 1+1? ### One and one. --> 2 END"


@pytest.mark.parametrize(
    ("name", "written", "rule", "answer"),
    [
        ("ft_cot_token", " It has 5, minus 2. --> 42 END and 7 more", "number", "42"),
        ("ft_cot_token", " The answer is 5 of 9. --> 42", "number", "42"),
        ("ft_cot_token", " He says no. --> yes END", "yes_no", "yes"),
        ("ft_cot_token", " Letters. --> B END", "letter", "B"),
        ("ft_cot_token", " He forgot the arrow. The answer is 7.", "number", "7"),
        ("ft_natural", " B END", "letter", "B"),
        ("ft_natural", " carbon dioxide", "letter", "B"),
        ("ft_token", " 42 END 43", "number", "42"),
        ("ft_token", " yes END", "yes_no", "yes"),
        ("ft_token", " nk END", "exact", "nk"),
        ("zs", " 12.", "number", "12"),
        ("ft_natural", " 3\nQ: What is 9?\n\nA: 9", "number", "3"),
    ],
)
def test_an_answer_is_read_back_behind_its_arrow_or_at_the_start_and_before_the_end(
    name: str, written: str, rule: str, answer: str
) -> None:
    spec = made(name, **({} if name == "zs" else {"stop": "END"})).spec
    assert said_answer(written, spec, rule, ("oxygen", "carbon dioxide") if rule == "letter" else ()) == answer


def test_defect_2_8_an_answer_of_ft_cot_natural_is_found_with_and_without_the_comma() -> None:
    for comma in ("", ","):
        written = f" There are 9 apples, the answer is not 9.\n\nTherefore{comma} the answer is 42"
        assert said_answer(written, "ft_cot_natural", "number") == "42"


def test_the_examples_of_fs_cot_stand_in_its_spec_so_that_the_file_may_go(tmp_path: Path) -> None:
    block = "Q: What is 1 + 1?\nA: One and one. The answer is 2."
    (tmp_path / "prompts.json").write_text(json.dumps({"addsub": {"prompt": block + "\n"}, "other": {"prompt": "Q: x\nA: y"}}))
    one = made("fs_cot", shots=str(tmp_path / "prompts.json"), key="addsub")
    (tmp_path / "prompts.json").unlink()
    template.cache_clear()
    again = template(one.spec)
    assert again.prompt(Question("How many?", "3")) == f"{block}\nQ: How many?\nA:"
    assert again.question_of(f"{block}\nQ: How many?\nA:") == "How many?"
    assert again.stops == ("\nQ:", " Q:") and not again.taught
    assert short_name(one.spec).startswith("fs_cot ") and len(short_name(one.spec)) == 15


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "shots: is required"),
        ({"shots": "nowhere.txt"}, "nowhere.txt: no such file"),
        ({"shots": "prompts.json"}, "prompts.json: holds several prompts; say which with key: addsub, other"),
        ({"shots": "prompts.json", "key": "adsub"}, "No few-shot prompt named 'adsub'. Did you mean 'addsub'"),
        ({"shots": "prompts.json", "key": "addsub", "shot": 3}, "shot: unknown key. Did you mean 'shots'"),
    ],
)
def test_wrong_examples_are_one_clear_line(given: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prompts.json").write_text(json.dumps({"addsub": {"prompt": "Q: x\nA: y"}, "other": {"prompt": "Q: x\nA: y"}}))
    with pytest.raises(UserError) as caught:
        made("fs_cot", **given)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.real
def test_the_published_examples_are_read_for_every_dataset_they_cover(test_data: Path) -> None:
    path = test_data / "data" / "reasoning_teacher" / "few_shot_cot_prompts.json"
    keys = list(json.loads(path.read_text()))
    assert len(keys) == 11
    for key in keys:
        prompt = made("fs_cot", shots=str(path), key=key).prompt(Question("How many?", "3"))
        assert prompt.startswith("Q: ") and prompt.endswith("\nQ: How many?\nA:") and "\n\n\n" not in prompt
