"""A small real HTTP server with OpenAI's finetuning API: files, jobs that pass through their states, results; and faults on demand."""

import base64
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "sk-notarealkeyatall-0123456789"
STATES = ("validating_files", "queued", "running", "succeeded")
CURVE = "step,train_loss,train_accuracy\n1,2.5,0.1\n2,0.5,0.9\n"


@dataclass
class FinetuningServer:
    """As a context manager; `url` is its base_url."""

    fault: Callable[[str, str, int], int | None] = lambda method, path, before: None
    """(method, path without /v1, how often it came before) -> a status to answer with instead; 0 hangs, -1 does it and hangs up."""
    ending: str = "succeeded"
    reason: str = ""
    lists: bool = True
    page: int = 100
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    came: Counter[tuple[str, str]] = field(default_factory=Counter)
    hold: bool = False
    """Jobs stay where they are."""

    def __enter__(self) -> "FinetuningServer":
        self.over = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self.http.daemon_threads = True
        threading.Thread(target=lambda: self.http.serve_forever(0.02), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.http.shutdown()
        self.http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/v1"

    def posted(self, path: str) -> int:
        return sum(one == ("POST", path) for one in self.asked)

    def listing(self, found: dict[str, dict[str, Any]], query: dict[str, list[str]]) -> dict[str, Any]:
        rows = list(found.values())
        if "after" in query:
            rows = rows[[row["id"] for row in rows].index(query["after"][0]) + 1 :]
        return {"data": rows[: self.page], "has_more": len(rows) > self.page}

    def add_file(self, name: str, content: bytes) -> dict[str, Any]:
        file = {"id": f"file-{len(self.files)}", "filename": name, "status": "processed", "purpose": "fine-tune"}
        self.files[file["id"]], self.contents[file["id"]] = file, content
        return file

    def add_job(self, body: dict[str, Any]) -> dict[str, Any]:
        job = {**body, "id": f"ftjob-{len(self.jobs)}", "status": STATES[0], "looks": 0}
        self.jobs[job["id"]] = job
        return job

    def look(self, name: str) -> dict[str, Any]:
        job = self.jobs[name]
        if not self.hold:
            job["looks"] += 1
        job["status"] = STATES[min(job["looks"], len(STATES) - 1)]
        if job["status"] == "succeeded":
            job["status"] = self.ending
            if self.ending == "succeeded":
                job |= {"fine_tuned_model": f"ft:{job['model']}::{name}", "trained_tokens": 1234, "result_files": ["file-results"]}
            else:
                job["error"] = {"message": self.reason, "code": "bad"}
        return job


def parts_of(headers: Any, body: bytes) -> dict[str, tuple[str | None, bytes]]:
    whole = message_from_bytes(b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body)
    found = {}
    for part in whole.get_payload():
        name = part.get_param("name", header="content-disposition")
        found[str(name)] = (part.get_filename(), part.get_payload(decode=True))
    return found


def handler_of(server: FinetuningServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer("GET", b"")

        def do_POST(self) -> None:
            self.answer("POST", self.rfile.read(int(self.headers["Content-Length"])))

        def answer(self, method: str, body: bytes) -> None:
            url = urlsplit(self.path)
            path = url.path.removeprefix("/v1/")
            server.asked.append((method, path))
            server.keys.append(self.headers.get("Authorization", ""))
            fault = server.fault(method, path, server.came[method, path])
            server.came[method, path] += 1
            if fault == 0:
                server.over.wait(5)
                self.close_connection = True
                return
            if fault and fault > 0:
                words = {"error": {"message": f"no, {self.headers.get('Authorization')}"}}
                self.send(fault, words, {"Retry-After": "0.05"} if fault == 429 else {})
                return
            told = self.route(method, path, parse_qs(url.query), body)
            if fault == -1:
                self.close_connection = True
                return
            self.send(404 if told is None else 200, told)

        def route(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> Any:
            if path == "files" and method == "POST":
                parts = parts_of(self.headers, body)
                assert parts["purpose"][1] == b"fine-tune"
                name, content = parts["file"]
                return server.add_file(str(name), content)
            if path == "fine_tuning/jobs" and method == "POST":
                return server.add_job(json.loads(body))
            if path in ("files", "fine_tuning/jobs"):
                return server.listing(server.files if path == "files" else server.jobs, query) if server.lists else None
            if path.startswith("fine_tuning/jobs/"):
                name = path.removeprefix("fine_tuning/jobs/")
                return server.look(name) if name in server.jobs else None
            if path == "files/file-results/content":
                return base64.b64encode(CURVE.encode())
            return None

        def send(self, status: int, told: Any, headers: dict[str, str] | None = None) -> None:
            content = told if isinstance(told, bytes) else json.dumps(told if told is not None else {"error": {"message": "none"}}).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
