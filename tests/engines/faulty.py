"""A small real HTTP server on the loopback that does what a script says: for tests of what goes wrong."""

import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass
class Reply:
    status: int = 200
    body: Any = None
    """Bytes as they are, anything else as JSON."""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False
    """The connection ends in the middle of the body."""
    close: bool = False
    """It ends without a word."""


def written(text: str = " so it is.", reason: str = "stop", **usage: int) -> Reply:
    """A text in the shape of both endpoints."""
    choice = {"index": 0, "text": text, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
    return Reply(body={"choices": [choice], "usage": usage or {"prompt_tokens": 3, "completion_tokens": 4}})


Script = Callable[[dict[str, Any], int], Reply]
"""The body of a POST, and how often this prompt came before -> the reply."""


class FaultyServer:
    """As a context manager; `url` is its base_url."""

    def __init__(self, script: Script, models: tuple[str, ...] = ("m",)) -> None:
        self.script, self.models = script, models
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.came: Counter[str] = Counter()
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()
        self.connections: set[socket.socket] = set()

    def __enter__(self) -> "FaultyServer":
        self.start(0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self, port: int) -> None:
        self.http = ThreadingHTTPServer(("127.0.0.1", port), handler_of(self))
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        self.thread = threading.Thread(target=lambda: self.http.serve_forever(0.02), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """As if it were killed: open connections end too."""
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()
        for one in list(self.connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


def prompt_of(body: dict[str, Any]) -> str:
    return str(body.get("prompt") or body["messages"][-1]["content"])


def handler_of(server: FaultyServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server.connections.add(self.connection)

        def finish(self) -> None:
            server.connections.discard(self.connection)
            super().finish()

        def do_GET(self) -> None:
            server.paths.append(self.path)
            self.send(Reply(body={"data": [{"id": name} for name in server.models]}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with server.lock:
                server.paths.append(self.path)
                server.bodies.append(body)
                server.headers.append(dict(self.headers))
                server.times.append(time.monotonic())
                before = server.came[prompt_of(body)]
                server.came[prompt_of(body)] += 1
                server.under_way += 1
                server.most_under_way = max(server.most_under_way, server.under_way)
            try:
                reply = server.script(body, before)
                time.sleep(reply.delay)
            finally:
                with server.lock:
                    server.under_way -= 1
            self.send(reply)

        def send(self, reply: Reply) -> None:
            self.close_connection = reply.close or reply.cut
            if reply.close:
                return
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if reply.cut else content)

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:  # the client has gone
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
