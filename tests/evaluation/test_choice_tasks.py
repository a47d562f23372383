"""Tasks with choices: their words byte for byte, the same as in training for every real row, and what is said of bad data."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lm_eval.tasks
import pytest
import yaml
from dataset_files import prepared, read, write_lines, write_text
from datasets import Dataset, DatasetDict

from teacherlm.datasets.creak import INSTRUCTION
from teacherlm.errors import UserError
from teacherlm.evaluation.content import OURS
from teacherlm.evaluation.loading import LoadedTask, TaskOptions, load_tasks
from teacherlm.evaluation.scoring import Answer, score
from teacherlm.prompts import template
from teacherlm.records import Question

TEACHERLM = template("teacherlm")
ECQA = {"q_no": "1", "q_text": "Where?", **{f"q_op{n}": text for n, text in enumerate(("sea", "sky", "hut", "inn", "zoo"), start=1)}}
MMLU = "question,A,B,C,D,answer\nWhich gas,oxygen,helium,argon,neon,1\n"


def loaded(name: str, data: Path, **options: Any) -> LoadedTask:
    (task,) = load_tasks([name], [], TaskOptions(data=data, **options))
    return task


def asked(task: LoadedTask) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """(context, continuations, gold) of each question."""
    for doc_id in dict.fromkeys(instance.doc_id for instance in task.task.instances):
        own = [instance for instance in task.task.instances if instance.doc_id == doc_id]
        yield own[0].args[0], tuple(instance.args[1] for instance in own), own[0].doc["answer"]


def same_as_taught(task: LoadedTask, questions: list[Question]) -> None:
    found = {instance.doc_id: instance for instance in task.task.instances if instance.idx == 0}
    assert len(found) == len(questions)
    for doc_id, question in enumerate(questions):
        text = TEACHERLM.prompt(question) + TEACHERLM.label(question)
        assert text.startswith(found[doc_id].args[0]), "what is asked begins what is taught"
        assert found[doc_id].args[0].endswith(" A: The answer is (") and text[len(found[doc_id].args[0])] == question.answer
    assert len(task.task.instances) == sum(len(question.choices) for question in questions)


def golds(task: LoadedTask) -> Counter[str]:
    return Counter(instance.doc["answer"] for instance in task.task.instances if instance.idx == 0)


@pytest.fixture(scope="module")
def ecqa(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published validation table, and CommonsenseQA's key beside it."""
    folder = tmp_path_factory.mktemp("ecqa")
    (folder / "cqa_data_val.csv").symlink_to(test_data / "data" / "ecqa" / "cqa_data_val.csv")
    (folder / "train_rand_split.jsonl").symlink_to(test_data / "data" / "commonsenseqa" / "train_rand_split.jsonl")
    return folder


@pytest.mark.slow
@pytest.mark.real
def test_every_real_creak_claim_is_asked_as_it_is_taught(creak: Path) -> None:
    task = loaded("creak", creak)
    same_as_taught(task, read("creak", creak)["validation"])
    assert golds(task) == {"A": 691, "B": 680}
    claims = [json.loads(line)["sentence"] for line in (creak / "dev.json").read_text(encoding="utf-8").splitlines()]
    plain = [instance.args[0] for instance in task.task.instances if instance.idx == 0]
    worded = [f"Q: {INSTRUCTION}{' '.join(claim.split(' '))} (A) True (B) False A: The answer is (" for claim in claims]
    assert sum(one == other for one, other in zip(plain, worded, strict=True)) > 1300, "the rest has runs of spaces"


@pytest.mark.slow
@pytest.mark.real
def test_every_real_ecqa_question_is_asked_as_it_is_taught(ecqa: Path) -> None:
    task = loaded("ecqa", ecqa, split="validation")
    same_as_taught(task, read("ecqa", ecqa)["validation"])
    assert sum(golds(task).values()) == 1090 and len(golds(task)) == 5
    assert not any("Q: Q:" in instance.args[0] for instance in task.task.instances)


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(("name", "facts"), [("strategyqa", True), ("strategyqa_no_facts", False)])
def test_every_real_strategyqa_question_is_asked_as_it_is_taught(test_data: Path, name: str, facts: bool) -> None:
    folder = test_data / "data" / "strategyqa"
    task = loaded(name, folder, split="train")
    same_as_taught(task, read("strategyqa", folder, facts=facts)["train"])
    assert golds(task) == {"A": 964, "B": 1097}


@pytest.mark.slow
@pytest.mark.real
def test_every_real_question_of_19_subjects_of_mmlu_is_asked_as_it_is_taught(test_data: Path) -> None:
    folder = test_data / "data" / "mmlu"
    questions = read("mmlu", folder, intro=True)["test"]
    subjects = list(dict.fromkeys(question.raw["subject"] for question in questions))
    assert len(subjects) == 19 and len(questions) == 4052
    for subject in subjects:
        own = [question for question in questions if question.raw["subject"] == subject]
        same_as_taught(loaded(f"mmlu_{subject}", folder, split="test"), own)


