"""The report over a finished run of 3 trainings x 2 seeds x 500 questions, and what a user can get wrong."""

import csv
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finished_run import Run, make, rewrite

from teacherlm.errors import UserError
from teacherlm.stages.report import ReportConfig
from teacherlm.store.files import read_jsonl, write_jsonl
from teacherlm.store.manifest import read_manifest, write_manifest


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    root = tmp_path_factory.mktemp("run")
    return root, Run(root).write()


@pytest.fixture(scope="module")
def found(run: tuple[Path, list[Path]]) -> dict[str, Any]:
    return make(run[1], run[0] / "report", title="Word problems")


def by_candidate(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["candidate"]: row for row in found["comparisons"]}


def test_the_rows_hold_every_checkpoint_with_the_promised_keys(found: dict[str, Any]) -> None:
    assert len(found["rows"]) == 3 * 2 * 3 + 1
    promised = {"student", "trained_on", "seed", "checkpoint", "task", "metric", "value", "stderr", "n"}
    assert all(promised <= set(row) for row in found["rows"])
    assert {(row["student"], row["trained_on"]) for row in found["rows"]} == {
        ("model", "untrained"),
        *(("tiny", trained_on) for trained_on in ("text", "cot_tail", "cot_head")),
    }


def test_comparisons_are_paired_use_the_last_checkpoint_and_both_seeds(found: dict[str, Any]) -> None:
    row = by_candidate(found)["cot_head"]
    values = {(r["trained_on"], r["seed"]): r["value"] for r in found["rows"] if r["checkpoint"] == "checkpoint-600"}
    mean = {name: (values[name, 0] + values[name, 1]) / 2 for name in ("text", "cot_head")}
    assert row["difference"] == pytest.approx(mean["cot_head"] - mean["text"])
    assert row["ci_low"] < row["difference"] < row["ci_high"] and row["p_value"] < 0.001
    assert (row["baseline"], row["n"], row["unmatched"]) == ("text", 500, 0)
    assert row["baseline_seeds"] == row["candidate_seeds"] == [0, 1]


def test_the_answer_is_one_sentence_with_the_same_numbers(found: dict[str, Any]) -> None:
    row = by_candidate(found)["cot_head"]
    ends = f"{100 * row['ci_low']:.0f} to {100 * row['ci_high']:.0f}"
    assert found["answer"] == f"cot_head beats text by {100 * row['difference']:.1f} points, 95% interval {ends}, on 500 questions"


def test_an_untrained_model_joins_the_students_made_from_it(found: dict[str, Any]) -> None:
    row = by_candidate(found)["untrained"]
    assert (row["student"], row["candidate_seeds"]) == ("tiny", [None]) and row["difference"] < 0


def test_the_table_of_students_shows_tokens_and_loss_and_unequal_training_is_said(found: dict[str, Any]) -> None:
    text = next(row for row in found["students"] if row["trained_on"] == "text")
    assert text["trained_tokens"] == 600 * 420 * 3 and text["train_loss"] < 0.1 and len(text["values"]) == 2
    assert text["spread"] > 0 and text["ci_low"] < text["mean"] < text["ci_high"] and text["answer_tokens"] == 4
    assert any("text was trained on fewer tokens" in caution for caution in found["cautions"])


def test_funnel_timings_versions_and_commands_come_from_the_manifests(found: dict[str, Any]) -> None:
    assert found["funnel"]["postprocess"]["agreement"] == {"right": 741, "wrong": 43, "unparsed": 12}
    assert [row["job"] for row in found["timings"]][:4] == ["prepare", "enhance", "postprocess", "finetune/tiny-cot_head-0"]
    assert sum(row["stage"] == "finetune" for row in found["timings"]) == 6
    assert found["versions"]["torch"] == "2.13.0" and found["commands"] == ["teacherlm run pipelines/quickstart.yaml --set seed=1"]


def test_the_page_is_one_small_file_without_a_request_or_markup_of_a_model(found: dict[str, Any], run: tuple[Path, list[Path]]) -> None:
    page = (run[0] / "report" / "report.html").read_text(encoding="utf-8")
    assert len(page) < 5_000_000
    assert found["answer"] in page
    assert "<script" not in page and "<img" not in page and "&lt;script&gt;alert(1)" in page
    assert "<link" not in page and "@import" not in page and 'href="http' not in page and 'src="' not in page
    assert page.count('<article style="--c') > 30 and page.count("<details") >= 10


