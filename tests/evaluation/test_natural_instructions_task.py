"""Super-NaturalInstructions as a task: its three measures, by category and task, and what copying scores."""

import json
import re
import string
from pathlib import Path
from typing import Any

import pytest

from teacherlm.errors import UserError
from teacherlm.evaluation.loading import LoadedTask, TaskOptions, load_tasks
from teacherlm.evaluation.scoring import Answer, predicted_examples, score
from teacherlm.evaluation.tasks._rouge import METRIC_OF_CATEGORY, METRICS, best_scores, percent

Row = dict[str, Any]


def load(data: Path, **options: Any) -> LoadedTask:
    (task,) = load_tasks(["natural_instructions"], [], TaskOptions(data=data, **options))
    return task


def measures(task: LoadedTask, answers: list[str]) -> dict[str, float]:
    return {metric.name: metric.value for metric in score(task, [[Answer(answer)] for answer in answers])[1]}


def instance(asked: str, *outputs: str) -> Row:
    return {"id": asked, "input": asked, "output": list(outputs)}


def write_task(folder: Path, name: str, category: str, *instances: Row) -> None:
    shown = [{"input": "shown", "output": "first shown", "explanation": ""}, {"input": "other", "output": "second", "explanation": ""}]
    content = {"Categories": [category], "Definition": ["Do it."], "Positive Examples": shown, "Negative Examples": []}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({**content, "Instances": list(instances)}))


@pytest.fixture
def two_tasks(tmp_path: Path) -> Path:
    write_task(tmp_path / "tasks", "task1_nli", "Textual Entailment", instance("a b", "yes"), instance("no", "no", "never"))
    write_task(tmp_path / "tasks", "task2_title", "Title Generation", instance("first shown of all", "the first shown"))
    write_task(tmp_path / "tasks", "task3_other", "Sums", instance("3", "4"))
    lists = tmp_path / "splits" / "default"
    lists.mkdir(parents=True)
    (lists / "train_tasks.txt").write_text("task3_other\n")
    (lists / "test_tasks.txt").write_text("task1_nli\ntask2_title\n")
    return tmp_path


def test_all_categories_and_tasks_have_their_metrics_in_percent(two_tasks: Path) -> None:
    task = load(two_tasks)
    found = measures(task, ["YES!", "never mind", "the first of them"])
    assert {name: found[name] for name in METRICS} == {
        "exact_match": 33.3333,
        "rouge1": round(100 * (1 + 2 / 3 + 4 / 7) / 3, 4),
        "rougeL": round(100 * (1 + 2 / 3 + 4 / 7) / 3, 4),
    }
    assert (found["exact_match_for_textual_entailment"], found["exact_match_for_task1_nli"]) == (50.0, 50.0)
    assert found["rougeL_for_title_generation"] == found["rougeL_for_task2_title"] == round(400 / 7, 4)
    assert found["by_category"] == round(100 * (1 + 0 + 4 / 7) / 3, 4), "exact match of the first two, ROUGE-L of the third"
    assert len(METRIC_OF_CATEGORY) == 12 and METRIC_OF_CATEGORY["textual_entailment"] == "exact_match"


def test_what_copying_scores_stands_beside_every_student(two_tasks: Path) -> None:
    found = measures(load(two_tasks), ["", "", ""])
    assert found["exact_match"] == found["rouge1"] == 0.0
    of_input, of_demonstration = (0 + 1 + 2 * 2 / 7) / 3, (0 + 0 + 2 * 2 / 5) / 3
    assert found["rougeL_of_copy_input"] == round(100 * of_input, 4) and found["exact_match_of_copy_input"] == 33.3333
    assert found["rouge1_of_copy_demonstration"] == round(100 * of_demonstration, 4)


