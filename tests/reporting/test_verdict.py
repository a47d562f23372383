"""The sentences a report says."""

from typing import Any

from teacherlm.reporting.metrics import ends
from teacherlm.reporting.verdict import answer, cautions, is_shown


def row(**changes: Any) -> dict[str, Any]:
    found = {"student": "tiny", "task": "creak", "baseline": "text", "candidate": "cot_head", "difference": 0.712}
    found |= {"ci_low": 0.67, "ci_high": 0.75, "p_value": 0.0001, "p_adjusted": 0.0002, "n": 500, "unmatched": 0}
    return {**found, "baseline_seeds": [0, 1], "candidate_seeds": [0, 1], "task_hashes": ["a"], **changes}


def test_the_answer_reads_as_promised() -> None:
    assert answer([row()], "text") == "cot_head beats text by 71.2 points, 95% interval 67 to 75, on 500 questions"


def test_a_difference_whose_interval_reaches_zero_is_not_shown() -> None:
    small = row(difference=0.012, ci_low=-0.008, ci_high=0.031, p_value=0.2, p_adjusted=0.2)
    assert answer([small], "text") == (
        "no difference shown between cot_head and text: +1.2 points, 95% interval -0.8 to 3.1, on 500 questions"
    )


def test_many_comparisons_ask_for_more_certainty() -> None:
    assert is_shown(row()) and not is_shown(row(p_adjusted=0.06))


def test_a_worse_candidate_is_said_to_be_behind_by_a_positive_number() -> None:
    worse = row(difference=-0.3, ci_low=-0.35, ci_high=-0.25)
    assert answer([worse], "text") == "cot_head is behind text by 30.0 points, 95% interval 25 to 35, on 500 questions"


def test_several_tasks_are_counted_and_the_untrained_model_is_never_the_candidate() -> None:
    rows = [row(), row(task="ecqa", difference=0.2, ci_low=0.1, ci_high=0.3), row(candidate="untrained", difference=0.9)]
    assert answer(rows, "text") == (
        "cot_head beats text on 2 of 2 tasks; where it does best, "
        "cot_head beats text by 71.2 points, 95% interval 67 to 75, on 500 questions of creak"
    )


def test_no_task_with_a_difference_is_said_as_such() -> None:
    even = {"difference": 0.0, "ci_low": -0.03, "ci_high": 0.03, "p_adjusted": 1.0}
    said = answer([row(**even), row(task="ecqa", **even)], "text")
    assert said.startswith("cot_head is not shown to differ from text on any of 2 tasks; where it does best, no difference shown")


def test_where_it_does_best_is_a_gain_that_is_shown_not_a_larger_one_on_a_few_questions() -> None:
    few = row(task="small", difference=0.333, ci_low=0.01, ci_high=0.609, p_adjusted=0.3, n=12)
    said = answer([row(difference=0.11, ci_low=0.08, ci_high=0.14), few], "text")
    assert said == (
        "cot_head beats text on 1 of 2 tasks; where it does best, "
        "cot_head beats text by 11.0 points, 95% interval 8.0 to 14.0, on 500 questions of creak"
    )


def test_gains_in_points_choose_the_candidate_where_another_task_is_a_plain_number() -> None:
    bleu: dict[str, Any] = {"task": "truthful_qa", "scale": 1, "metric": "bleu_max"}
    rows = [row(difference=0.48, ci_low=0.4, ci_high=0.5), row(**bleu, difference=-0.498, ci_low=-0.9, ci_high=0.1)]
    worse: dict[str, Any] = {"candidate": "cot_tail"}
    rows += [row(**worse, difference=0.015, ci_low=-0.01, ci_high=0.04), row(**worse, **bleu, difference=0.597, ci_low=0.2, ci_high=0.9)]
    assert answer(rows, "text").startswith("cot_head beats text on 1 of 2 tasks; where it does best, cot_head beats text by 48.0 points")


def test_small_ends_keep_a_decimal_so_that_an_interval_beside_zero_does_not_seem_to_touch_it() -> None:
    assert ends(0.003, 0.042, 100) == "0.3 to 4.2"
    assert ends(0.67, 0.753, 100) == "67 to 75"


def student(trained_on: str, **changes: Any) -> dict[str, Any]:
    found = {"student": "tiny", "trained_on": trained_on, "task": "creak", "trained_tokens": 9, "template": "teacherlm", "ci_low": 0.7}
    found |= {"metric": "acc", "by_question": True, "more_is_better": True}
    return {**found, **changes}


def said_of(**changes: Any) -> str:
    report = {"comparisons": [row()], "runs": [], "students": [student("text"), student("cot_head")], "rows": [], "baselines": []}
    report |= {"overlaps": [], "left_out": []}
    return " ".join(cautions({**report, **changes}, "text"))


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


def test_a_metric_that_is_no_share_is_said_in_its_own_unit() -> None:
    rouge = row(metric="rougeL", scale=1, difference=4.21, ci_low=2.5, ci_high=6.0)
    assert answer([rouge], "text") == "cot_head beats text by 4.210 rougeL, 95% interval 2.500 to 6.000, on 500 questions"


def test_questions_that_were_trained_on_are_said():
    found = {"task": "creak", "trained_on": "cot_head", "input": "postprocess", "questions": 1371, "exact": 2, "shared": 12}
    assert "creak: 12 of its 1,371 questions share 13 words in a row with what cot_head was trained on" in said_of(overlaps=[found])
    assert "with what cot_head and text were trained on" in said_of(overlaps=[found, {**found, "trained_on": "text"}])
    assert "share 13 words" not in said_of(overlaps=[{**found, "exact": 0, "shared": 0}])