def test_the_same_inputs_give_the_same_bytes(found: dict[str, Any], run: tuple[Path, list[Path]]) -> None:
    make(run[1], run[0] / "again", title="Word problems")
    for name in ("report.json", "report.html"):
        assert (run[0] / "report" / name).read_bytes() == (run[0] / "again" / name).read_bytes()


def test_the_sheet_has_a_row_for_each_result_with_interval_seed_and_cost(found: dict[str, Any], run: tuple[Path, list[Path]]) -> None:
    with (run[0] / "report" / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found["rows"]) and sum(row["compared"] == "True" for row in rows) == 7
    last = next(row for row in rows if (row["trained_on"], row["seed"], row["checkpoint"]) == ("cot_head", "1", "checkpoint-600"))
    assert float(last["ci_low"]) < float(last["value"]) < float(last["ci_high"]) and last["n"] == "500"
    assert (last["trained_tokens"], float(last["train_seconds"]), last["rows_trained_on"]) == (str(600 * 420 * 4), 32.7, "753")


def test_the_short_form_begins_with_the_answer_and_holds_no_markup_of_a_model(found: dict[str, Any], run: tuple[Path, list[Path]]) -> None:
    text = (run[0] / "report" / "report.md").read_text(encoding="utf-8")
    assert text.splitlines()[2].replace("\\", "") == f"**{found['answer']}.**"
    outside = re.sub(r"(?ms)^(`{3,})\w*\n.*?^\1$", "", text)
    assert "<script" in text and "<script" not in outside and "<img" not in outside
    for heading in ("### word\\_problems, acc", "### Compared with text", "### Cost"):
        assert heading in text


def test_what_was_gained_and_lost_is_listed_with_its_texts(found: dict[str, Any]) -> None:
    row, (lists,) = by_candidate(found)["cot_head"], found["disagreements"]
    assert (lists["gained"]["count"], lists["lost"]["count"]) == (row["gained"], row["lost"])
    assert len(lists["gained"]["questions"]) == 20
    for question in lists["gained"]["questions"]:
        assert sum(question["candidate"]["scores"]) > sum(question["baseline"]["scores"])
        assert question["prompt"].startswith("Q: ") and "The answer is" in question["candidate"]["output"]


def test_the_cost_of_a_student_is_its_training_and_the_words_of_its_answers(found: dict[str, Any]) -> None:
    row = next(row for row in found["students"] if row["trained_on"] == "cot_head")
    assert row["train_seconds"] == pytest.approx(32.2) and row["rows"] == 753 and row["answer_seconds"] == pytest.approx(3.0)
    assert row["score_per_hour"] == pytest.approx(100 * row["mean"] / (32.2 / 3600))
    assert row["score_per_1k_tokens"] == pytest.approx(100 * row["mean"] / (row["answer_tokens"] / 1000))


def test_best_held_out_takes_the_lowest_held_out_loss_not_the_best_score(run: tuple[Path, list[Path]]) -> None:
    found = make(run[1], run[0] / "held", checkpoint="best_held_out")
    assert {name for row in found["students"] for name in row["checkpoints"]} == {"checkpoint-400", "model"}


def test_best_held_out_without_held_out_rows_is_an_error(tmp_path: Path) -> None:
    outputs = Run(tmp_path, held_out=False, questions=20).write()
    with pytest.raises(UserError, match=r"checkpoint-200: has no held_out_loss"):
        make(outputs, tmp_path / "report", checkpoint="best_held_out")


def test_one_seed_each_is_tested_with_mcnemar_and_the_missing_spread_is_said(tmp_path: Path) -> None:
    found = make(Run(tmp_path, seeds=(7,), questions=120).write(), tmp_path / "report")
    assert {row["test"] for row in found["comparisons"]} == {"exact McNemar"}
    assert any("one seed" in caution for caution in found["cautions"])


def test_equal_students_show_no_difference(tmp_path: Path) -> None:
    outputs = Run(tmp_path, accuracy={"text": 0.5, "cot_head": 0.5}, questions=300).write()
    found = make(outputs, tmp_path / "report")
    assert found["answer"].startswith("no difference shown between cot_head and text: ")


