"""The task files: the same prompt as training, readable by plain lm-eval, clear about bad data."""

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict, load_dataset

from teacherlm.errors import UserError
from teacherlm.evaluation.content import OURS
from teacherlm.evaluation.loading import TaskOptions, load_tasks
from teacherlm.evaluation.permuting import permuted
from teacherlm.evaluation.scoring import Answer, score
from teacherlm.prompts import template
from teacherlm.records import Question

TEACHERLM = template("teacherlm")


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def prepared_rows(count: int = 6) -> list[dict[str, Any]]:
    """Rows as `prepare` writes them: free numeric answers."""
    return [
        {
            "sentence": f"raw {n}",
            "id": f"q{n}",
            "prompt": TEACHERLM.prompt(Question(f"How much is {n} plus 1?", "1")),
            "choices": [],
            "answer": str(n + 1),
            "answer_rule": "number",
            "template": "teacherlm",
        }
        for n in range(count)
    ]


def lettered_rows(count: int = 6) -> list[dict[str, Any]]:
    choices = ["cat", "dog", "cow"]
    return [
        {
            **row,
            "prompt": TEACHERLM.prompt(Question("Which?", "A", tuple(choices))),
            "choices": choices,
            "answer": "ABC"[n % 3],
            "answer_rule": "letter",
        }
        for n, row in enumerate(prepared_rows(count))
    ]


@pytest.mark.slow
@pytest.mark.real
def test_creak_reads_the_published_folder_one_file_and_a_saved_dataset(creak: Path, tmp_path: Path) -> None:
    rows = rows_of(creak / "dev.json")[:20]
    one_file = tmp_path / "rows.json"
    one_file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    saved = tmp_path / "saved"
    DatasetDict({"validation": Dataset.from_list(rows), "train": Dataset.from_list(rows[:5])}).save_to_disk(saved)
    asked = []
    for data in (creak, one_file, saved):
        (task,) = load_tasks(["creak"], [], TaskOptions(data=data, limit=20))
        asked.append([instance.args for instance in task.task.instances])
    assert asked[0] == asked[1] == asked[2]
    assert len(asked[0]) == 40 and asked[0][0][1] == "A" and asked[0][1][1] == "B"
    assert len(load_tasks(["creak"], [], TaskOptions(data=creak))[0].task.instances) == 2 * 1371


@pytest.mark.real
def test_a_split_without_labels_is_refused_naming_file_line_and_column(creak: Path) -> None:
    with pytest.raises(UserError, match=r"task 'creak': .*test_without_labels\.json:1: column 'label' is missing \(found: .*sentence"):
        load_tasks(["creak"], [], TaskOptions(data=creak / "test_without_labels.json"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"sentence": "a", "label": "true"}\n{"sentence":\n', r":2: not valid JSON"),
        ('{"sentence": "a", "label": "maybe"}\n', r":1: label 'maybe' is neither 'true' nor 'false'"),
        ("", "has no rows"),
    ],
)
def test_broken_creak_files_are_one_clear_line(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "dev.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=problem) as error:
        load_tasks(["creak"], [], TaskOptions(data=path))
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_questions_reads_the_split_named_of_a_prepared_folder_and_its_jsonl(tmp_path: Path) -> None:
    rows = prepared_rows()
    folder, file = tmp_path / "prepare", tmp_path / "WORDS.jsonl"
    DatasetDict({"train": Dataset.from_list(rows[:2]), "test": Dataset.from_list(rows[2:])}).save_to_disk(folder)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    items = {}
    for name, options in {
        "test": TaskOptions(data=folder, split="test"),
        "default": TaskOptions(data={"questions": folder}),
        "train": TaskOptions(data=folder, split="train"),
        "file": TaskOptions(data=file),
    }.items():
        (task,) = load_tasks(["questions"], [], options)
        items[name] = [task.item_id(instance.doc, instance.doc_id) for instance in task.task.instances]
        assert task.template == "teacherlm"
    assert items == {
        "test": ["q2", "q3", "q4", "q5"],
        "default": ["q2", "q3", "q4", "q5"],
        "train": ["q0", "q1"],
        "file": [f"q{n}" for n in range(6)],
    }
    with pytest.raises(UserError, match=r"has no split 'dev' \(found: train, test\)"):
        load_tasks(["questions"], [], TaskOptions(data=folder, split="dev"))


def test_questions_without_data_or_with_foreign_data_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`data` is missing: give the folder written by `prepare`"):
        load_tasks(["questions"], [], TaskOptions())
    DatasetDict({"test": load_dataset("json", data_files=str(write(tmp_path / "x.json", '{"a": 1}')), split="train")}).save_to_disk(
        tmp_path / "x"
    )
    with pytest.raises(UserError, match="column 'id' is missing: it was not written by `prepare`"):
        load_tasks(["questions"], [], TaskOptions(data=tmp_path / "x"))


def test_letters_are_asked_for_each_choice_and_refused_without_choices(tmp_path: Path) -> None:
    lettered, free = tmp_path / "lettered", tmp_path / "free"
    DatasetDict({"test": Dataset.from_list(lettered_rows())}).save_to_disk(lettered)
    DatasetDict({"test": Dataset.from_list(prepared_rows())}).save_to_disk(free)
    (task,) = load_tasks(["questions_letters"], [], TaskOptions(data=lettered))
    assert [instance.args for instance in task.task.instances[:3]] == [
        ("Q: Which? (A) cat (B) dog (C) cow A: The answer is (", letter) for letter in "ABC"
    ]
    with pytest.raises(UserError, match="question 'q0' has no choices: measure it with the task 'questions'"):
        load_tasks(["questions_letters"], [], TaskOptions(data=free))


@pytest.mark.parametrize("spec", ["teacherlm", "blocks"])
@pytest.mark.parametrize("answer", ["", "AB", "Z", "D"])
def test_an_answer_that_is_none_of_the_letters_is_one_clear_line(tmp_path: Path, answer: str, spec: str) -> None:
    rows = in_words(lettered_rows(), spec)
    file = write(tmp_path / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in [rows[0], {**rows[1], "answer": answer}]))
    for name in ("questions_letters", "questions"):
        with pytest.raises(UserError, match=rf"question 'q1': its answer '{answer}' is none of its letters \(A, B, C\)") as error:
            load_tasks([name], [], TaskOptions(data=file))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["questions", "regression"])
