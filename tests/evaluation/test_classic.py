"""Task classes in the words of the paper's documentation: found in a user's folder, asked, scored and kept apart from lm-eval's own."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from teacherlm.datasets.creak import INSTRUCTION
from teacherlm.errors import UserError
from teacherlm.evaluation.classic import Request, rf
from teacherlm.evaluation.loading import LoadedTask, TaskOptions, load_tasks
from teacherlm.evaluation.scoring import Answer, score
from teacherlm.prompts import template
from teacherlm.records import Question
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.store.files import read_jsonl

THE_DOCUMENTS_CLASS = """
import datasets
import numpy as np
from lm_eval.base import rf, Task
from lm_eval.metrics import mean

dataset_dir = 'lm_eval/datasets/'


class CREAK(Task):
    VERSION = 0
    DATASET_PATH = dataset_dir + "creak"
    DATASET_NAME = None

    def download(self, data_dir=None, cache_dir=None, download_mode=None):
        self.dataset = datasets.Dataset.load_from_disk(self.DATASET_PATH)

    def has_training_docs(self):
        return False

    def has_validation_docs(self):
        return False

    def has_test_docs(self):
        return True

    def test_docs(self):
        return self.dataset

    def doc_to_text(self, doc):
        ret_ctx = f"Q: {doc['question']} A: The answer is ("
        return ret_ctx

    def doc_to_target(self, doc):
        return " "

    def construct_requests(self, doc, ctx):
        ll_A, _ = rf.loglikelihood(ctx, "A")
        ll_B, _ = rf.loglikelihood(ctx, "B")
        requests = [ll_A, ll_B]
        return requests

    def process_results(self, doc, results):
        gold = doc["answer"]
        option_term = ['(A)', '(B)', '(C)', '(D)', '(E)', '(F)', '(G)', '(H)']
        pred = np.argmax(results)
        acc = 1.0 if option_term[pred] == gold else 0.0
        return {"acc": acc}

    def aggregation(self):
        return {"acc": mean}

    def higher_is_better(self):
        return {"acc": True}
"""
SPLITS = """
    def has_training_docs(self): return {train}
    def has_validation_docs(self): return False
    def has_test_docs(self): return True
    def training_docs(self): return self.dataset
    def test_docs(self): return self.dataset
    def doc_to_text(self, doc): return f"{{doc['n']}} plus 1?"
    def doc_to_target(self, doc): return f" {{doc['n'] + 1}}"
    def aggregation(self): return {{"acc": mean}}
    def higher_is_better(self): return {{"acc": True}}
"""
ASKS_FOR_ONE = """
    def construct_requests(self, doc, ctx): return rf.loglikelihood(ctx, " 1")
    def process_results(self, doc, results): return {"acc": 0}
