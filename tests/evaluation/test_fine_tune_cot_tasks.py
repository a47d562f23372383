"""The twelve datasets of Fine-tune-CoT and GSM8K as tasks: the published test rows, in a student's words, by the paper's measures."""

import json
from pathlib import Path
from typing import Any

import pytest

from teacherlm.errors import UserError
from teacherlm.evaluation.content import OURS
from teacherlm.evaluation.loading import LoadedTask, TaskOptions, load_tasks
from teacherlm.evaluation.scoring import Answer, score
from teacherlm.evaluation.students import Student

MEASURES = ("acc", "contains_answer", "correct_format", "complete")


@pytest.fixture
def published(test_data: Path) -> Path:
    """The original's folder, with dataset/ and split/."""
    return test_data / "data" / "reasoning_teacher"


def load(name: str, data: Path | None = None, **options: Any) -> LoadedTask:
    (task,) = load_tasks([name], [], TaskOptions(data=data, **options))
    return task


def measures(task: LoadedTask, *answers: Answer) -> dict[str, float]:
    return {metric.name: metric.value for metric in score(task, [[answer] for answer in answers])[1]}


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("key", ["addsub", "multiarith", "svamp", "date_understanding", "last_letter_concatenation", "coin_flip"])
def test_what_is_measured_are_the_published_test_rows(key: str, published: Path) -> None:
    rows = json.loads((published / "dataset" / f"{key}.json").read_text())
    listed = json.loads((published / "split" / f"{key}__default.json").read_text())["test"]
    task = load(f"ft_cot_{key}", published)
    docs = [instance.doc for instance in task.task.instances]
    assert [doc["answer"] for doc in docs] == [rows[number]["answer"] for number in listed]
    assert all(task.task.instances[i].args[0].startswith(rows[number]["question"][:20].strip()) for i, number in enumerate(listed))
    assert all(instance.args[0].endswith(" ###") for instance in task.task.instances)
    alone = load(f"ft_cot_{key}", published / "dataset" / f"{key}.json")
    assert [instance.args for instance in alone.task.instances] == [instance.args for instance in task.task.instances]


@pytest.mark.real
def test_other_lists_and_other_splits_are_asked_for_by_name(published: Path, tmp_path: Path) -> None:
    rows = [{"question": f"How much is {n} plus 1?", "answer": str(n + 1)} for n in range(10)]
    write(tmp_path / "dataset" / "multiarith.json", rows)
    assert len(load("ft_cot_multiarith", tmp_path).task.instances) == 3, "70% of a permutation are train"
    write(tmp_path / "split" / "multiarith__default.json", {"train": [0, 1], "test": [7, 9]})
    assert [instance.doc["answer"] for instance in load("ft_cot_multiarith", tmp_path).task.instances] == ["8", "10"]
    assert [instance.doc["answer"] for instance in load("ft_cot_multiarith", tmp_path, split="train").task.instances] == ["1", "2"]
    told = {"lists": "template"}
    with pytest.raises(UserError, match=r"no list multiarith__template\.json that says which of its rows they are"):
        load("ft_cot_multiarith", tmp_path, taught=told)
    assert len(load("ft_cot_multiarith", published, taught=told).task.instances) == 187


def test_a_set_with_test_rows_of_its_own_is_not_cut_anew(tmp_path: Path) -> None:
    rows = [{"question": f"How much is {n} plus 1? Answer choices: (A) 0, (B) 1.", "answer": "B"} for n in range(10)]
    write(tmp_path / "aqua.json", rows)
    with pytest.raises(UserError, match=r"ft_cot_aqua.*has no test rows, and no list aqua__default\.json"):
        load("ft_cot_aqua", tmp_path / "aqua.json")
    with pytest.raises(UserError, match="`data` is missing: single_eq is on no hub"):
        load("ft_cot_single_eq")


