"""Requests to a finetuning API, one at a time: what fails in passing is tried again, what will never work is one line.

The key comes from the environment, goes into the header of requests to base_url, and is searched for in all that the server says.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from teacherlm import interrupt
from teacherlm.engines.bodies.pace import back_off, find_retry_after
from teacherlm.engines.bodies.server import KEYLIKE, PASSING, SECRET_LENGTH
from teacherlm.engines.bodies.wire import message_of
from teacherlm.errors import Stopped, UserError
from teacherlm.hosted.settings import OpenaiBackend

CONNECT_SECONDS = 10.0
SLICE_SECONDS = 0.2
LOOPBACK = ("127.0.0.1", "::1", "localhost")
T = TypeVar("T")


class Passing(Exception):
    """A failure that the next try may not have; `wait`: seconds that the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Missing(Exception):
    """404 or 405: the server does not have that."""


class Client:
    """As a context manager."""

    def __init__(self, settings: OpenaiBackend) -> None:
        """Raises: UserError for a key that no header can hold."""
        self.settings, self.url = settings, settings.base_url
        self._key = SecretStr(os.environ.get(settings.api_key_env, "").strip())
        if not (key := self._key.get_secret_value()).isascii() or not key.isprintable():
            raise UserError(f"${settings.api_key_env} holds characters that no key can have.")
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(settings.timeout, connect=min(CONNECT_SECONDS, settings.timeout)),
            trust_env=urlsplit(settings.base_url).hostname not in LOOPBACK,
            follow_redirects=False,
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def patiently(self, what: str, act: Callable[[], T]) -> T:
        """`act` until it does not fail in passing. Raises: UserError when patience is at its end, Stopped at a signal."""
        failures = 0
        while True:
            try:
                return act()
            except Passing as error:
                failures += 1
                if failures > self.settings.retries:
                    raise UserError(f"{self.url}: {what}: {error}; the same command tries again from there.") from None
                self.pause(max(back_off(failures), error.wait), what)

    def pause(self, seconds: float, what: str) -> None:
        """Raises: Stopped as soon as a signal comes."""
        until = time.monotonic() + seconds
        while True:
            if reason := interrupt.wanted():
                told = f"finetune: stopped by {reason} ({what}); what the server has begun goes on, the same command goes on from there."
                raise Stopped(told, interrupt.exit_code(reason))
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, SLICE_SECONDS))

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """One try. Raises: Passing, Missing, UserError."""
        return self._object(self._once("GET", path, params=query))

    def get_text(self, path: str) -> str:
        """As `get`, what is no JSON."""
        return self._without_key(self._once("GET", path).text)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """As `get`. After Passing nobody knows whether the server has done it."""
        return self._object(self._once("POST", path, json=body))

    def upload(self, path: str, name: str, content: bytes, **fields: str) -> dict[str, Any]:
        """As `post`, a file with fields beside it."""
        return self._object(self._once("POST", path, data=fields, files={"file": (name, content, "application/jsonl")}))

    def scrub(self, text: str) -> str:
        key = self._key.get_secret_value()
        return KEYLIKE.sub("***", text.replace(key, "***") if key else text)

    def _without_key(self, text: str) -> str:
        """A server that repeats its headers must not bring the key into a file; shorter ones (EMPTY, none) are words, and no secret."""
        key = self._key.get_secret_value()
        return text.replace(key, "***") if len(key) >= SECRET_LENGTH else text

    def _once(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, f"{self.url}/{path}", **options)
        except httpx.TimeoutException:
            raise Passing(f"no answer within {self.settings.timeout:g} s") from None
        except httpx.RequestError as error:
            raise Passing(self.scrub(str(error)) or type(error).__name__) from None
        if not answer.is_success:
            self._refuse(path, answer)
        return answer

    def _object(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            found = json.loads(self._without_key(answer.text))
        except ValueError:
            raise Passing("an answer that is not JSON") from None
        if not isinstance(found, dict):
            raise Passing("an answer that is no JSON object")
        return found

    def _refuse(self, path: str, answer: httpx.Response) -> NoReturn:
        status = answer.status_code
        try:
            message = self.scrub(message_of(json.loads(answer.content)))
        except ValueError:
            message = ""
        words = f"{status} {answer.reason_phrase}".strip() + (f": {message}" if message else "")
        if status in (401, 403):
            raise UserError(f"{self.url}: the server says {words}; set {self.settings.api_key_env} to a key that it takes.")
        if status == 402 or "insufficient_quota" in answer.text:
            raise UserError(f"{self.url}: the server says {words}; there is no credit left.")
        if answer.is_redirect:
            raise UserError(f"{self.url}: the server points elsewhere ({status}); no redirect is followed with a key, set base_url to it.")
        if status in (404, 405):
            raise Missing(f"{self.url}/{path}: the server says {words}")
        if status in PASSING or (status >= 500 and status != 501):
            raise Passing(words, find_retry_after(answer.headers.get("Retry-After")))
        raise UserError(f"{self.url}/{path}: the server says {words}.")