@pytest.mark.long
@pytest.mark.real
def test_every_real_commonsense_question_is_asked_as_it_is_taught(test_data: Path) -> None:
    file = test_data / "data" / "commonsenseqa" / "train_rand_split.jsonl"
    same_as_taught(loaded("commonsense_qa", file), read("commonsense_qa", file)["train"])


@pytest.mark.slow
@pytest.mark.real
def test_the_contexts_are_teacherlms_byte_for_byte(creak: Path, test_data: Path, ecqa: Path) -> None:
    data = test_data / "data"
    expected = {
        "creak": "Q: Determine the correctness of the following sentence. Eating soup means eating only solids. (A) True (B) False A: "
        "The answer is (",
        "ecqa": "Q: What does someone typically feel when applying for a job? (A) horror (B) anxiety and fear (C) rejection "
        "(D) increased workload (E) being employed A: The answer is (",
        "strategyqa": "Q: Fact 1: Julius Caesar had three children. Fact 2: Genghis Khan had sixteen children. Fact 3: Modern geneticists "
        "have determined that out of every 200 men today has DNA that can be traced to Genghis Khan. Given these facts above, Are more "
        "people today related to Genghis Khan than Julius Caesar? (A) True (B) False A: The answer is (",
        "mmlu_abstract_algebra": "The following are multiple choice questions (with answers) about abstract algebra. Q: Find the degree "
        "for the given field extension Q(sqrt(2), sqrt(3), sqrt(18)) over Q. (A) 0 (B) 4 (C) 2 (D) 6 A: The answer is (",
    }
    options = TaskOptions(
        data={"creak": creak, "ecqa": ecqa, "strategyqa": data / "strategyqa", "mmlu_abstract_algebra": data / "mmlu"},
        split={"ecqa": "validation", "strategyqa": "train", "mmlu_abstract_algebra": "test"},
        limit=1,
    )
    letters = {"creak": 2, "ecqa": 5, "strategyqa": 2, "mmlu_abstract_algebra": 4}
    for task in load_tasks([*expected], [], options):
        ((context, continuations, _),) = asked(task)
        assert (context, continuations) == (expected[task.name], tuple("ABCDE"[: letters[task.name]])), task.name


def test_ecqas_stored_questions_that_begin_with_q_get_no_second_q(tmp_path: Path) -> None:
    """TeacherLM's own test set stored them so, and its task put `Q: ` before each: `Q: Q: ...`."""
    file = tmp_path / "cqa_data_test.csv"
    row = {**ECQA, "q_text": "Q: Where do fish live?", "q_ans": "sea"}
    write_text(file, ",".join(row) + "\n" + ",".join(row.values()) + "\n")
    ((context, _, gold),) = asked(loaded("ecqa", tmp_path))
    assert (context, gold) == ("Q: Where do fish live? (A) sea (B) sky (C) hut (D) inn (E) zoo A: The answer is (", "A")


@pytest.mark.parametrize("twin", ["ecqa_generate", "mmlu_generate"])
def test_a_twin_is_asked_without_the_letter_and_an_answer_by_letter_or_by_text_counts(tmp_path: Path, twin: str) -> None:
    write_text(tmp_path / "cqa_data_test.csv", ",".join([*ECQA, "q_ans"]) + "\n" + ",".join([*ECQA.values(), "sky"]) + "\n")
    write_text(tmp_path / "val" / "gases_val.csv", MMLU)
    task = loaded(twin, tmp_path)
    (instance,) = task.task.instances
    text = instance.doc["choices"][1]
    assert instance.args[0].endswith(" A:") and "The answer is" not in instance.args[0] and instance.doc["answer"] == "B"
    for said, right in ((" Because. The answer is (B).", 1), (f" So the answer is {text}.", 1), (" The answer is (A).", 0), (" Hm.", 0)):
        rows, metrics = score(task, [[Answer(said, tokens=3)]])
        assert metrics[0].value == right and metrics[1].value == float(said != " Hm."), said
        assert rows[0]["answer"] == ({1: "B", 0: "A"}[right] if said != " Hm." else None)


def test_the_subjects_and_groups_are_those_of_lm_eval() -> None:
    folder = Path(lm_eval.tasks.__file__).parent / "mmlu" / "default"
    theirs = {read_yaml(path)["task"]: read_yaml(path)["tag"] for path in folder.glob("mmlu_*.yaml")}
    ours = {path.stem: read_yaml(path) for path in (OURS / "mmlu").glob("*.yaml")}
    assert len(theirs) == 57 and theirs == {name: declared["tag"] for name, declared in ours.items()}
    for name, declared in ours.items():
        assert declared["task"] == name and declared["dataset_kwargs"] == {"subject": name.removeprefix("mmlu_")}
    groups = [read_yaml(OURS / f"{name}.yaml") for name in read_yaml(OURS / "mmlu.yaml")["task"]]
    assert sorted(tag for group in groups for tag in group["task"]) == sorted(set(theirs.values()))


