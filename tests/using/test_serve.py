"""`serve`: a real server answers as `generate` writes, ends with us and leaves nothing running; what cannot be served is one line."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from chat_models import write_chat_model
from serving import started

from teacherlm.engines.bodies.openai import OpenaiEngine
from teacherlm.engines.openai import OpenaiSettings
from teacherlm.errors import UserError
from teacherlm.records import Request
from teacherlm.store.checkpoints import seal_checkpoint
from teacherlm.using.generate import Manner
from teacherlm.using.serve import Wanted, free_port, serve
from teacherlm.using.servers import KINDS, Served, kind_of
from teacherlm.using.student import build_engine, find_student, wording_of
from teacherlm.using.writing import Writer

QUESTION = "Once upon a time there was a little girl."


def children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def written(engine: OpenaiEngine, prompt: str) -> str:
    request = Request(prompt, 20)
    return next(iter(engine.complete([("k", request)]))).text


@pytest.mark.real
@pytest.mark.slow
def test_a_served_student_writes_what_generate_writes_and_ends_with_us(stories260k: Path, tmp_path: Path) -> None:
    run = tmp_path / "tales"
    write_chat_model(stories260k, run / "checkpoint-3")
    seal_checkpoint(run / "checkpoint-3", 3, 1.0, {"template": "chat", "train_on": "text"})
    student = find_student(str(run))
    settings = {"device": "cpu", "dtype": "float32"}
    own = build_engine(student, "transformers", settings, None, 0)
    with (tmp_path / "log.txt").open("w") as log:
        process, url = started(log, "--model", run, "--dtype", "float32")
        try:
            [server] = children(process.pid)
            plain = OpenaiEngine(OpenaiSettings(model="tales", base_url=url), "x")
            assert written(plain, QUESTION) == next(iter(own.complete([("k", Request(QUESTION, 20))]))).text
            chat = OpenaiEngine(OpenaiSettings(model="tales", base_url=url, endpoint="chat"), "x")
            writer = Writer(own, "tales", wording_of(student), Manner(max_new_tokens=20))
            [(_, told)] = writer.write([writer.prompt([{"role": "user", "content": QUESTION}])])
            assert written(chat, QUESTION).strip() == told.text.strip()
            at = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 128 + signal.SIGTERM and time.monotonic() - at < 15
            assert gone(server)
        finally:
            process.kill()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    assert "serve was ended by SIGTERM; the server is gone." in (tmp_path / "log.txt").read_text()


@pytest.mark.real
@pytest.mark.slow
def test_a_quantised_server_is_gone_when_we_are_killed(stories260k: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    with (tmp_path / "log.txt").open("w") as log:
        process, url = started(log, "--model", stories260k, "--quantize", "int8", "--name", "small")
        [server] = children(process.pid)
        assert written(OpenaiEngine(OpenaiSettings(model="small", base_url=url), "x"), QUESTION)
        process.kill()
        process.wait()
        until = time.monotonic() + 15
        while not gone(server) and time.monotonic() < until:
            time.sleep(0.1)
        assert gone(server)


def test_a_port_that_is_taken_is_one_line(stories260k: Path) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        port = one.getsockname()[1]
        with pytest.raises(UserError, match=rf"serve: 127\.0\.0\.1:{port} cannot be had \(.*\); --port 0 takes any that is free"):
            serve(Wanted(str(stories260k), port=port))
    assert free_port("127.0.0.1", 0) > 0
    with pytest.raises(UserError, match="is --host right"):
        free_port("192.0.2.1", 8000)


def test_what_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    served = Served(str(tmp_path), "x", "127.0.0.1", 1, "nf4")
    monkeypatch.setattr("teacherlm.using.servers.find_spec", lambda name: None)
    for kind, quantise, said in (
        ("transformers", "", r"fastapi is not installed, .*; pip install 'teacherlm\[serving\]'"),
        ("vllm", "", r"vLLM is not installed; pip install 'teacherlm\[vllm\]'"),
        ("vllm", "int8", "vLLM cannot quantise to int8 while it loads"),
    ):
        with pytest.raises(UserError, match=said):
            kind_of(kind).require(Served(served.place, "x", "127.0.0.1", 1, quantise))  # type: ignore[arg-type]
    monkeypatch.setattr("teacherlm.using.servers.find_spec", lambda name: None if name == "bitsandbytes" else object())
    for kind in KINDS:
        with pytest.raises(UserError, match=r"--quantize nf4: bitsandbytes is not installed; pip install 'teacherlm\[quantized\]'"):
            kind_of(kind).require(served)


def test_the_words_for_vllm() -> None:
    words = kind_of("vllm").words(Served("/m", "tales", "0.0.0.0", 8001, "nf4", "bfloat16"))
    assert words[1:3] == ["-m", "vllm.entrypoints.openai.api_server"]
    pairs = dict(zip(words[3::2], words[4::2], strict=False))
    assert pairs["--model"] == "/m" and pairs["--served-model-name"] == "tales"
    assert (pairs["--port"], pairs["--dtype"], pairs["--quantization"]) == ("8001", "bfloat16", "bitsandbytes")


@pytest.mark.slow
def test_a_server_that_cannot_load_the_model_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text('{"model_type": "nothing known"}')
    command = [sys.executable, "-m", "teacherlm.cli", "serve", "--port", "0", "--model", str(tmp_path / "broken")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "teacherlm: serve: the server could not start: " in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("teacherlm: ")