"""
HEAD = "from teacherlm.evaluation.classic import MultipleChoiceTask, Task, mean, rf\n"


def class_text(name: str, body: str, train: bool = False) -> str:
    return f'\n\nclass {name}(Task):\n    DATASET_PATH = "rows.jsonl"\n{SPLITS.format(train=train)}{body}\n'


def write_class(folder: Path, file: str, body: str, name: str = "Mine", train: bool = False) -> Path:
    (folder / "rows.jsonl").write_text("".join(json.dumps({"id": f"q{n}", "n": n}) + "\n" for n in range(6)))
    (folder / file).write_text(HEAD + class_text(name, body, train))
    return folder


def loaded(folder: Path, name: str, **options: Any) -> LoadedTask:
    (task,) = load_tasks([name], [folder], TaskOptions(**options))
    return task


def write_papers_creak(folder: Path, creak: Path, count: int) -> None:
    rows = [json.loads(line) for line in (creak / "dev.json").read_text(encoding="utf-8").splitlines()[:count]]
    (folder / "paper_creak.py").write_text(THE_DOCUMENTS_CLASS)
    stored = []
    for row in rows:
        prompt = template("teacherlm").prompt(Question(INSTRUCTION + row["sentence"], "A", ("True", "False")))
        gold = "(A)" if row["label"] == "true" else "(B)"
        stored.append({"id": row["ex_id"], "question": prompt.removeprefix("Q: ").removesuffix(" A:"), "answer": gold})
    Dataset.from_list(stored).save_to_disk(folder / "lm_eval" / "datasets" / "creak")


@pytest.mark.real
def test_the_documents_class_runs_unchanged_and_leaves_no_module_behind(tmp_path: Path, creak: Path) -> None:
    write_papers_creak(tmp_path, creak, 20)
    task = loaded(tmp_path, "CREAK")
    assert task.name == "paper_creak" and not {"lm_eval.base", "lm_eval.metrics"} & set(sys.modules)
    asked = [instance.args for instance in task.task.instances]
    told = f"Q: {INSTRUCTION}Eating soup means eating only solids. (A) True (B) False A: The answer is ("
    assert asked[:2] == [(told, "A"), (told, "B")] and len(asked) == 40
    golds = [instance.doc["answer"] for instance in task.task.instances[::2]]
    # (log-likelihood, greedy) pairs: the first is larger where A is right; greedy is always false, as with most models.
    answers = [[Answer((-1.0 if (gold == "(A)") == (i == 0) else -2.0, False))] for gold in golds for i in (0, 1)]
    rows, (metric,) = score(task, answers)
    assert metric.value == 1.0 and [row["gold"] for row in rows] == golds
    assert [row["answer"] for row in rows] == [gold[1] for gold in golds]


@pytest.mark.slow
@pytest.mark.real
def test_the_documents_class_scores_each_real_claim_as_our_creak_does(tmp_path: Path, creak: Path, stories260k: Path) -> None:
    write_papers_creak(tmp_path, creak, 80)
    shared = {"input": str(stories260k), "dtype": "float32", "protocol": "teacherlm"}
    evaluate(EvaluateConfig(**shared, output=tmp_path / "theirs", tasks=["paper_creak"], include_path=[tmp_path]))  # type: ignore[arg-type]
    evaluate(EvaluateConfig(**shared, output=tmp_path / "ours", tasks=["creak"], data=creak, limit=80))  # type: ignore[arg-type]
    theirs, ours = (predictions(tmp_path / name) for name in ("theirs", "ours"))
    told = ("item", "prompt", "answer", "output", "correct")
    assert [[row[key] for key in told] for row in theirs] == [[row[key] for key in told] for row in ours]
    assert len(theirs) == 80 and {row["correct"]["acc"] for row in theirs} == {0.0, 1.0}


def predictions(output: Path) -> list[dict[str, Any]]:
    _, result = next(read_jsonl(output / "results.jsonl"))
    return [row for _, row in read_jsonl(output / result["predictions"])]


def test_a_request_is_unpacked_or_indexed_and_each_result_is_what_was_asked_for(tmp_path: Path) -> None:
    write_class(
        tmp_path,
        "parts.py",
        """
    def construct_requests(self, doc, ctx):
        both = rf.loglikelihood(ctx, "x")
        return [both[0], both[1], both, rf.loglikelihood_rolling(ctx), rf.greedy_until(ctx, ["\\n"])]

    def process_results(self, doc, results):
        assert results == [-1.5, True, (-1.5, True), -7.0, "written"], results
        return {"acc": 1.0}