@pytest.mark.parametrize(("line", "problem"), [("5", "expected a JSON object, found int"), ("nope", "not valid JSON")])
def test_a_line_that_holds_no_row_is_named_with_its_file_and_number(tmp_path: Path, name: str, line: str, problem: str) -> None:
    file = write(tmp_path / "rows.jsonl", json.dumps({**prepared_rows(1)[0], "target": 0.5}) + f"\n{line}\n")
    with pytest.raises(UserError, match=rf"task '{name}': .*rows\.jsonl:2: {problem}") as error:
        load_tasks([name], [], TaskOptions(data=file))
    assert "\n" not in str(error.value)


def test_shots_come_from_the_training_split_and_state_the_answer_as_taught(tmp_path: Path) -> None:
    folder, rows = tmp_path / "prepare", lettered_rows(8)
    DatasetDict({"train": Dataset.from_list(rows[:4]), "test": Dataset.from_list(rows[4:])}).save_to_disk(folder)
    for name, end in {"questions_letters": "A: The answer is (", "questions": "A:"}.items():
        (task,) = load_tasks([name], [], TaskOptions(data=folder, shots=2))
        shots = task.task.instances[0].args[0].split("\n\n")
        assert task.shots == 2 and len(shots) == 3 and shots[-1].endswith(end)
        assert all(shot.endswith(").") and "A: The answer is (" in shot for shot in shots[:-1])
    with pytest.raises(UserError, match="5 shots asked for, but its data holds 4 rows"):
        load_tasks(["questions"], [], TaskOptions(data=folder, shots=5))


@pytest.mark.slow
def test_unknown_names_suggest_the_nearest_and_patterns_without_match_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "mine.yaml", "task: my_task\ninclude: nothing.yaml\n")
    write(tmp_path / "a.yaml", "task: abc_one\ncustom_dataset: !function _x.y\n")
    with pytest.raises(UserError, match=r"No task named 'creek'\. Did you mean 'creak'\?"):
        load_tasks(["creek"], [tmp_path], TaskOptions())
    with pytest.raises(UserError, match=r"No task named 'mmlu_astrology'\. Did you mean 'mmlu_astronomy'\?"):
        load_tasks(["mmlu_astrology"], [tmp_path], TaskOptions())
    with pytest.raises(UserError, match=r"no task matches 'zzz_\*'"):
        load_tasks(["zzz_*"], [tmp_path], TaskOptions())


def test_a_folder_of_ones_own_tasks_is_searched_and_patterns_name_several(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    data = tmp_path_factory.mktemp("data") / "rows.json"
    write(data, "".join(json.dumps({"q": f"{n}?", "a": str(n)}) + "\n" for n in range(3)))
    for name in ("sum_one", "sum_two"):
        write(
            tmp_path / f"{name}.yaml",
            f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}}}\ntest_split: test\n"
            "output_type: generate_until\ndoc_to_text: q\ndoc_to_target: a\ngeneration_kwargs: {until: ['.']}\n"
            "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n",
        )
    found = load_tasks(["sum_*"], [tmp_path], TaskOptions())
    assert [task.name for task in found] == ["sum_one", "sum_two"] and found[0].template is None
    with pytest.raises(UserError, match="'sum_one' brings its own data"):
        load_tasks(["sum_one"], [tmp_path], TaskOptions(data=data))
    with pytest.raises(UserError, match=r"data\.creak: is not among the tasks measured"):
        load_tasks(["sum_one"], [tmp_path], TaskOptions(data={"creak": data}))


