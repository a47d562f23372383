"""The sentence a report begins with."""

from typing import Any

from comparison_rows import row

from teacherlm.reporting.metrics import ends
from teacherlm.reporting.verdict import answer, is_shown


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


def test_a_metric_that_is_no_share_is_said_in_its_own_unit() -> None:
    rouge = row(metric="rougeL", scale=1, difference=4.21, ci_low=2.5, ci_high=6.0)
    assert answer([rouge], "text") == "cot_head beats text by 4.210 rougeL, 95% interval 2.500 to 6.000, on 500 questions"