""",
    )
    task = loaded(tmp_path, "parts", max_new_tokens=9)
    kinds = [instance.request_type for instance in task.task.instances[:5]]
    assert kinds == ["loglikelihood"] * 3 + ["loglikelihood_rolling", "generate_until"]
    assert task.task.instances[4].args == ("0 plus 1?", {"until": ["\n"], "max_gen_toks": 9})
    values = {"loglikelihood": (-1.5, True), "loglikelihood_rolling": -7.0, "generate_until": "written"}
    _, (metric,) = score(task, [[Answer(values[instance.request_type])] for instance in task.task.instances])
    assert (metric.name, metric.value, metric.n) == ("acc", 1.0, 6)


def test_what_cannot_be_asked_or_indexed_says_so() -> None:
    assert [*rf.loglikelihood("a", "b")] == [Request("loglikelihood", ("a", "b"), 0), Request("loglikelihood", ("a", "b"), 1)]
    with pytest.raises(AttributeError, match=r"rf\.logprob: there is no such request; there are rf\.loglikelihood, "):
        rf.logprob("a")
    for wrong in (lambda: [*rf.greedy_until("a", [])], lambda: rf.loglikelihood("a", "b")[0][0], lambda: rf.loglikelihood("a", "b")[2]):
        with pytest.raises(IndexError):
            wrong()


@pytest.mark.parametrize("train", [True, False])
def test_shots_are_solved_questions_and_never_the_question_itself(tmp_path: Path, train: bool) -> None:
    write_class(tmp_path, "shots.py", ASKS_FOR_ONE, train=train)
    task = loaded(tmp_path, "Mine", shots=5)
    for instance in task.task.instances:
        *shots, question = instance.args[0].split("\n\n")
        assert question == f"{instance.doc['n']} plus 1?"
        assert sorted(shots) == [f"{n} plus 1? {n + 1}" for n in range(6) if n != instance.doc["n"]]
    again = [instance.args for instance in loaded(tmp_path, "shots", shots=5).task.instances]
    assert again == [instance.args for instance in task.task.instances]
    with pytest.raises(UserError, match="task 'shots': 6 shots asked for, but its data holds 5 rows"):
        loaded(tmp_path, "shots", shots=6)


def test_multiple_choice_rows_need_no_method_for_asking_or_scoring(tmp_path: Path) -> None:
    rows = [{"n": n, "choices": ["a", "bb bb"], "gold": n % 2} for n in range(2)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = class_text("Mine", "", False).replace("(Task)", "(MultipleChoiceTask)")
    text = "\n".join(line for line in text.split("\n") if "doc_to_target" not in line and "aggregation" not in line)
    (tmp_path / "chosen.py").write_text(HEAD + text)
    task = loaded(tmp_path, "chosen")
    assert [instance.args[1] for instance in task.task.instances] == [" a", " bb bb"] * 2
    found, metrics = score(task, [[Answer((value, False))] for value in (-1.0, -2.0, -1.0, -2.0)])
    assert [row["correct"] for row in found] == [{"acc": 1.0, "acc_norm": 0.0}, {"acc": 0.0, "acc_norm": 1.0}]
    assert {metric.name for metric in metrics} == {"acc", "acc_norm"}


@pytest.mark.parametrize("shots", [None, 1])
@pytest.mark.parametrize("gold", [None, 7, -1, "A"])
def test_multiple_choice_rows_without_a_right_choice_are_one_line_before_anything_is_asked(
    tmp_path: Path, gold: object, shots: int | None
) -> None:
    rows = [{"id": "q0", "n": 0, "choices": ["a", "b"], "gold": gold}, {"id": "q1", "n": 1, "choices": ["a", "b"], "gold": gold}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = class_text("Mine", "", False).replace("(Task)", "(MultipleChoiceTask)")
    (tmp_path / "chosen.py").write_text(HEAD + "\n".join(line for line in text.split("\n") if "doc_to_target" not in line))
    problem = rf"task 'chosen', item 'q[01]': its gold {gold!r} is none of the numbers of its choices \(0 to 1\)\."
    with pytest.raises(UserError, match=problem):
        loaded(tmp_path, "chosen", shots=shots)


def test_tasks_are_found_by_file_or_class_and_by_patterns_and_data_of_the_run_takes_the_place_of_their_own(tmp_path: Path) -> None:
    write_class(tmp_path, "two.py", ASKS_FOR_ONE, "First")
    (tmp_path / "two.py").write_text((tmp_path / "two.py").read_text() + class_text("Second", ASKS_FOR_ONE))
    write_class(tmp_path, "_hidden.py", ASKS_FOR_ONE, "Hidden")
    assert [task.name for task in load_tasks(["First", "Sec*"], [tmp_path], TaskOptions())] == ["First", "Second"]
    other = tmp_path / "other.jsonl"
    other.write_text('{"id": "x", "n": 40}\n')
    (instance,) = loaded(tmp_path, "First", data=other).task.instances
    assert instance.args[0] == "40 plus 1?"
    (tmp_path / "deeper").mkdir()
    write_class(tmp_path / "deeper", "again.py", ASKS_FOR_ONE, "First")
    with pytest.raises(UserError, match=r"the task 'First' is there twice, in .*deeper/again\.py and .*two\.py"):
        load_tasks(["First"], [tmp_path], TaskOptions())


def test_another_score_in_the_same_file_is_another_content(tmp_path: Path) -> None:
    write_class(tmp_path, "mine.py", ASKS_FOR_ONE)
    before = loaded(tmp_path, "mine").content
    assert loaded(tmp_path, "mine").content == before
    write_class(tmp_path, "mine.py", ASKS_FOR_ONE.replace('"acc": 0', '"acc": 1'))
    assert loaded(tmp_path, "mine").content != before


def test_what_a_class_may_read_when_it_scores_is_another_content(tmp_path: Path) -> None:
    write_class(tmp_path, "mine.py", ASKS_FOR_ONE)
    data = tmp_path / "told.jsonl"
    data.write_text('{"id": "x", "n": 40}\n')
    contents = [loaded(tmp_path, "mine", data=data, metadata=told).content for told in ({}, {"strict": True}, {"strict": False})]
    assert len(set(contents)) == 3
    assert loaded(tmp_path, "mine", metadata={"data": str(data)}).content == contents[0], "where its rows lie is no part of it"


def test_a_class_whose_questions_are_texts_is_one_clear_line(tmp_path: Path) -> None:
    write_class(tmp_path, "mine.py", ASKS_FOR_ONE)
    text = (tmp_path / "mine.py").read_text().replace("f\"{doc['n']} plus 1?\"", "str(doc)")
    (tmp_path / "mine.py").write_text(text + "\n    def test_docs(self):\n        return ['Once upon a time.', 'There was a dog.']\n")
    with pytest.raises(UserError, match=r"task 'mine': question 0 is a str, expected a dict such as \{'text': \.\.\.\}\.") as error:
        loaded(tmp_path, "mine")
    assert "\n" not in str(error.value)


NATIVE = """
from datasets import Dataset, DatasetDict
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import mean
from lm_eval.api.task import ConfigurableTask, Task


