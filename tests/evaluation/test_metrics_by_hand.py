"""The metrics of the field, which are lm-eval's, come through our scoring as a pencil gives them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from teacherlm.evaluation.loading import TaskOptions, load_tasks
from teacherlm.evaluation.measured import Metric
from teacherlm.evaluation.scoring import Answer, score

Row = dict[str, Any]
ROWS = "dataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}}}\ntest_split: test\ndoc_to_text: q\nmetadata: {{version: 1}}\n"
CHOSEN = "output_type: multiple_choice\ndoc_to_choice: choices\ndoc_to_target: gold\ntarget_delimiter: ' '\n"
WRITTEN = "output_type: generate_until\ndoc_to_target: gold\ngeneration_kwargs: {until: ['END']}\n"


def metric(name: str) -> str:
    return f"  - {{metric: {name}, aggregation: mean, higher_is_better: true}}\n"


def measured(folder: Path, yaml: str, rows: list[Row], answers: list[Any]) -> dict[str, Metric]:
    """`answers`: a text for each row, or the log-likelihood of each choice of each row."""
    data = folder / "rows.json"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = folder / "tasks"
    tasks.mkdir()
    (tasks / "by_hand.yaml").write_text("task: by_hand\n" + ROWS.format(data=data) + yaml)
    (task,) = load_tasks(["by_hand"], [tasks], TaskOptions())
    flat = [value for answer in answers for value in (answer if isinstance(answer, list) else [answer])]
    given = [[Answer(value if isinstance(value, str) else (value, False))] for value in flat]
    return {one.name: one for one in score(task, given)[1]}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def test_acc_takes_the_likeliest_choice_and_acc_norm_the_likeliest_by_character(tmp_path: Path) -> None:
    rows = [
        {"q": "1?", "choices": ["abcdefghij", "ab"], "gold": 0},  # -5 < -2, but -0.5 a character > -1
        {"q": "2?", "choices": ["éééé", "abcde"], "gold": 1},  # -1.1 < -0.8 a character, but -0.55 a byte
        {"q": "3?", "choices": ["a", "bb"], "gold": 1},  # -1 > -3, and -1 > -1.5
    ]
    found = measured(tmp_path, CHOSEN + "metric_list:\n" + metric("acc") + metric("acc_norm"), rows, [[-5, -2], [-4.4, -4], [-1, -3]])
    assert (found["acc"].value, found["acc_norm"].value) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert found["acc"].stderr == pytest.approx(math.sqrt((1 / 3) * (2 / 3) / 2)) and found["acc"].n == 3


@pytest.mark.slow
def test_mc2_is_the_share_of_probability_on_true_answers(tmp_path: Path) -> None:
    rows = [
        {"q": "1?", "mc2_targets": {"choices": ["a", "b", "c"], "labels": [1, 0, 1]}},  # (0.2 + 0.1) / 0.6
        {"q": "2?", "mc2_targets": {"choices": ["a", "b", "c"], "labels": [1, 0, 0]}},  # 0.1 / 0.4
    ]
    yaml = (
        "output_type: multiple_choice\ndoc_to_choice: '{{mc2_targets.choices}}'\ndoc_to_target: 0\ntarget_delimiter: ' '\n"
        "process_results: !function lm_eval.tasks.truthfulqa.utils.process_results_mc2\nmetric_list:\n" + metric("acc")
    )
    found = measured(tmp_path, yaml, rows, [[math.log(p) for p in ps] for ps in ((0.2, 0.3, 0.1), (0.1, 0.1, 0.2))])
    assert found["acc"].value == pytest.approx((1 / 2 + 1 / 4) / 2)


def test_bleu_is_that_of_the_whole_corpus(tmp_path: Path) -> None:
    rows = [{"q": "1?", "gold": "the cat is on the red mat"}]
    yaml = WRITTEN + "metric_list:\n  - {metric: bleu, aggregation: bleu, higher_is_better: true}\n"
    found = measured(tmp_path, yaml, rows, ["the cat is on the mat"])
    assert found["bleu"].value == pytest.approx(100 * math.exp(1 - 7 / 6) * (6 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** (1 / 4))


def test_exact_match_and_what_a_filter_reads_out_of_a_text(tmp_path: Path) -> None:
    """The filter of lm-eval's own gsm8k: the number behind `####`."""
    rows = [{"q": f"{n}?", "gold": gold} for n, gold in enumerate(("8", "1008", "7", "5"))]
    yaml = (
        WRITTEN + "metric_list:\n  - {metric: exact_match, aggregation: mean, higher_is_better: true, regexes_to_ignore: [',']}\n"
        "filter_list:\n"
        '  - {name: strict, filter: [{function: regex, regex_pattern: "#### (\\\\-?[0-9\\\\.\\\\,]+)"}, {function: take_first}]}\n'
        "  - {name: whole, filter: [{function: take_first}]}\n"
    )
    found = measured(tmp_path, yaml, rows, ["5 + 3 = 8\n#### 8", "#### 1,008", "7", "#### 4 5"])
    assert {name: one.value for name, one in found.items()} == {"exact_match,strict": 0.5, "exact_match,whole": 0.25}
