import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teacherlm.dataset import BadRow
from teacherlm.datasets._ni_encoding import build_question, lengths
from teacherlm.datasets._ni_lengths import Lengths, fitted
from teacherlm.datasets._ni_tasks import Task, parse_instance, parse_task
from teacherlm.datasets.natural_instructions import DATASET, NaturalInstructionsSettings
from teacherlm.errors import UserError
from teacherlm.prompts import template
from teacherlm.records import Question
from teacherlm.stages.prepare import PrepareConfig, prepare
from teacherlm.store.hf import write_dataset, write_dict_file
from teacherlm.store.sources import Origin

EXAMPLES = [{"input": f"{i} and 1", "output": str(i + 1), "explanation": f"{i} and 1 are {i + 1}."} for i in range(3)]


def task(count: int = 4, **changed: Any) -> dict[str, Any]:
    instances = [{"id": f"t-{i}", "input": f"{i} and {i} \nAdd!", "output": [str(2 * i), f"={2 * i}"]} for i in range(count)]
    return {
        "Categories": ["Arithmetic"],
        "Definition": ["Add the numbers. "],
        "Positive Examples": EXAMPLES,
        "Negative Examples": [{**EXAMPLES[0], "output": "01"}, {**EXAMPLES[1], "output": "11"}],
        "Instances": instances,
        "Instruction Source": ["dropped"],
        **changed,
    }


def write(folder: Path, tasks: dict[str, Any], **lists: list[str]) -> Path:
    (folder / "tasks").mkdir(parents=True)
    for name, content in tasks.items():
        (folder / "tasks" / f"{name}.json").write_text(json.dumps(content, indent=1))
    for split, names in lists.items():
        (folder / "splits" / "default").mkdir(parents=True, exist_ok=True)
        (folder / "splits" / "default" / f"{split}_tasks.txt").write_text("".join(f"{name}\n" for name in names))
    return folder


def found(place: Path, seed: int = 0, encoding: str = "utf-8", **own: Any) -> dict[str, list[Question | BadRow]]:
    read = DATASET.read(NaturalInstructionsSettings(**own), Origin(str(place), encoding), seed)
    return {split: list(questions) for split, questions in read.items()}


def read(place: Path, seed: int = 0, **own: Any) -> dict[str, list[Question]]:
    splits: dict[str, list[Question]] = {}
    for split, questions in found(place, seed, **own).items():
        assert not [q.reason for q in questions if isinstance(q, BadRow)]
        splits[split] = [q for q in questions if isinstance(q, Question)]
    return splits


def reason(place: Path, **own: Any) -> str:
    (bad,) = [q for q in found(place, **own)["train"] if isinstance(q, BadRow)]
    return bad.reason


def test_the_lists_say_which_tasks_are_in_which_split_and_dev_may_be_missing(tmp_path: Path):
    tasks = {name: task() for name in ("task1_a", "task2_b", "task3_c", "task4_unlisted")}
    splits = read(write(tmp_path / "two", tasks, train=["task1_a", "task2_b"], test=["task3_c"]))
    assert {split: [q.raw["task"] for q in questions] for split, questions in splits.items()} == {
        "train": ["task1_a"] * 4 + ["task2_b"] * 4,
        "test": ["task3_c"] * 4,
    }
    three = write(tmp_path / "three", tasks, train=["task1_a"], dev=["task2_b"], test=["task3_c"])
    assert list(read(three)) == ["train", "validation", "test"]
    assert list(read(three, tasks=["task1_a", "task2_b"])) == ["train", "validation"]
    assert {split: len(questions) for split, questions in read(three / "tasks").items()} == {"train": 16}
    assert len(read(three / "tasks" / "task1_a.json")["train"]) == 4
    assert read(three / "splits" / "default") == read(three)
    elsewhere = (three / "splits" / "default").rename(tmp_path / "lists")
    assert read(elsewhere, task_dir=str(three / "tasks"))["test"][0].raw["task"] == "task3_c"


