"""What goes to a hub: which files of a run under which names, what is refused, and that a hub is asked for nothing else."""

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from enhanced_rows import enhanced, lines, write_lines
from typer.testing import CliRunner

from teacherlm.cli import build_app
from teacherlm.errors import UserError
from teacherlm.reporting.hub import plan_uploads, push
from teacherlm.store.checkpoints import seal_checkpoint
from teacherlm.store.manifest import Manifest, read_manifest, write_manifest

TOKEN = "hf_notarealtokenatall"


def command(*words: str) -> str:
    result = CliRunner().invoke(build_app([]), list(words))
    assert result.exit_code == 0, result.output + repr(result.exception)
    return str(result.output)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Examples as postprocess leaves them, and two students made of files."""
    raw = [{"ex_id": f"t{i}", "sentence": f"Soup {i} is wet.", "label": "true"} for i in range(3)]
    folder = tmp_path / "run"
    source = write_lines(tmp_path / "raw" / "train.json", raw)
    command("prepare", "creak", "--source", str(source), "--output", str(folder / "prepare"))
    told = [enhanced(row, cot=" So it is.") for row in lines(folder / "prepare" / "CREAK.jsonl")]
    write_lines(folder / "enhance" / "X_cot.jsonl", told)
    write_manifest(folder / "enhance", Manifest("enhance", 1, "e", {}, {str(folder / "prepare"): _print(folder / "prepare")}))
    words = ["--input", str(folder / "enhance"), "--output", str(folder / "postprocess"), "--set", "verify=[]", "--exports", "trl"]
    command("postprocess", *words)
    for train_on in ("text", "cot_tail"):
        write_student(folder, train_on)
    return folder


def _print(output: Path) -> str:
    manifest = read_manifest(output)
    assert manifest is not None
    return manifest.fingerprint


def write_student(run: Path, train_on: str, **files: bytes) -> Path:
    output = run / "finetune" / train_on
    for step in (2, 10):
        checkpoint = output / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        written = {"config.json": b"{}", "model.safetensors": b"x" * step, "tokenizer.json": b"{}", "optimizer.pt": b"state", **files}
        for name, content in written.items():
            (checkpoint / name).write_bytes(content)
        seal_checkpoint(checkpoint, step, 1.0, {"of_steps": 10})
    config = {"train_on": train_on, "model": "facebook/opt-125m", "output": str(output)}
    inputs = {str(run / "postprocess"): _print(run / "postprocess")}
    write_manifest(output, Manifest("finetune", 1, train_on, config, inputs, {"train_on": train_on}, {"rows": 3}, {"train_loss": 0.5}))
    return output


def test_the_examples_and_the_last_checkpoint_of_every_student_are_planned(run: Path):
    dataset, tail, text = plan_uploads(run, "me/soups")
    assert (dataset.name, dataset.kind) == ("me/soups", "dataset")
    assert list(dataset.sizes) == ["README.md", "data-00000-of-00001.arrow", "exports/trl/cot_tail.jsonl"]
    assert 'load_dataset("me/soups", split="train")' in dataset.card and "ORG/NAME" not in dataset.card
    assert [(one.name, one.kind, one.source.name) for one in (tail, text)] == [
        ("me/soups-cot_tail", "model", "checkpoint-10"),
        ("me/soups-text", "model", "checkpoint-10"),
    ]
    assert set(tail.sizes) == {"README.md", "config.json", "model.safetensors", "tokenizer.json"}
    from huggingface_hub import ModelCard

    front = ModelCard(tail.card).data.to_dict()
    assert (front["base_model"], front["datasets"], front["library_name"]) == ("facebook/opt-125m", ["me/soups"], "transformers")
    assert 'from_pretrained("me/soups-cot_tail")' in tail.card and "| train loss | 0.5 |" in tail.card


def test_a_part_of_a_run_can_be_pushed(run: Path):
    assert [one.kind for one in plan_uploads(run, "me/x", "dataset")] == ["dataset"]
    assert [one.name for one in plan_uploads(run, "me/x", "models")] == ["me/x-cot_tail", "me/x-text"]
    assert [one.name for one in plan_uploads(run / "finetune" / "text", "me/x")] == ["me/x-text"]
    assert [one.name for one in plan_uploads(run / "postprocess", "me/x")] == ["me/x"]
    with pytest.raises(UserError, match=r"prepare: holds no examples \(of postprocess\) and no student \(of finetune\)"):
        plan_uploads(run / "prepare", "me/x")


def test_the_dry_run_lists_every_file_and_card_without_network_or_token(run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    before = sorted(path for path in run.rglob("*"))
    said = command("push", str(run), "--to", "me/soups", "--dry-run")
    for upload in plan_uploads(run, "me/soups"):
        assert f"{upload.kind} {upload.name} (private), from {upload.source}" in said and upload.card in said
        for name, size in upload.sizes.items():
            assert f"{size:>14,} {name}\n" in said
    assert TOKEN not in said and sorted(run.rglob("*")) == before
    assert "dataset me/soups (public)" in command("push", str(run), "--to", "me/soups", "--dry-run", "--public")


def test_an_edited_card_goes_as_it_is(run: Path):
    (run / "postprocess" / "README.md").write_text("---\nlicense: mit\n---\nMine, ORG/NAME.")
    assert plan_uploads(run, "me/x", "dataset")[0].card == "---\nlicense: mit\n---\nMine, me/x."
    (run / "postprocess" / "README.md").unlink()
    assert "# CREAK with rationales" in plan_uploads(run, "me/x", "dataset")[0].card


@pytest.mark.parametrize("name", ["pytorch_model.bin", "extra.pkl", "weights.pth"])
def test_a_checkpoint_with_a_pickle_is_refused(run: Path, name: str):
    write_student(run, "cot_head", **{name: b"\x80"})
    with pytest.raises(UserError, match=rf"checkpoint-10/{name}: is a pickle, .* only safetensors are uploaded"):
        plan_uploads(run, "me/x")
    assert plan_uploads(run, "me/x", "dataset")


def test_a_torn_last_checkpoint_is_refused_and_not_replaced_by_an_earlier_one(run: Path):
    (run / "finetune" / "text" / "checkpoint-10" / "model.safetensors").write_bytes(b"half")
    with pytest.raises(UserError, match="checkpoint-10: is torn"):
        plan_uploads(run, "me/x")


def test_what_is_unfinished_or_out_of_date_is_refused(run: Path):
    manifest = run / "finetune" / "text" / "manifest.json"
    kept = manifest.read_bytes()
    manifest.unlink()
    (run / "finetune" / "text" / "job.json").write_text(json.dumps({"stage": "finetune", "fingerprint": "x"}))
    with pytest.raises(UserError, match="finetune/text: this output is not finished"):
        plan_uploads(run, "me/x")
    manifest.write_bytes(kept)
    assert len(plan_uploads(run, "me/x")) == 3
    made = json.loads((run / "prepare" / "manifest.json").read_text())
    (run / "prepare" / "manifest.json").write_text(json.dumps({**made, "fingerprint": "another"}))
    with pytest.raises(UserError, match=r"enhance: is out of date: .*prepare has been made anew since; run the pipeline again"):
        plan_uploads(run, "me/x", "dataset")


@pytest.mark.parametrize(("name", "said"), [("soups", "expected owner/name"), ("me/so ups", "me/so ups"), ("a/b/c", "a/b/c")])
def test_a_name_that_the_hub_would_not_take_is_refused_at_once(run: Path, name: str, said: str):
    with pytest.raises(UserError, match=said) as refused:
        plan_uploads(run, name)
    assert "\n" not in str(refused.value)


def test_without_network_or_token_there_is_one_line(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    import huggingface_hub.constants as constants

    uploads = plan_uploads(run, "me/x")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set: nothing can be uploaded"):
        push(uploads, private=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(UserError, match="there is no token for the hub: set HF_TOKEN"):
        push(uploads, private=True)


@pytest.fixture
def hub() -> Iterator[tuple[str, list[tuple[str, Any, str]]]]:
    """(address, what it was asked: path, body, authorisation) of a server that answers as the hub does to a commit of small files."""
    asked: list[tuple[str, Any, str]] = []

    class Hub(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = [json.loads(line) for line in self.rfile.read(int(self.headers["Content-Length"])).splitlines()]
            asked.append((self.path, body, self.headers.get("Authorization", "")))
            where = f"http://{self.headers['Host']}/me"
            told: Any = {"url": f"{where}/soups", "errors": [], "warnings": []}
            if "/preupload/" in self.path:
                told = {"files": [{**file, "uploadMode": "regular", "shouldIgnore": False} for file in body[0]["files"]]}
            if "/commit/" in self.path:
                told = {"commitOid": "c0ffee", "commitUrl": f"{where}/soups/commit/c0ffee", "success": True}
            refused = "forbidden" in str(body)
            content = json.dumps({"error": f"not yours, {TOKEN}"} if refused else told).encode()
            self.send_response(403 if refused else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def pushed(run: Path, to: str, endpoint: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_TOKEN": TOKEN, "HF_HOME": str(run.parent / "hf"), "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-m", "teacherlm.cli", "push", str(run), "--to", to]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


def test_a_hub_is_given_every_file_in_one_commit_to_a_private_repository(run: Path, hub: tuple[str, list[tuple[str, Any, str]]]):
    address, asked = hub
    done = pushed(run, "me/soups", address)
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr and "push: dataset me/soups: http" in done.stderr
    created = [body[0] for path, body, _ in asked if path == "/api/repos/create"]
    assert [(one["name"], one.get("private") or one.get("visibility") == "private") for one in created] == [
        ("soups", True),
        ("soups-cot_tail", True),
        ("soups-text", True),
    ]
    assert {authorisation for _, _, authorisation in asked} == {f"Bearer {TOKEN}"}
    commits = {path: body for path, body, _ in asked if "/commit/" in path}
    assert list(commits) == [
        "/api/datasets/me/soups/commit/main",
        "/api/models/me/soups-cot_tail/commit/main",
        "/api/models/me/soups-text/commit/main",
    ]
    for upload, body in zip(plan_uploads(run, "me/soups"), commits.values(), strict=True):
        sent = {line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in body if line["key"] == "file"}
        assert sent == {"README.md": upload.card.encode(), **{name: path.read_bytes() for name, path in upload.files.items()}}


@pytest.mark.slow
def test_what_a_hub_refuses_is_one_line_without_the_token(run: Path, hub: tuple[str, list[tuple[str, Any, str]]]):
    done = pushed(run, "forbidden/soups", hub[0])
    assert done.returncode == 2 and "forbidden/soups: the hub did not take it (" in done.stderr
    assert TOKEN not in done.stdout + done.stderr and "Traceback" not in done.stderr
    gone = pushed(run, "me/soups", "http://127.0.0.1:9")
    assert gone.returncode == 2 and "me/soups: the hub did not take it (" in gone.stderr and "Traceback" not in gone.stderr
