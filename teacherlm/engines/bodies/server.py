"""One server: a request to it is made again when it failed in passing, and what ends a whole run is told in one line.

The key goes into the header of requests to base_url and nowhere else: no redirect is followed, every text of the server that can
reach a message is searched for it.
"""

import asyncio
import json
import os
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import httpx
import orjson
from pydantic import SecretStr

from teacherlm.engines.bodies.crew import pause
from teacherlm.engines.bodies.pace import Pace, back_off, find_retry_after
from teacherlm.engines.bodies.wire import Broken, find_overflow, message_of, tokens_of
from teacherlm.engines.openai import OpenaiSettings
from teacherlm.errors import UserError, unknown
from teacherlm.log import say

PASSING = (408, 409, 425, 429)
"""And 5xx but 501."""
FIRST_TRIES = 2
"""Further tries of a server that never answered: most likely it is not there at all."""
CONNECT_SECONDS = 10.0
KEEP_SECONDS = 4.0
"""An idle connection is given up before the server does so (uvicorn after 5 s)."""
WORTH_SAYING = 10.0
"""Seconds of waiting that a person should hear about."""
SECRET_LENGTH = 16
KEYLIKE = re.compile(r"\b(?:sk-|Bearer )[\w*.\-]+")
T = TypeVar("T")


class Refused(Exception):
    """The server will not do this, however often it is asked."""


class GivenUp(Exception):
    """Failed in passing, once too often."""

    def __init__(self, reason: str, failures: int, gone: bool) -> None:
        super().__init__(reason)
        self.failures, self.gone = failures, gone