def test_a_broken_yaml_in_ones_own_folder_is_named_with_its_line(tmp_path: Path) -> None:
    write(tmp_path / "broken.yaml", "task: x\nmetric_list: [\n")
    with pytest.raises(UserError, match=r"broken\.yaml:3: not valid YAML"):
        load_tasks(["x"], [tmp_path], TaskOptions())
    with pytest.raises(UserError, match=r"include_path: .*nowhere: no such folder"):
        load_tasks(["x"], [tmp_path / "nowhere"], TaskOptions())


def test_content_changes_with_rows_prompts_and_limits_and_with_nothing_else(tmp_path: Path) -> None:
    rows = prepared_rows()
    first, copy, other = (tmp_path / name for name in ("first", "copy", "other"))
    DatasetDict({"test": Dataset.from_list(rows)}).save_to_disk(first)
    DatasetDict({"test": Dataset.from_list(rows), "train": Dataset.from_list(rows[:1])}).save_to_disk(copy)
    DatasetDict({"test": Dataset.from_list([*rows[:-1], {**rows[-1], "answer": "0"}])}).save_to_disk(other)

    def content(**options: Any) -> str:
        return load_tasks(["questions"], [], TaskOptions(**options))[0].content

    assert content(data=first) == content(data=copy, split="test")
    assert len({content(data=first), content(data=other), content(data=first, limit=3), content(data=first, max_new_tokens=9)}) == 4
    assert content(data=first) == content(data=first, metadata={"split": "test", "note": "for its data alone"})
    assert content(data=first) != content(data=first, metadata={"answer_rule": "text"})
    DatasetDict({"test": Dataset.from_list(lettered_rows())}).save_to_disk(tmp_path / "lettered")
    told = [TaskOptions(data=tmp_path / "lettered", metadata=metadata) for metadata in ({}, {"answer_rule": "text"})]
    usual, other = (permuted(*load_tasks(["questions_letters"], [], options)).content for options in told)
    assert usual != other


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


LETTERS_OF = {
    "teacherlm": (" The answer is (", ["A", "B", "C"]),
    'ft_cot_token{"stop":"END"}': (" --> ", ["A", "B", "C"]),
    "ft_natural": (" ", ["A", "B", "C"]),
    "blocks": ("", ["cat", "dog", "cow"]),
    'blocks{"answer":"letter"}': ("(", ["A", "B", "C"]),
}


@pytest.mark.parametrize("spec", list(LETTERS_OF))
def test_letters_are_asked_for_behind_what_the_template_of_the_rows_writes_before_them(spec: str, tmp_path: Path) -> None:
    rows = in_words(lettered_rows(), spec)
    DatasetDict({"test": Dataset.from_list(rows)}).save_to_disk(tmp_path)
    (task,) = load_tasks(["questions_letters"], [], TaskOptions(data=tmp_path))
    prefix, options = LETTERS_OF[spec]
    assert [instance.args for instance in task.task.instances[:3]] == [(rows[0]["prompt"] + prefix, option) for option in options]
    assert task.templates == (spec,) and task.task.doc_to_target(task.task.instances[3].doc) == 1


def test_shots_state_their_answers_as_the_template_of_the_rows_does(tmp_path: Path) -> None:
    rows = in_words(lettered_rows(), 'ft_cot_token{"stop":"END"}')
    DatasetDict({"train": Dataset.from_list(rows[:1]), "test": Dataset.from_list(rows[1:])}).save_to_disk(tmp_path)
    for name, end in {"questions_letters": " --> ", "questions": ""}.items():
        (task,) = load_tasks([name], [], TaskOptions(data=tmp_path, shots=1))
        assert task.task.instances[0].args[0] == f"{rows[0]['prompt']} --> A END\n\n{rows[1]['prompt']}{end}"


def test_an_answer_ends_and_is_found_by_the_template_of_the_rows(tmp_path: Path) -> None:
    rows = in_words(prepared_rows(), 'ft_cot_token{"stop":"END"}')
    DatasetDict({"test": Dataset.from_list(rows)}).save_to_disk(tmp_path)
    (task,) = load_tasks(["questions"], [], TaskOptions(data=tmp_path))
    assert task.task.instances[0].args[1]["until"] == [" END"]
    told = [[Answer(" It is 9 now. --> 1 END and 5")], [Answer(" --> 7 END")], *([Answer(" nothing")] for _ in range(4))]
    predictions, metrics = score(task, told)
    assert [(row["answer"], row["correct"]["acc"]) for row in predictions[:3]] == [("1", 1.0), ("7", 0.0), (None, 0.0)]
    assert {metric.name: metric.value for metric in metrics} == {"acc": pytest.approx(1 / 6), "parsed": pytest.approx(2 / 6)}