def test_a_candidate_that_is_worse_is_called_behind(tmp_path: Path) -> None:
    outputs = Run(tmp_path, accuracy={"text": 0.8, "cot_head": 0.4}, questions=200).write()
    assert make(outputs, tmp_path / "report")["answer"].startswith("cot_head is behind text by ")


def test_several_tasks_and_students_are_compared_within_themselves(tmp_path: Path) -> None:
    outputs = Run(tmp_path, tasks=("creak", "ecqa"), students=("1b3", "6b7"), questions=150, lettered=True).write()
    found = make(outputs, tmp_path / "report")
    assert len(found["comparisons"]) == 2 * 2 * 3
    assert found["answer"].startswith("cot_head (") and "on 2 of 2 tasks" in found["answer"]
    baselines = {(row["task"], row["name"]): row["value"] for row in found["baselines"]}
    assert baselines == pytest.approx(
        {(task, name): value for task in ("creak", "ecqa") for name, value in [("random choice", 0.5), ("always “B”", 0.6)]}
    )
    assert all(row["p_adjusted"] >= row["p_value"] for row in found["comparisons"])


def test_questions_missing_on_one_side_are_counted_and_said(tmp_path: Path) -> None:
    outputs = Run(tmp_path, questions=150).write()
    file = tmp_path / "evaluate" / "tiny-cot_head-1" / "measured" / "checkpoint-600-word_problems" / "predictions.jsonl"
    rewrite(file, lambda row: None if row["doc_id"] < 30 else row)
    found = make(outputs, tmp_path / "report")
    row = by_candidate(found)["cot_head"]
    assert (row["n"], row["unmatched"]) == (120, 30)
    assert any("30 questions were not answered by every side" in caution for caution in found["cautions"])


def test_without_the_baseline_the_answer_says_that_there_is_nothing_to_compare(tmp_path: Path) -> None:
    outputs = Run(tmp_path, accuracy={"cot_head": 0.5}, questions=20).write()
    found = make(outputs, tmp_path / "report")
    assert found["comparisons"] == [] and found["answer"].startswith("Nothing to compare")
    assert (tmp_path / "report" / "report.html").is_file()


def test_a_report_over_untrained_models_alone_is_still_a_page(tmp_path: Path) -> None:
    found = make(Run(tmp_path, questions=20).write()[:1], tmp_path / "report")
    assert [row["trained_on"] for row in found["students"]] == ["untrained"] and found["funnel"] == {}


def test_an_unknown_metric_names_the_known_ones(run: tuple[Path, list[Path]], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"metric 'accuracy' \(found: acc\)"):
        make(run[1], tmp_path, metric="accuracy")


def test_a_folder_that_is_not_an_evaluation_is_named(run: tuple[Path, list[Path]], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="postprocess: not an output of evaluate"):
        make([run[0] / "postprocess"], tmp_path)
    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        make([run[0] / "nowhere"], tmp_path)


def test_a_moved_run_is_not_taken_for_an_untrained_model(tmp_path: Path) -> None:
    outputs = Run(tmp_path, questions=20).write()
    (tmp_path / "finetune").rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"results.jsonl:1: the run behind checkpoint-200 is not at .*start the report where it is"):
        make(outputs, tmp_path / "report")


@pytest.mark.slow
def test_an_ablation_names_what_each_kind_of_text_adds(tmp_path: Path) -> None:
    accuracy = {"text": 0.3, "cot_tail": 0.5, "error_tail": 0.3, "all_kinds": 0.7}
    table = make(Run(tmp_path, accuracy, questions=200).write()[1:], tmp_path / "report")["ablation"]
    assert table["title"].startswith("Ablation") and [row["trained_on"] for row in table["rows"]] == list(accuracy)
    cells = {row["trained_on"]: row["cells"]["word_problems"] for row in table["rows"]}
    assert cells["all_kinds"]["difference"] > 0.3 and cells["all_kinds"]["shown"] and not cells["error_tail"]["shown"]


@pytest.mark.slow
def test_students_of_training_sets_of_several_sizes_are_a_curve(tmp_path: Path) -> None:
    outputs = Run(tmp_path, {"text": 0.3, "cot_head": 0.8}, questions=100, subsamples=("25%", "100%"), last_only=True).write()
    found = make(outputs, tmp_path / "report")
    assert {(row["student"], row["rows"]) for row in found["students"] if row["rows"]} == {("tiny · 25%", 188), ("tiny · 100%", 753)}
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "acc on word_problems by size of the training set, tiny" in page and "Sample efficiency" in page