def test_a_question_carries_what_its_task_brings(tmp_path: Path):
    (tmp_path / "task7_sum.json").write_text(json.dumps(task()))
    question = read(tmp_path, num_neg_examples=1, add_explanation=True, add_task_name=True)["train"][1]
    assert question.question == "Add the numbers.\n\n1 and 1 \nAdd!"
    assert question.definition == "Add the numbers." and question.references == ("2", "=2") and question.answer in question.references
    assert [d.positive for d in question.demonstrations] == [True, True, False]
    assert question.blocks == (("TASK", "task7_sum"), ("DEFINITION", "Add the numbers."), ("INPUT", "1 and 1 \nAdd!"))
    assert (question.source_id, question.answer_rule, question.choices) == ("t-1", "text", ())
    own = {"task": "task7_sum", "category": "Arithmetic", "id": "t-1", "input": "1 and 1 \nAdd!", "output": ["2", "=2"]}
    assert question.raw == own


def test_the_early_schema_has_a_text_as_definition_no_ids_and_perhaps_no_examples(tmp_path: Path):
    early = {"Definition": "Add.", "Negative Examples": ["-"], "Instances": [{"input": "1 and 2", "output": ["3"]}]}
    (tmp_path / "task1.json").write_text(json.dumps(early))
    (question,) = read(tmp_path)["train"]
    assert (question.definition, question.demonstrations, question.source_id, question.raw["id"]) == ("Add.", (), "", "")


def test_test_tasks_keep_their_first_instances_and_training_tasks_drawn_ones(tmp_path: Path):
    place = write(tmp_path, {"a": task(150), "b": task(150), "c": task(150)}, train=["a"], dev=["b"], test=["c"])
    splits = read(place, max_num_instances_per_task=30)
    ids = {split: [q.source_id for q in questions] for split, questions in splits.items()}
    assert ids["test"] == [f"t-{i}" for i in range(100)]
    assert len(ids["validation"]) == 100 and len(set(ids["train"])) == 30
    assert ids["train"] != sorted(ids["train"]) and ids["train"] != [f"t-{i}" for i in range(30)]
    assert read(place, max_num_instances_per_task=30) == splits
    assert [q.source_id for q in read(place, 1, max_num_instances_per_task=30)["train"]] != ids["train"]
    whole = read(place, max_num_instances_per_eval_task=None)
    everything = [f"t-{i}" for i in range(150)]
    assert list(whole) == ["train", "validation", "test"]
    assert all([q.source_id for q in questions] == everything for questions in whole.values())


def test_the_target_is_drawn_by_the_seed_and_does_not_depend_on_how_many_are_kept(tmp_path: Path):
    place = write(tmp_path, {"a": task(400)}, train=["a"])
    targets = [q.answer for q in read(place)["train"]]
    assert [q.answer for q in read(place)["train"]] == targets != [q.answer for q in read(place, 1)["train"]]
    assert 140 < sum(target.startswith("=") for target in targets) < 260
    whole = {q.source_id: q.answer for q in read(place)["train"]}
    assert all(whole[q.source_id] == q.answer for q in read(place, max_num_instances_per_task=20)["train"])


