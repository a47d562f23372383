"""A student behind an API is measured and asked by what it writes, as the same student is in memory."""

import json
from pathlib import Path
from typing import Any

import pytest
from chat_models import write_chat_model
from datasets import Dataset, DatasetDict
from serving import started
from typer.testing import CliRunner

from teacherlm.cli import build_app
from teacherlm.errors import UserError
from teacherlm.hosted.student import Hosted, write_hosted
from teacherlm.parsing import parse_config
from teacherlm.stages.evaluate import STAGE, EvaluateConfig, evaluate
from teacherlm.stages.report import ReportConfig, report
from teacherlm.store.checkpoints import seal_checkpoint
from teacherlm.store.files import read_jsonl
from teacherlm.store.fingerprint import content_on_disk, fingerprint
from teacherlm.store.manifest import Manifest, write_manifest

QUESTIONS = ["Lily went to the park.", "Tom has a red ball.", "The dog was sad."]


def config(**values: Any) -> EvaluateConfig:
    return parse_config(EvaluateConfig, {"tasks": "questions", "max_new_tokens": 12, "device": "cpu", **values})


def answers(output: Path) -> list[str]:
    rows = [row for _, row in read_jsonl(output / "results.jsonl")]
    return [str(row["output"]).strip() for _, row in read_jsonl(output / rows[0]["predictions"])]


def prepared(folder: Path, template: str) -> Path:
    rows = [
        {"id": f"q{i}", "prompt": text, "choices": ["yes", "no"], "answer": "A", "answer_rule": "letter", "template": template}
        for i, text in enumerate(QUESTIONS)
    ]
    DatasetDict({"test": Dataset.from_list(rows)}).save_to_disk(folder)
    return folder


@pytest.mark.real
@pytest.mark.slow
def test_it_is_measured_as_the_same_student_in_memory(stories260k: Path, tmp_path: Path) -> None:
    run = tmp_path / "tales"
    write_chat_model(stories260k, run / "checkpoint-3")
    seal_checkpoint(run / "checkpoint-3", 3, 1.0, {"template": "chat", "train_on": "text"})
    data = prepared(tmp_path / "data", "chat")
    evaluate(config(input=str(run), output=tmp_path / "local", data=data, dtype="float32"))
    with (tmp_path / "log.txt").open("w") as log:
        process, url = started(log, "--model", run, "--dtype", "float32")
        try:
            named = config(input="openai:tales", output=tmp_path / "named", data=data, api={"base_url": url, "endpoint": "chat"})
            evaluate(named)
            assert answers(tmp_path / "named") == answers(tmp_path / "local") and any(answers(tmp_path / "local"))
            elsewhere = config(**{**named.model_dump(), "api": {"base_url": "http://elsewhere/v1", "endpoint": "chat"}})
            prints = {fingerprint("evaluate", STAGE, one, content_on_disk) for one in (named, elsewhere)}
            assert len(prints) == 1, "where the server is decides nothing"
            assert evaluate(elsewhere).counts["measured"] == 0

            output = tmp_path / "finetune"
            write_hosted(output, Hosted("tales", "base", url, "NO_KEY", "chat", facts={"template": "chat", "train_on": "text"}))
            write_manifest(output, Manifest("finetune", 1, "f", {"input": "rows", "train_on": "text", "model": "base", "seed": 0}, {}))
            evaluate(config(input=str(output), output=tmp_path / "tuned", data=data))
            assert answers(tmp_path / "tuned") == answers(tmp_path / "local")
            write_manifest(tmp_path / "tuned", Manifest("evaluate", 1, "e", {"input": str(output)}, {str(output): "f"}))
            outcome = report(parse_config(ReportConfig, {"input": [tmp_path / "tuned"], "output": tmp_path / "report"}))
            assert outcome.counts["in"] == 2

            words = ["generate", "--model", str(output), "--prompt", QUESTIONS[0], "--max-new-tokens", "12"]
            assert CliRunner().invoke(build_app([]), words).stdout.strip() == answers(tmp_path / "local")[0]
        finally:
            process.terminate()
            process.wait(20)


def test_what_needs_log_probabilities_is_refused_in_one_line(tmp_path: Path) -> None:
    data = prepared(tmp_path / "data", "teacherlm")
    with pytest.raises(
        UserError, match="task 'questions_letters' weighs answers by their log-probabilities, which m does not give"
    ) as told:
        evaluate(config(input="openai:m", output=tmp_path / "x", data=data, tasks="questions_letters"))
    assert "\n" not in str(told.value) and "questions" in str(told.value)


def test_other_students_take_no_api_and_a_template_must_fit(tmp_path: Path) -> None:
    data = prepared(tmp_path / "data", "teacherlm")
    with pytest.raises(UserError, match="api: is for a student behind an API"):
        evaluate(config(input="gpt2", output=tmp_path / "x", data=data, api={"endpoint": "chat"}))
    with pytest.raises(UserError, match=r"api\.nope: unknown key"):
        config(input="openai:m", output=tmp_path / "x", data=data, api={"nope": 1})
    write_hosted(tmp_path / "zs", Hosted("m", "base", "http://127.0.0.1:9/v1", "NO_KEY", "chat", facts={"template": "zs"}))
    with pytest.raises(UserError, match=r"task 'questions' asks by the template 'teacherlm', .* was taught by 'zs'"):
        evaluate(config(input=str(tmp_path / "zs"), output=tmp_path / "x", data=data))
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "model.json").write_text(json.dumps({"nothing": 1}))
    with pytest.raises(UserError, match="does not say how a student behind an API is called"):
        evaluate(config(input=str(tmp_path / "odd"), output=tmp_path / "x", data=data))