@pytest.mark.slow
def test_the_teacher_stands_beside_its_students_where_it_was_measured(tmp_path: Path) -> None:
    outputs = Run(tmp_path, questions=50).write()
    place = tmp_path / "enhance"
    manifest = read_manifest(place)
    assert manifest is not None
    write_manifest(place, replace(manifest, config={"teacher": {"name": "vllm", "model": "big/teacher"}}))
    measured = read_manifest(outputs[0])
    assert measured is not None
    write_manifest(outputs[0], replace(measured, config={"input": "big/teacher"}))
    found = make(outputs, tmp_path / "report")
    assert "teacher" in by_candidate(found) and "teacher" not in found["answer"]


def test_a_metric_that_stands_over_all_questions_is_shown_with_its_error_and_not_compared(tmp_path: Path) -> None:
    outputs = Run(tmp_path, questions=20).write()
    for output in outputs:
        rewrite(output / "results.jsonl", lambda row: {**row, "metric": "spearman", "value": 0.4, "stderr": 0.05})
    found = make(outputs, tmp_path / "report")
    assert found["comparisons"] == [] and found["metrics"] == {"word_problems": "spearman"}
    row = found["students"][0]
    assert (row["mean"], row["scale"], row["ci_low"]) == (pytest.approx(0.4), 1, pytest.approx(0.4 - 1.96 * 0.05, abs=1e-4))
    assert any("spearman stands over all questions at once" in caution for caution in found["cautions"])


@pytest.mark.slow
def test_the_order_of_the_options_has_a_table_where_it_was_measured(tmp_path: Path) -> None:
    outputs = Run(tmp_path, questions=20, lettered=True, last_only=True).write()
    for output in outputs[1:]:
        rows = [row for _, row in read_jsonl(output / "results.jsonl")]
        shutil.copytree(output / "measured", output / "measured" / "rotated")
        rotated = [{**row, "predictions": row["predictions"].replace("measured/", "measured/rotated/")} for row in rows]
        more = [
            {**row, "metric": name, "value": value} for row in rotated for name, value in (("acc_permuted", 0.5), ("acc_spread", 0.125))
        ]
        write_jsonl(output / "results.jsonl", rows + more)
    found = make(outputs, tmp_path / "report")
    assert [(row["trained_on"], row["acc_permuted"], row["acc_spread"]) for row in found["option_order"]] == [
        (name, 0.5, 0.125) for name in ("text", "cot_tail", "cot_head")
    ]
    assert set(found["metrics"].values()) == {"acc"} and not any("measured 2 times" in caution for caution in found["cautions"])
    assert set(make(outputs[1:], tmp_path / "other", metric="acc_permuted")["metrics"].values()) == {"acc_permuted"}
    for name in ("report.html", "report.md"):
        assert "rder of the options" in (tmp_path / "report" / name).read_text(encoding="utf-8")


@pytest.mark.slow
def test_all_metrics_of_a_task_and_what_copying_scores_are_shown(tmp_path: Path) -> None:
    outputs = Run(tmp_path, questions=20, last_only=True).write()
    for output in outputs:
        rows = [row for _, row in read_jsonl(output / "results.jsonl")]
        other = (("rougeL", 0.4), ("rougeL_for_question_answering", 0.6), ("acc_of_copy_input", 0.1))
        write_jsonl(output / "results.jsonl", rows + [{**row, "metric": name, "value": value} for row in rows for name, value in other])
    found = make(outputs, tmp_path / "report")
    assert {"task": "word_problems", "name": "copy input", "value": 0.1, "n": 20, "scale": 100} in found["baselines"]
    (table,) = found["every_metric"]
    assert [row["metric"] for row in table["rows"]] == ["acc", "rougeL", "rougeL_for_question_answering"]
    assert table["rows"][2]["values"] == pytest.approx([0.6] * 4) and len(table["columns"]) == 4
    assert "All 3 metrics of word_problems" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_metric_in_percent_is_the_share_that_its_questions_score(tmp_path: Path) -> None:
    outputs = Run(tmp_path, questions=40).write()
    for output in outputs:
        changed = {"metric": "rougeL", "scale": 100}
        rewrite(output / "results.jsonl", lambda row, new=changed: {**row, **new, "value": 75 * row["value"], "stderr": 75 * row["stderr"]})
        for file in output.glob("measured/*/predictions.jsonl"):
            rewrite(file, lambda row: {**row, "correct": {"rougeL": row["correct"]["acc"] * 0.75}})
    found = make(outputs, tmp_path / "report")
    row = next(row for row in found["students"] if row["trained_on"] == "cot_head")
    assert 0.5 < row["mean"] <= 0.75 and row["scale"] == 100 and row["ci_low"] < row["mean"] < row["ci_high"]
    assert by_candidate(found)["cot_head"]["difference"] > 0.3