def test_strategy_qa_is_asked_for_yes_or_no_wherever_its_rows_come_from(tmp_path: Path) -> None:
    one = {"qid": "a", "question": "Is it?", "answer": True, "facts": ["It is."], "decomposition": [], "evidence": []}
    file = write(tmp_path / "test.json", [one, {**one, "qid": "b", "answer": False}])
    task = load("ft_cot_strategy_qa", file.parent)
    assert [(i.args[0], i.doc["answer"], i.doc["answer_rule"]) for i in task.task.instances] == [
        ("Is it? ###", "yes", "strategy_qa"),
        ("Is it? ###", "no", "strategy_qa"),
    ]


CASES = [
    (" 3 + 4 = 7 --> 7", "stop", (1, 1, 1, 1)),
    (" 7, no --> 8 or 7", "stop", (0, 1, 1, 1)),
    (" 3 and 7", "length", (1, 1, 0, 0)),
    (" 7 and 3", "length", (0, 1, 0, 0)),
    (" --> 7.0 is it", "length", (1, 1, 1, 0)),
    ("", "stop", (0, 0, 0, 1)),
]


@pytest.mark.parametrize(("text", "finish", "expected"), CASES)
def test_a_completion_has_the_four_measures_of_the_paper(text: str, finish: str, expected: tuple[int, ...], tmp_path: Path) -> None:
    write(tmp_path / "svamp.json", [{"question": f"How much is {n} plus 1?", "answer": "7.0"} for n in range(3)])
    task = load("ft_cot_svamp", tmp_path / "svamp.json")
    assert measures(task, Answer(text, finish=finish)) == dict(zip(MEASURES, expected, strict=True))
    assert "complete" not in measures(task, Answer(text)), "where nobody says how a text ended, nothing is said"
    rows, _ = score(task, [[Answer(text, finish=finish)]])
    assert type(rows[0]["output"]) is str and rows[0]["correct"]["acc"] == expected[0]


def test_rows_are_worded_as_the_student_was_taught(tmp_path: Path) -> None:
    rows = [{"question": f"Is it {n}? Answer choices: (A) this, (B) that.", "answer": "B"} for n in range(3)]
    write(tmp_path / "date_understanding.json", rows)
    write(tmp_path / "date_understanding__default.json", {"test": [2]})
    asked = {}
    for spec in ("teacherlm", 'ft_cot_token{"stop":"END"}', "ft_natural"):
        student = Student("s", "s", "c", facts={"template": spec})
        task = load("ft_cot_date_understanding", tmp_path, taught=student.taught)
        assert task.templates == (spec,)
        asked[spec] = task.task.instances[0].args
        answer = task.task.instances[0].doc["stated"]
        assert measures(task, Answer(answer, finish="stop")) == dict.fromkeys(MEASURES, 1.0)
    assert asked["teacherlm"][0] == "Q: Is it 2? (A) this (B) that A:" and asked["teacherlm"][1]["until"] == ["\nQ:", " Q:"]
    other = asked['ft_cot_token{"stop":"END"}']
    assert other[0] == "Is it 2? Answer choices: (A) this, (B) that. ###" and other[1]["until"] == [" END"]
    task = load("ft_cot_date_understanding", tmp_path, taught={"taught_by": "teacherlm"})
    assert measures(task, Answer(" A B. So that is it.")) == dict.fromkeys(MEASURES[:3], 0.0), "no answer is stated"
    assert Student("s", "s", "c", facts={"templates": ["teacherlm", "ft_natural"]}).taught == {}


def test_a_group_of_tasks_reads_one_folder(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "two.yaml").write_text("group: two\ntask: [ft_cot_svamp, ft_cot_addsub]\n")
    for key in ("svamp", "addsub"):
        write(tmp_path / "dataset" / f"{key}.json", [{"question": f"{key} {n}?", "answer": str(n)} for n in range(10)])
    found = load_tasks(["two"], [tmp_path / "tasks"], TaskOptions(data=tmp_path))
    assert [task.name for task in found] == ["ft_cot_svamp", "ft_cot_addsub"]
    with pytest.raises(UserError, match=r"task .fine_tune_cot.: "):
        load_tasks(["fine_tune_cot"], [], TaskOptions(data=tmp_path))