def test_rows_that_differ_in_settings_alone_are_one_template_and_others_are_measured_apart(tmp_path: Path) -> None:
    one, other = (in_words(prepared_rows(), f'tk_instruct{{"definition":"{word}"}}') for word in ("Add.", "Sum up."))
    DatasetDict({"test": Dataset.from_list([*one[:3], *other[3:]])}).save_to_disk(tmp_path / "drawn")
    assert load_tasks(["questions"], [], TaskOptions(data=tmp_path / "drawn"))[0].templates == ("tk_instruct{*}",)
    DatasetDict({"test": Dataset.from_list([*one[:3], *prepared_rows()[3:]])}).save_to_disk(tmp_path / "mixed")
    with pytest.raises(UserError, match=r"its rows follow different templates \(teacherlm, tk_instruct.*measure them apart"):
        load_tasks(["questions"], [], TaskOptions(data=tmp_path / "mixed"))


def in_words(rows: list[dict[str, Any]], spec: str) -> list[dict[str, Any]]:
    """The same rows in another template."""
    words = template(spec)
    return [{**row, "prompt": words.prompt(Question("Which?", row["answer"], tuple(row["choices"]))), "template": spec} for row in rows]


def test_any_of_several_right_answers_is_right(tmp_path: Path) -> None:
    from teacherlm.evaluation.tasks._questions import dataset, score

    row = {"id": "q", "prompt": "P", "choices": [], "answer": "a sea", "answer_rule": "text", "template": "verbatim"}
    file = tmp_path / "x.jsonl"
    file.write_text(json.dumps({**row, "references": ["a sea", "an ocean"]}) + "\n" + json.dumps({**row, "id": "r"}) + "\n")
    several, one = dataset(str(file))["test"]
    assert score(several, ["An ocean."]) == {"acc": 1.0, "parsed": 1.0}
    assert score(one, ["An ocean."]) == {"acc": 0.0, "parsed": 1.0}
    assert score(one, ["A sea"])["acc"] == 1.0


def test_data_and_split_may_be_told_as_metadata_and_where_the_settings_say_another_it_is_one_clear_line(tmp_path: Path) -> None:
    rows, (folder, other) = prepared_rows(), (tmp_path / "one", tmp_path / "other")
    for place in (folder, other):
        DatasetDict({"train": Dataset.from_list(rows[:2]), "test": Dataset.from_list(rows[2:])}).save_to_disk(place)

    def items(**options: Any) -> list[str]:
        (task,) = load_tasks(["questions"], [], TaskOptions(**options))
        return [task.item_id(instance.doc, instance.doc_id) for instance in task.task.instances]

    assert items(data=folder, metadata={"split": "train"}) == items(metadata={"data": str(folder), "split": "train"}) == ["q0", "q1"]
    assert items(data=folder, split="train", metadata={"data": str(folder), "split": "train"}) == ["q0", "q1"]
    with pytest.raises(UserError, match=r"metadata\.split: says test, and split says train for the task 'questions'; give one of them"):
        items(data=folder, split="train", metadata={"split": "test"})
    with pytest.raises(UserError, match=r"metadata\.data: says .*one, and data says .*other for the task 'questions'"):
        items(data=other, metadata={"data": str(folder)})


@pytest.mark.parametrize(("shots", "expected"), [(None, 2), ({"other": 0}, 2), (0, 0), (1, 1)])
def test_a_tasks_own_number_of_shots_counts_where_none_is_set_for_it(tmp_path: Path, shots: Any, expected: int) -> None:
    published = write(
        tmp_path / "dev.json",
        "".join(json.dumps({"ex_id": str(n), "sentence": f"{n} is a number.", "label": "true"}) + "\n" for n in range(6)),
    )
    write(tmp_path / "train.json", published.read_text())
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    write(tasks / "solved.yaml", f"include: {OURS / 'creak.yaml'}\ntask: solved\nnum_fewshot: 2\n")
    write(tasks / "other.yaml", f"include: {OURS / 'creak.yaml'}\ntask: other\n")
    write(tasks / "both.yaml", "group: both\ntask: [solved, other]\n")
    for asked in (["solved", "other"], ["both"]):
        given = TaskOptions(data=tmp_path, limit=2, shots=shots)
        found = {task.name: task for task in load_tasks(asked, [tasks], given)}
        assert found["solved"].shots == expected
        assert found["solved"].task.instances[0].args[0].count("The answer is (") == expected + 1
        assert found["other"].shots == (shots if isinstance(shots, int) else 0)