def read_yaml(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def test_mmlu_measures_the_validation_split_as_teacherlm_did_and_the_test_split_where_it_is_named(tmp_path: Path) -> None:
    write_text(tmp_path / "val" / "anatomy_val.csv", MMLU.replace("gas", "bone"))
    write_text(tmp_path / "test" / "anatomy_test.csv", MMLU.replace("gas", "tooth"))
    write_text(tmp_path / "dev" / "anatomy_dev.csv", MMLU + "Which ion,a,b,c,d,2\n")
    assert "Which bone. (A)" in next(asked(loaded("mmlu_anatomy", tmp_path)))[0]
    assert "Which tooth. (A)" in next(asked(loaded("mmlu_anatomy", tmp_path, split="test")))[0]
    shown = next(asked(loaded("mmlu_anatomy", tmp_path, shots=2)))[0]
    assert shown.index("Which gas.") < shown.index("Which ion.") < shown.index("Which bone.")
    assert "(D) d A: The answer is (C).\n\nThe following are" in shown


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("mmlu_anatomy", {}, r"task 'mmlu_anatomy': .*has no split 'validation' about anatomy \(found: test\); `split` says which"),
        ("mmlu_anatomy", {"split": "train"}, r"has no split 'train' about anatomy \(found: test\)"),
        ("mmlu_astronomy", {"split": "test"}, "has no file of the subject astronomy"),
        ("commonsense_qa", {}, r"x\.jsonl:2: there is no 'answerKey'"),
        ("ecqa", {"split": {"creak": "test"}}, r"split\.creak: is not among the tasks measured \(ecqa\)"),
    ],
)
def test_what_cannot_be_measured_is_one_clear_line(tmp_path: Path, name: str, options: dict[str, Any], problem: str) -> None:
    write_text(tmp_path / "test" / "anatomy_test.csv", MMLU)
    flat = {"question": "Where?", "choices": {"label": ["A", "B"], "text": ["sea", "sky"]}, "id": "1"}
    file = write_lines(tmp_path / "x.jsonl", [{**flat, "answerKey": "A"}, flat])
    with pytest.raises(UserError, match=problem) as error:
        loaded(name, file if name == "commonsense_qa" else tmp_path, **options)
    assert "\n" not in str(error.value)


def test_an_answer_that_two_options_share_asks_for_the_key(tmp_path: Path) -> None:
    row = {**ECQA, "q_op2": "sea", "q_ans": "sea"}
    write_text(tmp_path / "cqa_data_test.csv", ",".join(row) + "\n" + ",".join(row.values()) + "\n")
    with pytest.raises(UserError, match=r"task 'ecqa': .*could mean .A. or .B.; give `answer_key`.*--set metadata\.answer_key=FILE"):
        loaded("ecqa", tmp_path)
    stem = {"stem": "Where?", "choices": [{"label": "A", "text": "sea"}, {"label": "B", "text": "sea"}]}
    write_lines(tmp_path / "dev_rand_split.jsonl", [{"id": "1", "answerKey": "B", "question": stem}])
    assert next(asked(loaded("ecqa", tmp_path)))[2] == "B"


def test_a_folder_written_by_prepare_is_measured_in_its_rows_own_words(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "creak" / "dev.json", [{"ex_id": "c1", "sentence": "Ice is hot.", "label": "false"}])
    prepared(tmp_path / "out", "creak", source.parent)
    ours, theirs = (list(asked(loaded("creak", data))) for data in (source.parent, tmp_path / "out"))
    assert ours == theirs and len(ours) == 1


def test_of_a_folder_that_prepare_wrote_a_subject_of_mmlu_is_asked_by_its_own_rows(tmp_path: Path) -> None:
    write_text(tmp_path / "mmlu" / "val" / "anatomy_val.csv", MMLU.replace("gas", "bone") + "Which tooth,a,b,c,d,2\n")
    write_text(tmp_path / "mmlu" / "val" / "astronomy_val.csv", MMLU.replace("gas", "star"))
    rows = prepared(tmp_path / "out", "mmlu", tmp_path / "mmlu")
    found = [[prompt for prompt, *_ in asked(loaded(f"mmlu_{name}", tmp_path / "out"))] for name in ("anatomy", "astronomy")]
    assert [len(prompts) for prompts in found] == [2, 1] and "Which bone. (A)" in found[0][0] and "Which star. (A)" in found[1][0]
    with pytest.raises(UserError, match=r"task 'mmlu_virology': .*out: has no rows about virology \(found: anatomy, astronomy\)"):
        loaded("mmlu_virology", tmp_path / "out")
    bare = [{name: value for name, value in row.items() if name != "subject"} for row in rows]
    DatasetDict({"validation": Dataset.from_list(bare)}).save_to_disk(tmp_path / "bare")
    with pytest.raises(UserError, match=r"its rows have no column 'subject'; measure all of them with `questions_letters`") as error:
        loaded("mmlu_anatomy", tmp_path / "bare")
    assert "\n" not in str(error.value)