def test_tk_instruct_draws_each_of_five_encodings_about_equally_often(tmp_path: Path):
    place = write(tmp_path, {"a": task(2000)}, train=["a"])

    def shape(question: Question) -> tuple[bool, int, int, bool]:
        shown = question.demonstrations
        return (
            bool(question.definition),
            sum(d.positive for d in shown),
            sum(not d.positive for d in shown),
            any(d.explanation for d in shown),
        )

    questions = read(place, tk_instruct=True, add_task_name=True)["train"]
    shapes = Counter(map(shape, questions))
    assert set(shapes) == {(True, 0, 0, False), (False, 2, 0, False), (True, 2, 0, False), (True, 2, 2, False), (True, 2, 0, True)}
    assert all(abs(count - 400) < 90 for count in shapes.values())  # five standard deviations
    assert all(q.question.startswith("Add the numbers.\n\n") and "TASK" not in dict(q.blocks) for q in questions)
    assert list(map(shape, read(place, 1, tk_instruct=True)["train"])) != list(map(shape, questions))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"Definition": ["Add."]', r"task task9_x: .*task9_x\.json:1: not valid JSON"),
        ("[1]", r"task task9_x: .*expected one JSON object with Definition and Instances, found a list"),
        ('{"Definition": "Add."}', r"task task9_x: .*column 'Instances' is missing \(found: Definition\)"),
        ('{"Definition": [], "Instances": []}', r"task task9_x: .*'Definition' must be text or a list of texts, found \[\]"),
        ('{"Definition": "x", "Instances": {}}', r"task task9_x: .*'Instances' must be a list"),
        (
            '{"Definition": "x", "Instances": [], "Positive Examples": [{"input": "1"}]}',
            r"task task9_x: .*Positive Examples 1: column 'output' is missing",
        ),
        ('{"Definition": "x", "Instances": [{"output": ["1"]}]}', r"task9_x\.json: instance 1: column 'input' is missing"),
        ('{"Definition": "x", "Instances": [{"input": 3, "output": ["1"]}]}', r"instance 1: 'input' must be text, found 3"),
        ('{"Definition": "x", "Instances": [{"input": "3", "output": []}]}', r"instance 1: 'output' holds no text"),
        ('{"Definition": "x", "Instances": [{"input": "3", "output": [1]}]}', r"instance 1: 'output' must be a list of texts, found \[1\]"),
        ('{"Definition": "x", "Instances": ["3"]}', r"instance 1: expected \{input, output\}, found text"),
    ],
)
def test_a_broken_task_is_named_with_what_is_wrong(content: str, message: str, tmp_path: Path):
    (tmp_path / "task9_x.json").write_text(content)
    assert re.search(message, reason(tmp_path))


def test_a_broken_task_ends_the_work_or_is_dropped_with_its_reason(tmp_path: Path):
    place = write(tmp_path / "in", {"a": task(), "c": task()}, train=["a", "b", "c"])
    (place / "tasks" / "b.json").write_text("{")
    given = {"dataset": "natural_instructions", "source": str(place), "output": tmp_path / "out"}
    with pytest.raises(UserError, match=r"task b: .*b\.json:1: not valid JSON"):
        prepare(PrepareConfig.model_validate(given))
    assert prepare(PrepareConfig.model_validate({**given, "on_bad_row": "drop"})).counts == {"in": 9, "out": 8, "dropped": 1, "train": 8}
    assert "task b: " in json.loads((tmp_path / "out" / "dropped.jsonl").read_text())["reason"]


def test_lists_that_name_what_is_not_there_are_refused(tmp_path: Path):
    place = write(tmp_path, {"task1_sum": task()}, train=["task1_sum", "", "task2_gone"])
    with pytest.raises(UserError, match=r"train_tasks\.txt:3: task 'task2_gone' has no file task2_gone\.json in .*tasks\.$"):
        read(place)
    with pytest.raises(UserError, match=r"No track named 'defualt'\. Did you mean 'default'\?"):
        read(place, track="defualt")
    (place / "splits" / "default" / "train_tasks.txt").write_text("task1_sum\n")
    with pytest.raises(UserError, match=r"No task named 'task1'\. Did you mean 'task1_sum'\?"):
        read(place, tasks=["task1"])
    (place / "splits" / "default" / "train_tasks.txt").write_text("\n")
    with pytest.raises(UserError, match="lists no task"):
        read(place)


def test_task_files_may_be_gzipped_marked_or_in_another_encoding(tmp_path: Path):
    content = task(1, Definition="Ajoutez à la fin.")
    text = json.dumps(content, ensure_ascii=False)
    (tmp_path / "a.json").write_bytes(text.encode("utf-8-sig"))
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(text.encode()))
    assert [(q.raw["task"], q.definition) for q in read(tmp_path)["train"]] == [("a", "Ajoutez à la fin."), ("b", "Ajoutez à la fin.")]
    (tmp_path / "c.json").write_bytes(text.encode("latin-1"))
    assert "c.json:1: byte 0xe0" in reason(tmp_path)
    assert [q.definition for q in found(tmp_path / "c.json", encoding="latin-1")["train"] if isinstance(q, Question)] == [
        "Ajoutez à la fin."
    ]


