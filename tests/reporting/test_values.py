"""Values as tasks give them: weighed otherwise, of some questions only, the less the better, no share of right answers."""

from pathlib import Path
from typing import Any

from finished_run import Run, make, rewrite

from teacherlm.reporting.page import ending


def written(root: Path, task: str, scored: Any, **row_of_result: Any) -> dict[str, Any]:
    """A report over students whose task gives other values: `scored` makes a question's scores from its accuracy and number."""
    outputs = Run(root, {"text": 0.3, "cot_head": 0.8}, (0,), questions=60, last_only=True).write()
    for output in outputs:
        for file in output.glob("measured/*/predictions.jsonl"):
            rewrite(file, lambda row: {**row, "correct": scored(row["correct"]["acc"], row["doc_id"])})
        rewrite(output / "results.jsonl", lambda row: {**row, "task": task, **{k: f(row["value"]) for k, f in row_of_result.items()}})
    return make(outputs, root / "report")


def test_a_value_that_is_not_the_mean_of_its_questions_is_shown_and_not_compared(tmp_path: Path) -> None:
    found = written(tmp_path, "plugin", lambda right, _: {"acc": right}, value=lambda share: 100 * share)
    assert found["comparisons"] == [] and {row["scale"] for row in found["students"]} == {1}
    assert any("acc stands over all questions at once" in caution for caution in found["cautions"])


def test_a_metric_that_only_some_questions_have_is_shown_and_not_compared(tmp_path: Path) -> None:
    name = "f1_yesno"
    found = written(tmp_path, "qasper", lambda right, i: {name: right} if i % 2 else {"f1_abs": right}, metric=lambda _: name)
    assert found["comparisons"] == [] and found["metrics"] == {"qasper": name}
    assert any("f1_yesno stands over all questions at once" in caution for caution in found["cautions"])


def test_a_metric_of_which_its_task_says_that_less_is_better_is_not_praised(tmp_path: Path) -> None:
    name = "pct_stereotype"
    found = written(tmp_path, "pairs", lambda right, _: {name: right}, metric=lambda _: name, higher_is_better=lambda _: False)
    assert found["comparisons"] == []
    assert any("pairs: less pct_stereotype is better" in caution for caution in found["cautions"])


def test_all_sides_of_a_task_are_written_alike_however_small_one_is(tmp_path: Path) -> None:
    name = "bleu_max"
    scored = written(tmp_path, "truthful_qa", lambda right, _: {name: right * 25.0}, metric=lambda _: name, value=lambda share: 25 * share)
    assert {row["scale"] for row in scored["students"]} == {1} and {row["scale"] for row in scored["comparisons"]} == {1}
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "beats text by" in scored["answer"] and "bleu_max" in scored["answer"] and "%</strong>" not in page


def test_what_copying_scores_stands_once_and_as_the_task_is_written(tmp_path: Path) -> None:
    outputs = Run(tmp_path, {"text": 0.3, "cot_head": 0.8}, (0,), questions=60, last_only=True).write()
    for output in outputs:
        for file in output.glob("measured/*/predictions.jsonl"):
            rewrite(file, lambda row: {**row, "correct": {"chrf": 30.0 * row["correct"]["acc"], "chrf_of_copy_input": 11.0}})
        first = (output / "results.jsonl").read_text()
        rewrite(output / "results.jsonl", lambda row: {**row, "metric": "chrf", "value": 30 * row["value"]})
        (output / "results.jsonl").write_text((output / "results.jsonl").read_text() + first.replace('"acc"', '"chrf_of_copy_input"'))
        rewrite(output / "results.jsonl", lambda row: {**row, "value": 11.0} if "copy" in row["metric"] else row)
    found = make(outputs, tmp_path / "report")
    (row,) = (row for row in found["baselines"] if row["name"] == "copy input")
    assert (row["value"], row["scale"]) == (11.0, 1)
    assert "1100.0%" not in (tmp_path / "report" / "report.html").read_text() + (tmp_path / "report" / "report.md").read_text()


def test_behind_its_shots_the_question_itself_is_shown(tmp_path: Path) -> None:
    outputs = Run(tmp_path, {"text": 0.3, "cot_head": 0.8}, (0,), questions=60, last_only=True).write()
    shots = "\n\n".join(f"Q: solved {i}, {'a long story ' * 20}? A: The answer is {i}." for i in range(5))
    for output in outputs:
        for file in output.glob("measured/*/predictions.jsonl"):
            rewrite(file, lambda row: {**row, "prompt": f"{shots}\n\nQ: asked {row['doc_id']}? A:"})
    found = make(outputs, tmp_path / "report")
    question = found["disagreements"][0]["gained"]["questions"][0]
    number = question["item"].removeprefix("word_problems_")
    assert question["prompt"].endswith(f"Q: asked {number}? A:")
    assert f"asked {number}?" in (tmp_path / "report" / "report.md").read_text()
    assert f"Q: asked {number}? A:</summary>" in (tmp_path / "report" / "report.html").read_text()


def test_a_prompt_that_ends_in_a_line_of_its_own_is_shown_with_its_question() -> None:
    assert ending("Q: Is it?\n\n### Response:", 40) == "Q: Is it? ### Response:"
    assert ending(f"Q: {'solved ' * 30}\n\nQ: Is it?\n\nA:", 20) == "... solved Q: Is it? A:"