def test_each_prediction_is_kept_with_its_instance_and_scores_as_fractions(two_tasks: Path) -> None:
    task = load(two_tasks)
    rows, metrics = score(task, [[Answer("yes")], [Answer("no")], [Answer("x")]])
    assert [row["correct"]["rougeL"] for row in rows] == [1.0, 1.0, 0.0]
    assert {metric.scale for metric in metrics} == {100}
    examples = predicted_examples(task, rows)
    assert [(one["task"], one["input"], one["prediction"]) for one in examples][:2] == [
        ("task1_nli", "a b", "yes"),
        ("task1_nli", "no", "no"),
    ]


def test_a_student_that_explains_first_is_scored_by_what_it_states(two_tasks: Path) -> None:
    said = [" It follows. The answer is yes.", "The answer is no.", "So. The answer is the first shown."]
    assert measures(load(two_tasks, taught={"train_on": "cot_head"}), said)["exact_match"] == 100.0
    assert measures(load(two_tasks), said)["exact_match"] == 0.0


def test_what_is_told_and_decides_scores_alone_is_another_content(two_tasks: Path, tmp_path: Path) -> None:
    one, copy, other = (gpt2_tokenizer(tmp_path / name) for name in ("one", "copy", "other"))
    (copy / "model.safetensors").write_bytes(b"weights")
    settings = json.loads((other / "tokenizer.json").read_text())
    settings["model"]["merges"].pop()
    (other / "tokenizer.json").write_text(json.dumps(settings))

    def content(**metadata: Any) -> str:
        return load(two_tasks, metadata=metadata).content

    assert content(gpt2=str(one)) == content(gpt2=str(copy)), "the same tokenizer in another place"
    assert len({content(), content(train_on="cot_head"), content(gpt2=str(one)), content(gpt2=str(other))}) == 4
    assert content() == load(two_tasks, taught={"train_on": "cot_head"}).content, "whom it measures is no part of a task"


def test_the_first_hundred_instances_of_each_test_task_are_measured(tmp_path: Path) -> None:
    write_task(tmp_path, "task1_long", "Sums", *(instance(str(n), str(n)) for n in range(120)))
    asked = [doc.doc["input"] for doc in load(tmp_path).task.instances]
    assert asked == [str(n) for n in range(100)]
    assert len(load(tmp_path, taught={"max_num_instances_per_eval_task": 7}).task.instances) == 7
    prompt = load(tmp_path, taught={"num_pos_examples": 1, "add_task_definition": False}).task.instances[0].args[0]
    assert (
        prompt == " Positive Example 1 -\nInput: shown.\n Output: first shown.\n\nNow complete the following example -\nInput: 0.\nOutput: "
    )


def test_splits_are_named_and_a_missing_one_is_refused(two_tasks: Path) -> None:
    assert [i.doc["task"] for i in load(two_tasks, split="train").task.instances] == ["task3_other"]
    with pytest.raises(UserError, match=r"natural_instructions.*has no split 'validation' \(found: train, test\)"):
        load(two_tasks, split="validation")
    with pytest.raises(UserError, match="max_num_instances_per_eval_task"):
        load(two_tasks, taught={"max_num_instances_per_eval_task": 0})


VECTORS = [
    # Of rouge-score's own README.
    ("The quick brown dog jumps on the log.", "The quick brown fox jumps over the lazy dog", 0.7058823529411765, 0.5882352941176471),
    # Of its tests.
    ("testing", "testing one two", 1 / 2, 1 / 2),
    ("testing one", "testing one two", 4 / 5, 4 / 5),
    ("testing one two", "", 0.0, 0.0),
    # Of Lin (2004), section 3.1: both have the longest common subsequence 2 of 4.
    ("the gunman kill police", "police killed the gunman", 1.0, 0.5),
    ("the gunman police killed", "police killed the gunman", 1.0, 0.5),
]


@pytest.mark.parametrize(("prediction", "reference", "rouge1", "rouge_l"), VECTORS)
def test_rouge_is_the_published_one(prediction: str, reference: str, rouge1: float, rouge_l: float) -> None:
    found = best_scores(prediction, (reference,))
    assert (found["rouge1"], found["rougeL"]) == (pytest.approx(rouge1), pytest.approx(rouge_l))