def test_the_hubs_copy_has_a_row_for_each_instance_and_no_examples(tmp_path: Path):
    rows = [
        {"task_name": f"task{t}", "id": f"task{t}-{i}", "definition": f"Do {t}.", "inputs": f"in {i}", "targets": f"out {i}"}
        for i in range(5)
        for t in (1, 2)
    ]
    for split in ("train", "test"):
        write_dataset(tmp_path / "hub" / split, iter(rows), split)
    write_dict_file(tmp_path / "hub", ["train", "test"])
    splits = read(tmp_path / "hub", max_num_instances_per_task=3, max_num_instances_per_eval_task=2)
    assert Counter(q.raw["task"] for q in splits["train"]) == {"task1": 3, "task2": 3}
    assert [q.source_id for q in splits["test"]] == ["task1-0", "task2-0", "task1-1", "task2-1"]
    first = splits["test"][0]
    assert (first.definition, first.answer, first.references) == ("Do 1.", "out 0", ("out 0",))
    assert template("tk_instruct").prompt(first) == "Definition: Do 1.\n\nNow complete the following example -\nInput: in 0.\nOutput: "
    assert {q.raw["task"] for q in read(tmp_path / "hub", tasks=["task2"])["train"]} == {"task2"}


words = st.text(alphabet="ab .\n", max_size=60)
some_examples = st.lists(st.tuples(words, words, words, st.booleans()), max_size=4)
FRAME = len(template("tk_instruct").prompt(Question("", "", blocks=(("INPUT", ""),))))


@given(definition=words, asked=words, examples=some_examples, limit=st.integers(FRAME, 260))
def test_a_prompt_is_never_longer_than_its_budget_and_keeps_what_asks_for_the_output(
    definition: str, asked: str, examples: list[tuple[str, str, str, bool]], limit: int
):
    content = {
        "Definition": definition,
        "Positive Examples": [{"input": i, "output": o, "explanation": e} for i, o, e, positive in examples if positive],
        "Negative Examples": [{"input": i, "output": o, "explanation": e} for i, o, e, positive in examples if not positive],
        "Instances": [{"input": asked, "output": ["yes"]}],
    }
    parsed, own = (
        parse_task("t", content, "here"),
        NaturalInstructionsSettings(num_pos_examples=4, num_neg_examples=4, add_explanation=True),
    )
    whole = build_question(parsed, parse_instance(parsed.instances[0], "here"), 0, own, 0, "here", None)
    cut = fitted(whole, Lengths(len, limit, 3))
    prompt, uncut = template("tk_instruct").prompt(cut), template("tk_instruct").prompt(whole)
    assert len(prompt) <= limit and prompt.endswith("\nOutput: ")
    assert (prompt == uncut) == (len(uncut) <= limit)
    assert cut.question == whole.question and cut.raw == whole.raw


def test_examples_go_before_the_input_and_the_input_before_the_definition():
    parsed = parse_task("t", task(1), "here")
    instance = parse_instance(parsed.instances[0], "here")
    whole = build_question(parsed, instance, 0, NaturalInstructionsSettings(num_pos_examples=3, num_neg_examples=2), 0, "here", None)

    def kept(limit: int) -> tuple[int, str, str]:
        cut = fitted(whole, Lengths(len, limit, 100))
        return len(cut.demonstrations), cut.definition, dict(cut.blocks)["INPUT"]

    prompt = template("tk_instruct").prompt
    assert kept(len(prompt(whole))) == (5, "Add the numbers.", "0 and 0 \nAdd!")
    assert kept(len(prompt(whole)) - 1) == (4, "Add the numbers.", "0 and 0 \nAdd!")
    assert kept(99) == (0, "Add the numbers.", "0 and 0 \nAdd!")
    assert kept(89) == (0, "Add the numbers.", "0 and ")
    assert kept(FRAME + 21) == (0, "Add th", "") and kept(FRAME) == (0, "", "")
    with pytest.raises(UserError, match=f"max_source_length {FRAME - 1} is too short: a prompt without input takes {FRAME} tokens"):
        kept(FRAME - 1)