class Passing(Exception):
    """A failure that the next try may not have. `wait`: seconds the server asks for; `gone`: there was no connection at all."""

    def __init__(self, reason: str, wait: float = 0.0, status: int = 0, gone: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.status, self.gone = wait, status, gone


class Clients:
    """One for each request under way: httpx looks through all connections of a client, again for each of its requests."""

    def __init__(self, build: Callable[[], httpx.AsyncClient]) -> None:
        self._build = build
        self._all: list[httpx.AsyncClient] = []
        self._idle: list[httpx.AsyncClient] = []

    async def __aenter__(self) -> "Clients":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for client in self._all:
            await client.aclose()

    async def request(self, method: str, url: str, content: bytes | None = None) -> httpx.Response:
        if not self._idle:
            self._idle.append(self._build())
            self._all.append(self._idle[-1])
        client = self._idle.pop()
        try:
            return await client.request(method, url, content=content)
        finally:
            self._idle.append(client)


class Server:
    def __init__(self, settings: OpenaiSettings) -> None:
        self.settings, self.url = settings, settings.base_url
        self._key = SecretStr(os.environ.get(settings.api_key_env, "").strip())
        if not (key := self._key.get_secret_value()).isascii() or not key.isprintable():
            raise UserError(f"${settings.api_key_env} holds characters that no key can have.")
        self.reached = False
        """It has answered something."""
        self.answered = False
        """It has done what it was asked."""
        self._resume = 0.0
        self._requests, self._tokens = Pace(settings.requests_per_minute), Pace(settings.tokens_per_minute)
        self._usual = 0.0
        """Tokens that a request costs on average."""
        self._counted = 0
        self._tls: ssl.SSLContext | None = None

    def clients(self) -> "Clients":
        """Their connections live as long as they are open."""
        return Clients(self._client)

    def _client(self) -> httpx.AsyncClient:
        self._tls = self._tls or httpx.create_ssl_context()
        key = self._key.get_secret_value()
        return httpx.AsyncClient(
            headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})},
            timeout=httpx.Timeout(None, connect=min(CONNECT_SECONDS, self.settings.timeout)),
            limits=httpx.Limits(keepalive_expiry=KEEP_SECONDS),
            verify=self._tls,
            trust_env=not self.settings.loopback,
            follow_redirects=False,
        )

    async def ask(
        self,
        clients: Clients,
        url: str,
        body: Mapping[str, Any],
        read: Callable[[dict[str, Any]], T],
        on_doubt: Callable[[int], Awaitable[None]] | None = None,
    ) -> tuple[T, int]:
        """What `read` makes of the answer, and how many tries failed before. `on_doubt` hears the status of the second failure.

        Raises: GivenUp, Refused, Left; UserError for what every request would meet.
        """
        failures = 0
        while True:
            cost = await self._turn(body)
            try:
                data = await self._post(clients, url, body)
                self._count(cost, sum(tokens_of(data)))
                result = read(data)
                self.answered = True
                return result, failures
            except (Passing, Broken) as error:
                failure = error if isinstance(error, Passing) else Passing(self.scrub(str(error)))
            failures += 1
            patience = self.settings.retries if self.reached else min(self.settings.retries, FIRST_TRIES)
            if failures > patience:
                if not self.reached and failure.gone:
                    raise UserError(f"{self.url}: no server answers there ({failure}).")
                raise GivenUp(str(failure), failures - 1, failure.gone)
            if failures == 2 and on_doubt:
                await on_doubt(failure.status)
            self._hold(failure)
            await pause(max(back_off(failures), failure.wait))

    async def works(self, clients: Clients, url: str, body: Mapping[str, Any]) -> bool:
        """One try."""
        try:
            return "choices" in await self._post(clients, url, body)
        except (Passing, Refused, UserError):
            return False

    def scrub(self, text: str) -> str:
        key = self._key.get_secret_value()
        return KEYLIKE.sub("***", text.replace(key, "***") if key else text)

    async def _turn(self, body: Mapping[str, Any]) -> float:
        """Waits until a request may be begun. Returns: the tokens it is expected to cost. Raises: Left."""
        while (seconds := self._resume - time.monotonic()) > 0:
            await pause(seconds)
        cost = self._usual or len(str(body.get("prompt") or body.get("messages", ""))) / 4 + (body.get("max_tokens") or 0)
        await self._requests.take()
        await self._tokens.take(cost)
        return cost

    def _count(self, expected: float, cost: int) -> None:
        if cost:
            self._tokens.correct(cost - expected)
            self._counted += 1
            self._usual += (cost - self._usual) / self._counted

    def _hold(self, failure: Passing) -> None:
        """A server that asks for time means everybody, not this row."""
        until = time.monotonic() + failure.wait
        if failure.wait > WORTH_SAYING and until > self._resume + WORTH_SAYING:
            say(f"{self.url}: {failure}; it asks to wait {failure.wait:.0f} s.")
        self._resume = max(self._resume, until) if failure.wait else self._resume

    async def _post(self, clients: Clients, url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """One try. Raises: Passing, Refused, UserError."""
        seconds = self.settings.timeout
        try:
            answer = await asyncio.wait_for(clients.request("POST", url, content=orjson.dumps(body)), seconds)
        except httpx.ConnectTimeout:
            raise Passing(f"no connection within {min(CONNECT_SECONDS, seconds):g} s", gone=True) from None
        except httpx.ConnectError as error:
            raise Passing(self.scrub(_reason(error)), gone=True) from None
        except (asyncio.TimeoutError, httpx.TimeoutException):
            self.reached = True
            raise Passing(f"no answer within {seconds:g} s") from None
        except httpx.RequestError as error:
            self.reached = True
            raise Passing(self.scrub(_reason(error))) from None
        self.reached = True
        if not answer.is_success:
            await self._refuse(clients, url, answer)
        try:
            data = json.loads(self._without_key(answer.content))
        except ValueError:
            raise Passing("an answer that is not JSON") from None
        if not isinstance(data, dict):
            raise Passing(f"an answer that is no JSON object but {type(data).__name__}")
        return data

    async def _refuse(self, clients: Clients, url: str, answer: httpx.Response) -> NoReturn:
        """Raises: Passing, Refused, or UserError where every request would meet the same."""
        status, message = answer.status_code, self._message(answer)
        words = f"{status} {answer.reason_phrase}".strip() + (f": {message}" if message else "")
        if status == 401 or (status == 403 and not self.answered):
            raise UserError(f"{self.url}: the server says {words}; set {self.settings.api_key_env} to a key that it takes.")
        if status == 402 or "insufficient_quota" in answer.text:
            raise UserError(f"{self.url}: the server says {words}; there is no credit left.")
        if answer.is_redirect:
            raise UserError(f"{url}: the server points elsewhere ({status}); no redirect is followed with a key, set base_url to it.")
        overflow = find_overflow(message)
        if overflow and (overflow.context or 400 <= status < 500) and status != 429:
            raise Refused(message)
        if status in (404, 405):
            raise await self._not_found(clients, url, words)
        if status in PASSING or (status >= 500 and status != 501):
            raise Passing(words, find_retry_after(answer.headers.get("Retry-After")), status)
        raise Refused(words)

    def _without_key(self, content: bytes) -> bytes:
        """A server that repeats its headers must not bring the key into a text; shorter ones (EMPTY, none) are words, and no secret."""
        key = self._key.get_secret_value()
        return content.replace(key.encode(), b"***") if len(key) >= SECRET_LENGTH else content

    def _message(self, answer: httpx.Response) -> str:
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            return ""
        try:
            told = message_of(json.loads(answer.content))
        except ValueError:
            told = message_of(answer.text)
        return "" if told == answer.reason_phrase else self.scrub(told)

    async def _not_found(self, clients: Clients, url: str, words: str) -> UserError:
        """The model or the path: the server's list of models tells which."""
        try:
            answer = await asyncio.wait_for(clients.request("GET", f"{self.url}/models"), CONNECT_SECONDS)
            names = [str(one["id"]) for one in answer.json()["data"]]
        except (asyncio.TimeoutError, httpx.RequestError, ValueError, KeyError, TypeError):
            return UserError(f"{url}: the server says {words}; is base_url right (most end in /v1)?")
        if self.settings.model not in names:
            return UserError(f"{self.url}: {unknown('model', self.settings.model, names)}")
        return UserError(f"{url}: the server says {words}; it may lack that endpoint.")


def _reason(error: BaseException) -> str:
    """In a few words; httpx wraps what the system said, once or twice."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, ConnectionRefusedError):
            return "connection refused"
        if isinstance(inner, ConnectionResetError):
            return "connection reset"
        if isinstance(inner, ssl.SSLError):
            return f"TLS: {inner.reason or inner}"
        inner = inner.__cause__ or inner.__context__
    return str(error) or type(error).__name__