def test_the_group_names_every_one_of_the_twelve() -> None:
    import yaml

    named = yaml.safe_load((OURS / "fine_tune_cot.yaml").read_text())["task"]
    assert sorted(named) == sorted(path.stem for path in OURS.glob("ft_cot_*.yaml")) and len(named) == 12


GSM8K = {"question": "Tom has 5 apples and buys 3 more. How many?", "answer": "5 + 3 = <<5+3=8>>8\n#### 1,008"}


@pytest.mark.parametrize(
    ("text", "right", "parsed"),
    [
        (" So 5 + 3.\n#### 1008", 1, 1),
        (" 7\n#### 7\nNo:\n#### 1,008", 1, 1),
        (" The answer is 1008.", 1, 1),
        (" The answer is 1,008.0. Not 7.", 1, 1),
        (" It is 7, no, 1008", 1, 1),
        (" 1008 or 7", 0, 1),
        (" #### none", 0, 0),
        (" eight", 0, 0),
    ],
)
def test_gsm8k_takes_the_marked_number_else_the_stated_else_the_last(text: str, right: int, parsed: int, tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text(json.dumps(GSM8K) + "\n")
    task = load("gsm8k", tmp_path)
    assert task.task.instances[0].args[0] == "Q: Tom has 5 apples and buys 3 more. How many? A:"
    assert measures(task, Answer(text)) == {"acc": right, "parsed": parsed}


@pytest.mark.real
@pytest.mark.slow
def test_gsm8k_reads_the_published_file_and_says_which_split_is_missing(test_data: Path) -> None:
    task = load("gsm8k", test_data / "data" / "gsm8k" / "train.jsonl", limit=3, shots=2)
    shots = task.task.instances[0].args[0].split("\n\n")
    assert len(shots) == 3 and all(" A: The answer is " in shot for shot in shots[:2]) and shots[2].endswith(" A:")
    with pytest.raises(UserError, match=r"gsm8k: has no split 'test' or 'validation' \(found: train\)"):
        load("gsm8k", test_data / "data" / "gsm8k")


@pytest.mark.slow
def test_lm_evals_own_task_of_a_name_that_ours_has_is_reached_by_its_prefix(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from teacherlm.evaluation.stock import STOCK, say_whose, stock_manager

    say_whose.cache_clear()
    (tmp_path / "test.jsonl").write_text(json.dumps(GSM8K) + "\n")
    load("gsm8k", tmp_path)
    assert "lm-eval's own is lm_eval:gsm8k" in capfd.readouterr().err
    load("ft_cot_gsm8k", tmp_path)
    assert "lm-eval's own" not in capfd.readouterr().err
    ours, theirs = OURS / "gsm8k.yaml", stock_manager().task_index["gsm8k"].yaml_path
    assert theirs != ours
    with pytest.raises(UserError, match=f"the task '{STOCK}gsm8k' brings its own data"):
        load(f"{STOCK}gsm8k", tmp_path)
    with pytest.raises(UserError, match=r"No task of lm-eval's own named 'gsm8'\. Did you mean 'gsm8k'"):
        load(f"{STOCK}gsm8")


def test_rows_for_shots_are_read_only_where_shots_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text(json.dumps(GSM8K) + "\n")
    (tmp_path / "train.jsonl").write_text('{"question": "no answer"}\n')
    plain = load("gsm8k", tmp_path)
    with pytest.raises(UserError, match=r"train\.jsonl:1: .*'answer'"):
        load("gsm8k", tmp_path, shots=1)
    (tmp_path / "train.jsonl").write_text(json.dumps({**GSM8K, "question": "How many?"}) + "\n")
    assert load("gsm8k", tmp_path, shots=1).task.instances[0].args[0].startswith("Q: How many? A: The answer is 1,008.\n\nQ: Tom")
    assert load("gsm8k", tmp_path).content == plain.content