def test_a_report_of_plain_folders_is_named_after_them() -> None:
    assert ReportConfig(input=[Path("runs/a"), Path("runs/b")]).output == Path("reports/a-b")


@pytest.mark.slow
def test_students_of_two_runs_that_would_be_one_bear_their_runs_names_and_the_runs_are_compared(tmp_path: Path) -> None:
    for name, right in (("first", 0.4), ("second", 0.8)):
        Run(tmp_path / name, {"text": 0.3, "cot_head": right}, questions=200).write()
    found = make([tmp_path / "first", tmp_path / "second"], tmp_path / "report")
    assert {row["student"] for row in found["comparisons"]} == {"tiny · first", "tiny · second"}
    across = {row["candidate"]: row for row in found["runs"]}
    assert set(across) == {"text (second)", "cot_head (second)"}
    assert across["cot_head (second)"]["baseline"] == "cot_head (first)" and across["cot_head (second)"]["difference"] > 0.3
    assert abs(across["text (second)"]["difference"]) < 0.1 < across["text (second)"]["p_value"]
    assert all(row["p_adjusted"] >= row["p_value"] for row in found["runs"])
    assert "Runs compared" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.slow
def test_runs_without_a_student_on_labels_alone_are_compared_with_each_other(tmp_path: Path) -> None:
    for name, right in (("first", 0.3), ("second", 0.8)):
        Run(tmp_path / name, {"cot_head": right}, questions=200).write()
    assert make([tmp_path / "first", tmp_path / "second"], tmp_path / "report")["answer"].startswith(
        "cot_head (second) beats cot_head (first) by "
    )


def broken(key: str, value: Any) -> Any:
    return lambda row: {**row, key: value} if row["doc_id"] == 4 else row


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (broken("correct", {"f1": 1}), r"predictions.jsonl:5: key 'acc' is missing"),
        (broken("correct", {"acc": 3.0}), r"predictions.jsonl:5: the score 'acc' of item 'word_problems_4' is 3.0"),
        (broken("correct", {"acc": None}), r"predictions.jsonl:5: the score 'acc' of item 'word_problems_4' is nan"),
        (broken("item", "word_problems_3"), r"predictions.jsonl:5: item 'word_problems_3' comes twice"),
        (lambda row: {k: v for k, v in row.items() if k != "gold"}, r"predictions.jsonl:1: key 'gold' is missing"),
    ],
)
def test_a_broken_prediction_names_file_and_line(tmp_path: Path, change: Any, message: str) -> None:
    outputs = Run(tmp_path, questions=20).write()
    rewrite(tmp_path / "evaluate" / "tiny-text-0" / "measured" / "checkpoint-600-word_problems" / "predictions.jsonl", change)
    with pytest.raises(UserError, match=message):
        make(outputs, tmp_path / "report")


def test_the_stage_file_is_light() -> None:
    import subprocess
    import sys

    heavy = {"torch", "transformers", "datasets", "lm_eval", "scipy", "matplotlib", "jinja2"}
    code = f"import sys, teacherlm.stages.report; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_rounds_of_a_pipeline_stand_side_by_side(tmp_path: Path) -> None:
    outputs = Run(tmp_path, seeds=(0,)).write()
    for name, number in (("cot_tail", "1"), ("cot_head", "2")):
        place = tmp_path / f"finetune/tiny-{name}-0"
        manifest = read_manifest(place)
        assert manifest is not None
        changed = {**manifest.config, "train_on": "cot_head"}
        write_manifest(place, replace(manifest, config=changed, entry={"student": "tiny", "seed": "0", "round": number}))
    found = make(outputs, tmp_path / "report")
    assert {row["student"] for row in found["comparisons"]} == {"tiny"}
    assert set(by_candidate(found)) == {"cot_head, round 1", "cot_head, round 2", "untrained"}
    assert "cot_head, round 2 beats text by" in found["answer"]
