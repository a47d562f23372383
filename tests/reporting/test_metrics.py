"""Which metric a task is compared by, and how values are written."""

from dataclasses import replace
from pathlib import Path

import pytest

from teacherlm.errors import UserError
from teacherlm.reporting.measured import Result, Student
from teacherlm.reporting.metrics import choose_metrics, difference, ends, shown

RESULT = Result(Student("tiny", "text", 0, ""), "checkpoint-1", 1, 1.0, "creak", "acc", 0.5, None, 10, "", "", Path())


def measured(**metrics: str) -> list[Result]:
    return [replace(RESULT, task=task, metric=name) for task, names in metrics.items() for name in names.split()]


def test_accuracy_is_compared_where_there_is_one_and_else_the_first_metric_of_which_more_is_better() -> None:
    found = choose_metrics(
        measured(creak="acc_norm acc", ni="rmse rougeL exact_match", gsm8k="exact_match,strict-match", lm="word_perplexity")
    )
    assert found == {"creak": "acc", "ni": "rougeL", "gsm8k": "exact_match,strict-match", "lm": "word_perplexity"}


def test_a_task_that_says_which_way_is_better_is_heeded() -> None:
    stereotyped = replace(RESULT, metric="pct_stereotype", higher_is_better=False)
    assert choose_metrics([stereotyped, replace(RESULT, metric="rougeL", higher_is_better=True)]) == {"creak": "rougeL"}
    assert choose_metrics([replace(RESULT, metric="rmse", higher_is_better=True), replace(RESULT, metric="f1")]) == {"creak": "f1"}


def test_a_wanted_metric_is_taken_where_it_is_and_is_an_error_where_no_task_has_it() -> None:
    results = measured(creak="acc acc_norm", ni="rougeL")
    assert choose_metrics(results, "acc_norm") == {"creak": "acc_norm", "ni": "rougeL"}
    with pytest.raises(UserError, match=r"no task was measured with metric 'bleu' \(found: acc, acc_norm, rougeL\)"):
        choose_metrics(results, "bleu")


def test_values_are_percent_or_plain_numbers() -> None:
    assert [shown(0.6231, 100), shown(0.4119, 1), shown(27.42, 1)] == ["62.3%", "0.412", "27.4"]
    assert [difference(-0.041, 100), difference(0.0412, 1)] == ["−4.1", "+0.041"]
    assert [ends(-0.031, 0.42, 100), ends(0.1, 0.25, 1), ends(None, None, 100)] == ["−3.1 to 42.0", "0.100 to 0.250", "–"]
