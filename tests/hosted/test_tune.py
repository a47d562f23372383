"""A student trained behind an API: rows told as they are taught, uploaded once whatever goes wrong, and the key in no file and no line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from finetuning_server import KEY, FinetuningServer

from teacherlm.errors import UserError
from teacherlm.launch.perform import perform
from teacherlm.parsing import parse_config
from teacherlm.stages.finetune import STAGE, FinetuneConfig
from teacherlm.store.files import read_json, read_jsonl
from teacherlm.store.manifest import read_manifest

BASE = "gpt-4o-mini-2024-07-18"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    lines = [
        {"id": str(i), "prompt": f"Q: {i} plus 1? A:", "text": f"Q: {i} plus 1? A: The answer is {i + 1}.", "template": "teacherlm"}
        for i in range(12)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def settings(rows: Path, url: str, **backend: Any) -> dict[str, Any]:
    output = rows.parent / "runs" / "student"
    fast = {"poll_seconds": 0.02, "timeout": 0.5, "retries": 4}
    return {
        **{"input": rows, "model": BASE, "train_on": "text", "output": output},
        "backend": {"name": "openai", "base_url": url, **fast, **backend},
    }


def tuned(values: dict[str, Any]) -> Path:
    config = parse_config(FinetuneConfig, values)
    perform("finetune", STAGE, config)
    return config.output


def texts_below(folder: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


def test_a_job_is_fed_begun_watched_and_noted(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FinetuningServer() as server:
        output = tuned(settings(rows, server.url, suffix="sums", epochs=3, learning_rate_multiplier=0.5))
        [job], [content] = server.jobs.values(), server.contents.values()
        assert set(server.keys) == {f"Bearer {KEY}"}
    lines = [json.loads(line) for line in content.splitlines()]
    assert len(lines) == 12
    assert lines[3]["messages"] == [{"role": "user", "content": "Q: 3 plus 1? A:"}, {"role": "assistant", "content": "The answer is 4."}]
    assert (job["model"], job["suffix"], job["seed"], job["training_file"]) == (BASE, "sums", 0, "file-0")
    assert job["hyperparameters"] == {"n_epochs": 3, "learning_rate_multiplier": 0.5}
    hosted, manifest = read_json(output / "model.json"), read_manifest(output)
    assert (hosted["model"], hosted["endpoint"], hosted["facts"]["template"]) == (f"ft:{BASE}::ftjob-0", "chat", "teacherlm")
    assert manifest is not None and manifest.facts["model"] == hosted["model"]
    assert (manifest.counts["trained"], manifest.metrics["train_loss"], manifest.metrics["trained_tokens"]) == (12, 0.5, 1234)
    assert [row for _, row in read_jsonl(output / "metrics.jsonl")] == [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 0.5}]
    said = capsys.readouterr()
    assert "job ftjob-0: running." in said.err
    assert KEY not in said.err + said.out + texts_below(output)


def test_a_form_for_models_that_continue_a_text(rows: Path) -> None:
    with FinetuningServer() as server:
        output = tuned(settings(rows, server.url, form="prompt_completion"))
        [content] = server.contents.values()
    assert json.loads(content.splitlines()[3]) == {"prompt": "Q: 3 plus 1? A:", "completion": " The answer is 4."}
    assert read_json(output / "model.json")["endpoint"] == "completions"


def test_a_system_turn_of_the_rows_is_told_and_kept(tmp_path: Path) -> None:
    row = {"prompt": "3 plus 1?", "text": "3 plus 1? Four.", "template": 'chat{"system":"Be brief."}'}
    (tmp_path / "rows.jsonl").write_text((json.dumps(row) + "\n") * 10)
    with FinetuningServer() as server:
        output = tuned(settings(tmp_path / "rows.jsonl", server.url))
        [content] = server.contents.values()
    turns = json.loads(content.splitlines()[0])["messages"]
    assert [turn["content"] for turn in turns] == ["Be brief.", "3 plus 1?", "Four."]
    assert read_json(output / "model.json")["system"] == "Be brief."


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 500, 503, 0, -1])
def test_each_request_that_fails_in_passing_is_made_again_and_nothing_is_done_twice(rows: Path, status: int) -> None:
    """-1: the server has done it, and the answer is lost."""

    def fault(method: str, path: str, before: int) -> int | None:
        return status if before == 0 else None

    with FinetuningServer(fault) as server:
        tuned(settings(rows, server.url))
        assert (len(server.files), len(server.jobs)) == (1, 1)


def test_a_server_without_lists_and_with_pages(rows: Path) -> None:
    with FinetuningServer(lists=False) as server:
        tuned(settings(rows, server.url))
        assert len(server.jobs) == 1
    with FinetuningServer(page=2) as server:
        for number in range(5):
            server.add_file(f"other-{number}", b"x")
        name = f"teacherlm-{'0' * 32}.jsonl"
        server.add_file(name, b"x")
        output = rows.parent / "again"
        tuned({**settings(rows, server.url), "output": output})
        assert len(server.files) == 7
        tuned({**settings(rows, server.url, suffix="other"), "output": rows.parent / "third"})
        assert len(server.files) == 7 and len(server.jobs) == 2


@pytest.mark.parametrize(
    ("ending", "reason", "said"),
    [("failed", f"the file has {KEY} bad rows", "job ftjob-0 failed: the file has *** bad rows"), ("cancelled", "", "gives no reason")],
)
def test_a_job_that_fails_is_one_line_and_the_same_command_begins_another(rows: Path, ending: str, reason: str, said: str) -> None:
    with FinetuningServer(ending=ending, reason=reason) as server:
        with pytest.raises(UserError) as told:
            tuned(settings(rows, server.url))
        assert said in str(told.value) and "\n" not in str(told.value) and KEY not in str(told.value)
        server.ending = "succeeded"
        output = tuned(settings(rows, server.url))
        assert (len(server.files), len(server.jobs)) == (1, 2)
    assert KEY not in texts_below(output)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "the server says 401 Unauthorized: no, ***; set OPENAI_API_KEY to a key that it takes"),
        (400, "files: the server says 400 Bad Request: no, ***"),
        (404, "it may have no finetuning, or base_url is not right"),
        (500, "uploading the rows: 500 Internal Server Error: no, ***; the same command tries again from there"),
    ],
)
def test_what_a_server_refuses_is_one_line_without_the_key(rows: Path, status: int, said: str) -> None:
    def fault(method: str, path: str, before: int) -> int | None:
        return status if method == "POST" else None

    with FinetuningServer(fault) as server, pytest.raises(UserError) as told:
        tuned(settings(rows, server.url, retries=1))
    assert said in str(told.value) and KEY not in str(told.value) and "\n" not in str(told.value)
    assert KEY not in texts_below(rows.parent)


def test_nobody_at_the_address_is_one_line(rows: Path) -> None:
    with pytest.raises(UserError, match=r"http://127.0.0.1:9/v1: uploading the rows: .*efused"):
        tuned(settings(rows, "http://127.0.0.1:9/v1", retries=1))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model": None}, "model: is the name by which the server knows the base"),
        ({"epochs": 3}, "epochs: is not decided here .*; set backend.epochs"),
        ({"adapter": "lora"}, "adapter: is not decided here .*; leave it out"),
        ({"held_out": 0.1}, "held_out: is not decided here"),
        ({"objective": "step_by_step"}, "objective: is not decided here"),
        ({"backend": "opnai"}, "No backend named 'opnai'. Did you mean 'openai'"),
        ({"backend": {"name": "openai", "base_url": "http://me:secret@x/v1"}}, "backend.base_url: a URL is written into manifests"),
        ({"backend": {"name": "openai", "parameters": {"model": "x"}}}, "backend.parameters: 'model' is said by settings of its own"),
    ],
)
def test_settings_that_mean_nothing_there_are_refused(rows: Path, values: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse_config(FinetuneConfig, {**settings(rows, "http://127.0.0.1:9/v1"), **values})


def test_another_seed_is_another_job_of_the_same_file(rows: Path) -> None:
    with FinetuningServer() as server:
        for seed in (0, 1):
            tuned({**settings(rows, server.url), "seed": seed, "output": rows.parent / f"s{seed}"})
        assert (len(server.files), sorted(job["seed"] for job in server.jobs.values())) == (1, [0, 1])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_goes_on_polling_the_same_job(rows: Path, number: int) -> None:
    with FinetuningServer(hold=True) as server:
        values = settings(rows, server.url)
        backend = json.dumps(values["backend"])
        words = ["--input", rows, "--model", BASE, "--train-on", "text", "--output", values["output"], "--set", f"backend={backend}"]
        command = [sys.executable, "-m", "teacherlm.cli", "finetune", *map(str, words)]
        first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
        until = time.monotonic() + 60
        while not server.came["GET", "fine_tuning/jobs/ftjob-0"]:
            assert time.monotonic() < until and first.poll() is None
            time.sleep(0.05)
        first.send_signal(number)
        _, said = first.communicate(timeout=30)
        if number == signal.SIGTERM:
            assert first.returncode == 143 and "the same command goes on from there" in said and "Traceback" not in said
        server.hold = False
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert (server.posted("files"), server.posted("fine_tuning/jobs")) == (1, 1)
    assert read_json(values["output"] / "model.json")["model"] == f"ft:{BASE}::ftjob-0"
    assert KEY not in said + done.stderr + texts_below(rows.parent)