class Configured(ConfigurableTask):
    def __init__(self, config=None):  # as lm-eval's own squadv2 leaves out what is not of a TaskConfig
        super().__init__(config={key: value for key, value in config.items() if key != "class"})
    def download(self, *_, **__):
        self.dataset = DatasetDict({"test": Dataset.from_list([{"id": f"q{n}", "n": n} for n in range(3)])})


class Bare(Task):
    VERSION = 1
    def download(self, data_dir=None, cache_dir=None, download_mode=None):
        self.dataset = [{"id": f"q{n}", "n": n} for n in range(3)]
    def has_training_docs(self): return False
    def has_validation_docs(self): return False
    def has_test_docs(self): return True
    def test_docs(self): return self.dataset
    def doc_to_text(self, doc): return f"{doc['n']} plus 1?"
    def doc_to_target(self, doc): return f" {doc['n'] + 1}"
    def construct_requests(self, doc, ctx, **kwargs):
        kwargs.pop("apply_chat_template", None), kwargs.pop("chat_template", None)
        return [Instance("loglikelihood", doc, (ctx, c), i, **kwargs) for i, c in enumerate((" 1", " 2", " 3"))]
    def process_results(self, doc, results):
        values = [ll for ll, is_greedy in results]
        return {"acc": float(values.index(max(values)) == doc["n"])}
    def aggregation(self): return {"acc": mean}
    def higher_is_better(self): return {"acc": True}
"""
CONFIGURED = """
task: configured
class: !function native.Configured
output_type: multiple_choice
test_split: test
doc_to_text: "{{n}} plus 1?"
doc_to_choice: ["1", "2", "3"]
doc_to_target: "{{n}}"
"""


@pytest.mark.parametrize("name", ["configured", "bare"])
def test_native_classes_of_lm_eval_work_unchanged_through_their_yaml(tmp_path: Path, name: str) -> None:
    (tmp_path / "native.py").write_text(NATIVE)
    (tmp_path / "configured.yaml").write_text(CONFIGURED)
    (tmp_path / "bare.yaml").write_text("task: bare\nclass: !function native.Bare\n")
    task = loaded(tmp_path, name)
    assert [instance.args for instance in task.task.instances[:3]] == [("0 plus 1?", f" {n}") for n in (1, 2, 3)]
    rows, metrics = score(task, [[Answer((-float(i != 1), i == 1))] for _ in range(3) for i in range(3)])
    acc = next(metric for metric in metrics if metric.name == "acc")
    assert acc.value == pytest.approx(1 / 3) and [row["correct"]["acc"] for row in rows] == [0.0, 1.0, 0.0]
    with pytest.raises(UserError, match=f"data: the task '{name}' brings its own data"):
        loaded(tmp_path, name, data=tmp_path)
