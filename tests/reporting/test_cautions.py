"""What a report asks to keep in mind."""

from typing import Any

from comparison_rows import row

from teacherlm.reporting.cautions import find_cautions


def student(trained_on: str, **changes: Any) -> dict[str, Any]:
    found = {"student": "tiny", "trained_on": trained_on, "task": "creak", "trained_tokens": 9, "template": "teacherlm", "ci_low": 0.7}
    found |= {"metric": "acc", "by_question": True, "more_is_better": True}
    return {**found, **changes}


def said_of(**changes: Any) -> str:
    report = {"comparisons": [row()], "runs": [], "students": [student("text"), student("cot_head")], "rows": [], "baselines": []}
    report |= {"overlaps": [], "left_out": [], "unlike": []}
    return " ".join(find_cautions({**report, **changes}, "text"))


def test_nothing_is_said_about_a_sound_comparison() -> None:
    assert said_of() == ""


def test_what_weakens_a_comparison_is_said() -> None:
    said = said_of(comparisons=[row(n=40, unmatched=3, candidate_seeds=[0], task_hashes=["a", "b"])])
    for words in ("3 questions were not answered", "40 questions are few", "one seed", "different contents (a, b)"):
        assert words in said


def test_what_weakens_a_comparison_of_runs_is_said_as_well() -> None:
    between = row(baseline="cot_head (first)", candidate="cot_head (second)", unmatched=20, task_hashes=["a", "b"])
    said = said_of(runs=[between])
    assert "cot_head (second) against cot_head (first) (tiny, creak): 20 questions were not answered" in said
    assert "different contents (a, b)" in said


def test_a_baseline_trained_on_less_is_said() -> None:
    students = [student("text", trained_tokens=5), student("cot_head")]
    assert "text was trained on fewer tokens than others (5 against up to 9)" in said_of(students=students)


def test_a_student_not_above_the_majority_answer_is_said() -> None:
    majority = [{"task": "creak", "answer": "B", "value": 0.72}]
    expected = "creak: not shown to be better than always answering B (72.0%): text (tiny), cot_head (tiny)."
    assert said_of(baselines=majority) == expected
    assert said_of(baselines=[{**majority[0], "value": 0.6}]) == ""


def test_a_template_nobody_could_check_and_a_task_left_out_are_said() -> None:
    assert "cot_head (tiny) on creak: the student or the task declares no template" in said_of(students=[student("cot_head", template="")])


def test_another_metric_than_accuracy_is_said_and_one_that_no_pair_of_answers_can_be_compared_by() -> None:
    rouge = student("cot_head", task="ni", metric="rougeL")
    assert "ni has no acc: it is shown by rougeL, its first metric of which more is better." in said_of(students=[rouge])
    together = student("cot_head", metric="spearman", by_question=False)
    assert "creak: spearman stands over all questions at once" in said_of(students=[together])
    assert "creak: less rmse is better; it is shown and not compared." in said_of(
        students=[student("cot_head", metric="rmse", more_is_better=False)]
    )


def test_questions_that_were_trained_on_are_said():
    found = {"task": "creak", "trained_on": "cot_head", "input": "postprocess", "questions": 1371, "exact": 2, "shared": 12}
    assert "creak: 12 of its 1,371 questions share 13 words in a row with what cot_head was trained on" in said_of(overlaps=[found])
    assert "with what cot_head and text were trained on" in said_of(overlaps=[found, {**found, "trained_on": "text"}])
    assert "share 13 words" not in said_of(overlaps=[{**found, "exact": 0, "shared": 0}])