def test_the_best_reference_counts_for_each_metric_by_itself() -> None:
    assert best_scores("The  CAT, sat.", ("a dog", "the cat sat")) == {"exact_match": 1.0, "rouge1": 1.0, "rougeL": 1.0}
    assert best_scores("the cat", ("a cat",))["exact_match"] == 0.0, "articles are kept"
    one = best_scores("b a", ("a b c d", "b x"))
    assert (one["rouge1"], one["rougeL"]) == (pytest.approx(2 / 3), pytest.approx(1 / 2))
    assert percent([1, 0, 0]) == 33.3333


def stemmed(text: str) -> list[str]:
    from nltk.stem.porter import PorterStemmer

    stem = PorterStemmer().stem
    return [stem(word) if len(word) > 3 else word for word in re.findall("[a-z0-9]+", text.lower())]


def rouge_l_by_hand(one: str, other: str) -> float:
    a, b = stemmed(one), stemmed(other)
    longest = [0] * (len(b) + 1)
    for x in a:
        before, longest = longest, [0]
        for j, y in enumerate(b):
            longest.append(before[j] + 1 if x == y else max(before[j + 1], longest[j]))
    return 2 * longest[-1] / (len(a) + len(b)) if longest[-1] else 0.0


def plain(text: str) -> str:
    return " ".join("".join(char for char in text.lower() if char not in string.punctuation).split())


@pytest.mark.real
@pytest.mark.slow
def test_copying_on_the_real_tasks_scores_what_a_few_lines_of_its_own_say(test_data: Path) -> None:
    folder = test_data / "data" / "natural_instructions"
    found = measures(load(folder), [""] * 129)
    scores: dict[str, list[tuple[float, float]]] = {"copy_input": [], "copy_demonstration": []}
    for path in sorted(folder.glob("*.json")):
        task = json.loads(path.read_text())
        for one in task["Instances"][:100]:
            for name, copied in (("copy_input", one["input"]), ("copy_demonstration", task["Positive Examples"][0]["output"])):
                exact = max(plain(copied) == plain(reference) for reference in one["output"])
                scores[name].append((exact, max(rouge_l_by_hand(copied, reference) for reference in one["output"])))
    for name, each in scores.items():
        assert len(each) == 129
        assert found[f"exact_match_of_{name}"] == round(100 * sum(exact for exact, _ in each) / 129, 4)
        assert found[f"rougeL_of_{name}"] == pytest.approx(100 * sum(rouge for _, rouge in each) / 129, abs=1e-4)


def gpt2_tokenizer(folder: Path) -> Path:
    """GPT-2's kind of tokenizer: bytes, with a space as `Ġ`, and a few merges."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("a", "b"), ("Ġ", "ab")]
    vocabulary = {token: number for number, token in enumerate([*alphabet, *("".join(pair) for pair in merges)])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=made).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_texts_of_many_languages_are_compared_by_gpt2s_tokens_or_not_at_all(two_tasks: Path, tmp_path: Path) -> None:
    (two_tasks / "splits" / "default").rename(two_tasks / "splits" / "xlingual")
    with pytest.raises(UserError, match="`gpt2` is missing: the track xlingual is compared by GPT-2's tokens"):
        load(two_tasks, taught={"track": "xlingual"})
    folder = str(gpt2_tokenizer(tmp_path / "gpt2"))
    assert best_scores("ab ab", ("ab c",), folder)["rouge1"] == pytest.approx(2 * 1 / (2 + 3)), "`ab`, `ab` and `ab`, ``, `c`"
    assert best_scores("日本", ("日本",), folder)["rougeL"] == 1.0 and best_scores("日本", ("日本",))["rougeL"] == 0.0
    told = load(two_tasks, taught={"track": "xlingual", "gpt2": folder})
    assert measures(told, ["yes", "no", "the first shown"])["rougeL"] == 100.0
    with pytest.raises(UserError, match=r"natural_instructions.*nowhere"):
        load(two_tasks, taught={"track": "xlingual", "gpt2": str(tmp_path / "nowhere")})