def test_a_target_is_cut_but_the_gold_answer_stays_whole():
    parsed = Task("t", "Spell.", instances=[{"input": "x", "output": ["a long answer"]}])
    question = build_question(
        parsed, parse_instance(parsed.instances[0], "here"), 0, NaturalInstructionsSettings(), 0, "here", Lengths(len, 900, 6)
    )
    assert (template("tk_instruct").label(question), question.answer, question.references) == (
        "a long",
        "a long answer",
        ("a long answer",),
    )


@pytest.mark.real
@pytest.mark.parametrize("schema", ["task062_bigbench_repeat_copy_logic", "task156_codah_classification_adversarial"])
def test_every_real_instance_is_read_in_both_schemas(schema: str, test_data: Path):
    path = test_data / "data" / "natural_instructions" / f"{schema}.json"
    content = json.loads(path.read_text())
    questions = read(path)["train"]
    assert len(questions) == len(content["Instances"]) == {"t": 29, "c": 2771}["t" if "062" in schema else "c"]
    definition = content["Definition"] if isinstance(content["Definition"], str) else content["Definition"][0]
    ask = template("tk_instruct").prompt
    for question, instance in zip(questions, content["Instances"], strict=True):
        assert question.raw["input"] == instance["input"] and list(question.references) == instance["output"]
        assert question.source_id == instance.get("id", "") and question.answer in instance["output"]
        asked = instance["input"].strip()
        assert ask(question).endswith(f"\nInput: {asked}{'' if asked[-1] in '.?!,' or not asked[-1].isalnum() else '.'}\nOutput: ")
        assert ask(question).startswith(f"Definition: {definition}\n\n Positive Example 1 -\nInput: ")


@pytest.mark.real
def test_both_real_schemas_become_one_dataset(test_data: Path, tmp_path: Path):
    source = str(test_data / "data" / "natural_instructions")
    config = PrepareConfig.model_validate({"dataset": "natural_instructions", "source": source, "output": tmp_path / "out"})
    assert prepare(config).counts["train"] == 29 + 2771
    rows = [json.loads(line) for line in (tmp_path / "out" / "natural_instructions.jsonl").read_text().splitlines()]
    assert len({row["id"] for row in rows}) == 2800 and {row["template"] for row in rows} == {"tk_instruct"}
    assert {type(row["output"]) for row in rows} == {list} and all(row["text"] == row["prompt"] + row["answer"] for row in rows)
    assert rows[-1]["cot_text"].startswith("Q: Given a prompt and four completions, ") and " \nCompletion A: " in rows[-1]["input"]


@pytest.fixture(scope="module")
def tokenizer(stories260k: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(stories260k)


@pytest.fixture(scope="module")
def codah(test_data: Path) -> Task:
    path = test_data / "data" / "natural_instructions" / "task156_codah_classification_adversarial.json"
    return parse_task("task156", json.loads(path.read_text()), "here")


@pytest.mark.real
@settings(max_examples=25, deadline=None)
@given(limit=st.integers(60, 512), seed=st.integers(0, 9), number=st.integers(0, 2770))
def test_real_prompts_counted_by_a_real_tokenizer_never_exceed_the_budget(
    limit: int, seed: int, number: int, codah: Task, tokenizer: Any, stories260k: Path
):
    own = NaturalInstructionsSettings(tk_instruct=True, tokenizer=str(stories260k), max_source_length=limit, max_target_length=8)
    question = build_question(codah, parse_instance(codah.instances[number], "here"), number, own, seed, "here", lengths(own))
    words = template("tk_instruct")
    assert len(tokenizer(words.prompt(question))["input_ids"]) <= limit and len(tokenizer(words.label(question))["input_ids"]) <= 8


def test_a_tokenizer_that_is_not_there_is_named(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.json").write_text(json.dumps(task(1)))
    with pytest.raises(UserError, match=r"^tokenizer: .*empty: no tokenizer can be read"):
        read(tmp_path / "a.json", tokenizer=str(tmp_path / "empty"))
