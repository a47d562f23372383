"""What the openai engine does when the server does not do its part, shown by a small real HTTP server that misbehaves."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from faulty import FaultyServer, Reply, written

from teacherlm import interrupt
from teacherlm.engines.bodies import pace
from teacherlm.engines.bodies.openai import OpenaiEngine
from teacherlm.engines.bodies.pace import back_off, find_retry_after
from teacherlm.engines.openai import OpenaiSettings, identity_of
from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.records import Completion, Request, Sampling
from teacherlm.stages.enhance import EnhanceConfig, enhance

KEY = "sk-test-0123456789abcdef0123456789"
QUICK: dict[str, Any] = {"retries": 2, "timeout": 0.5}

FAULTS = {
    "429": (Reply(429, {"error": {"message": "slow down"}}), "429 Too Many Requests: slow down"),
    "500": (Reply(500, b"Internal Server Error", {"Content-Type": "text/plain"}), "500 Internal Server Error"),
    "502": (Reply(502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}), "502 Bad Gateway"),
    "503": (Reply(503, {"message": "loading"}), "503 Service Unavailable: loading"),
    "408": (Reply(408, {}), "408 Request Timeout"),
    "hangs": (Reply(200, {}, delay=1.5), "no answer within 0.5 s"),
    "cut": (Reply(200, {"choices": [{"text": " half an answer", "finish_reason": "stop"}]}, cut=True), "peer closed connection"),
    "closed": (Reply(close=True), "Server disconnected"),
    "broken": (Reply(200, b'{"choices": [{"te'), "an answer that is not JSON"),
    "a list": (Reply(200, []), "an answer that is no JSON object but list"),
    "no choices": (Reply(200, {"error": {"message": "overloaded"}}), "an answer without choices: overloaded"),
    "no text": (Reply(200, {"choices": [{"finish_reason": "stop"}]}), "an answer without a text"),
}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "BACK_OFF", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def of(url: str, **settings: Any) -> OpenaiEngine:
    chosen = parse_config(OpenaiSettings, {"model": "m", "base_url": url, **settings})
    return OpenaiEngine(chosen, identity_of(chosen, 0))


def ask(engine: OpenaiEngine, prompts: list[str], **request: Any) -> dict[str, Completion]:
    """By prompt, which is the key here."""
    told = list(engine.complete((prompt, Request(prompt, **{"max_new_tokens": 9, **request})) for prompt in prompts))
    assert len({one.key for one in told}) == len(told)
    return {one.key: one for one in told}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_row_that_fails_in_passing_is_asked_again(fault: str):
    with FaultyServer(lambda body, before: FAULTS[fault][0] if not before else written()) as server:
        told = ask(of(server.url, **QUICK), ["a", "b"])
    assert told == {key: Completion(key, " so it is.", "stop", 3, 4, retries=1) for key in ("a", "b")}
    assert server.came == {"a": 2, "b": 2}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_row_that_fails_for_good_says_why_and_the_others_go_on(fault: str):
    reply, reason = FAULTS[fault]
    with FaultyServer(lambda body, before: reply if body["prompt"] == "bad" else written()) as server:
        told = ask(of(server.url, **QUICK), ["a", "bad", "b"])
    assert [told[key].text for key in "ab"] == [" so it is."] * 2
    assert (told["bad"].finish, told["bad"].retries, server.came["bad"]) == ("error", 2, 3)
    assert told["bad"].error.startswith(f"no answer: {reason}"), told["bad"].error
    assert "\n" not in told["bad"].error


def test_enhance_drops_what_fails_with_its_reason_and_ends_with_a_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    names = list(FAULTS)
    rows = [{"id": name, "cot_text": f"Q: {name} A:"} for name in [*names, *(f"fine {i}" for i in range(8))]]
    source = tmp_path / "MIXED.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def script(body: dict[str, Any], before: int) -> Reply:
        name = body["prompt"][3:-3]
        return FAULTS[name][0] if name in FAULTS else written()

    with FaultyServer(script) as server:
        teacher = {"name": "openai", "model": "m", "base_url": server.url, **QUICK}
        values = {"input": source, "output": tmp_path / "out", "kinds": "cot", "teacher": teacher}
        outcome = enhance(parse_config(EnhanceConfig, values))
    assert (outcome.counts["questions"], outcome.counts["rows"], outcome.counts["dropped"]) == (20, 8, 12)
    dropped = [json.loads(line) for line in (tmp_path / "out" / "dropped.jsonl").read_text().splitlines()]
    assert [one["id"] for one in dropped] == names
    assert all(FAULTS[one["id"]][1] in one["reason"] for one in dropped)
    assert "12 of 20 questions were dropped" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured_by_every_worker(form: str):
    def script(body: dict[str, Any], before: int) -> Reply:
        if before or body["prompt"] != "0":
            return Reply(**{**written().__dict__, "delay": 0.05})
        after = "1" if form == "seconds" else format_datetime(datetime.now(timezone.utc) + timedelta(seconds=2), usegmt=True)
        return Reply(429, {}, {"Retry-After": after})

    with FaultyServer(script) as server:
        told = ask(of(server.url, concurrency=1), ["0", "1"])
        assert server.times[1] - server.times[0] > 0.95
        assert told["0"].retries == 1 and told["1"].retries == 0
        server.came.clear()
        start = len(server.times)
        ask(of(server.url, concurrency=2), [str(number) for number in range(24)])
        came = [at - server.times[start] for at in server.times[start:]]
        assert not [at for at in came if 0.4 < at < 0.95], "nobody asks while the server wants to be left alone"
        assert len([at for at in came if at >= 0.95]) > 12


def test_retry_after_is_read_in_both_forms():
    now = datetime.now(timezone.utc)
    assert find_retry_after("2.5") == 2.5
    assert 8 < find_retry_after(format_datetime(now + timedelta(seconds=10), usegmt=True)) <= 10
    assert find_retry_after(format_datetime(now - timedelta(hours=1), usegmt=True)) == 0
    assert [find_retry_after(one) for one in (None, "", "soon", "-3", "nan", "inf")] == [0] * 6


def test_back_off_grows_is_capped_and_jitters(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pace, "BACK_OFF", 0.5)
    drawn = {failures: [back_off(failures) for _ in range(2000)] for failures in (1, 3, 20)}
    for failures, most in ((1, 1.0), (3, 4.0), (20, 60.0)):
        assert 0 <= min(drawn[failures]) < 0.05 * most and 0.95 * most < max(drawn[failures]) <= most


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(401, {"error": {"message": f"Wrong key: {KEY}"}}), "says 401 Unauthorized: Wrong key: ***; set OPENAI_API_KEY"),
        (Reply(401, b""), "says 401 Unauthorized; set OPENAI_API_KEY"),
        (Reply(403, {"detail": "not for you"}), "says 403 Forbidden: not for you; set OPENAI_API_KEY"),
        (Reply(402, {}), "says 402 Payment Required; there is no credit left"),
        (Reply(429, {"error": {"message": "quota", "code": "insufficient_quota"}}), "Too Many Requests: quota; there is no credit left"),
        (Reply(404, {"error": {"message": "no such model"}}), "No model named 'm'. Did you mean 'mm'? Known: mm, other."),
        (Reply(400, {"message": "you must provide a chat template if"}), "the model has no chat template ("),
    ],
)  # fmt: skip
def test_what_every_row_would_meet_ends_the_run_in_one_line(reply: Reply, message: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with FaultyServer(lambda body, before: reply, models=("mm", "other")) as server:
        with pytest.raises(UserError) as told:
            ask(of(server.url, **QUICK), [str(number) for number in range(30)])
        assert len(server.bodies) <= 16, "at most those under way"
    assert message in str(told.value) and "\n" not in str(told.value)
    assert KEY not in str(told.value)


def test_a_wrong_path_is_told_from_a_wrong_model():
    missing = Reply(404, {"detail": "Not Found"})
    with FaultyServer(lambda body, before: missing) as server, pytest.raises(UserError) as told:
        ask(of(server.url), ["a"])
    assert str(told.value) == f"{server.url}/completions: the server says 404 Not Found; it may lack that endpoint."


def test_a_row_refused_says_why_and_a_request_refused_ends_the_run():
    refusal = Reply(400, {"error": {"message": "I do not like it"}})
    with FaultyServer(lambda body, before: refusal if body["prompt"] == "bad" else written()) as server:
        told = ask(of(server.url), ["a", "bad", "b"])
        assert told["bad"] == Completion("bad", "", "error", error="400 Bad Request: I do not like it")
        assert server.came["bad"] == 1
    with FaultyServer(lambda body, before: refusal) as server:
        with pytest.raises(UserError, match=r"the server refuses every request \(400 Bad Request: I do not like it; 8 rows"):
            ask(of(server.url), [str(number) for number in range(30)])
        assert {one.finish for one in ask(of(server.url), ["a", "b"]).values()} == {"error"}, "two rows prove nothing"


def test_no_redirect_is_followed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with FaultyServer(lambda body, before: written()) as other:
        location = {"Location": f"{other.url}/completions?token={KEY}"}
        for status in (301, 302, 307, 308):
            with FaultyServer(lambda body, before, status=status: Reply(status, b"", location)) as server:  # type: ignore[misc]
                with pytest.raises(UserError, match=rf"the server points elsewhere \({status}\); no redirect is followed") as told:
                    ask(of(server.url), ["a"])
                assert KEY not in str(told.value)
        assert not other.paths


def test_a_server_that_is_not_there_is_told_at_once():
    with FaultyServer(lambda body, before: written()) as server:
        url = server.url
    started = time.monotonic()
    with pytest.raises(UserError) as told:
        ask(of(url, retries=50), [str(number) for number in range(30)])
    assert str(told.value) == f"{url}: no server answers there (connection refused)."
    with pytest.raises(UserError, match=r"no-such-host\.invalid.*: no server answers there \("):
        ask(of("http://no-such-host.invalid/v1"), ["a"])
    assert time.monotonic() - started < 20


def test_a_server_that_goes_away_ends_the_run_and_no_row_is_given_up():
    """What it did not answer is not recorded as failed: the next run asks for it."""
    server = FaultyServer(lambda body, before: written())
    server.start(0)
    told = []
    with pytest.raises(UserError) as error:
        for one in of(server.url, concurrency=4, retries=1).complete((str(i), Request(str(i), 9)) for i in range(200)):
            told.append(one)
            if len(told) == 20:
                server.stop()
    assert all(one.text == " so it is." for one in told) and 20 <= len(told) < 30
    assert f"{server.url}: the server is gone (connection refused; 8 rows one after the other); {len(told)} answers are kept" in str(
        error.value
    )


def test_rows_left_when_the_server_goes_away_at_the_end_are_not_given_up_either():
    server = FaultyServer(lambda body, before: written())
    server.start(0)
    told = []
    with pytest.raises(UserError, match=r"the server is gone \(connection refused; \d rows? ?[a-z ]*\); \d+ answers are kept"):
        for one in of(server.url, concurrency=2, retries=1).complete((str(i), Request(str(i), 9)) for i in range(20)):
            told.append(one)
            if len(told) == 16:
                server.stop()
    assert all(one.text == " so it is." for one in told)


def test_a_server_that_comes_back_is_asked_on():
    server = FaultyServer(lambda body, before: written())
    server.start(0)
    told = []
    for one in of(server.url, concurrency=2, retries=40).complete((str(i), Request(str(i), 9)) for i in range(40)):
        told.append(one)
        if len(told) == 10:
            server.stop()
            threading.Timer(0.5, server.start, [server.port]).start()
    server.stop()
    assert len(told) == 40 and all(one.text == " so it is." for one in told)
    assert sum(one.retries for one in told) > 0


def test_a_server_that_answers_nothing_ends_the_run_after_many_rows():
    with FaultyServer(lambda body, before: Reply(500, b"")) as server:
        assert len(ask(of(server.url, retries=0), [str(number) for number in range(99)])) == 99
        with pytest.raises(UserError, match=r"answers no request any more \(500 Internal Server Error; 100 rows one after the other\)"):
            ask(of(server.url, retries=0), [str(number) for number in range(300)])


@pytest.mark.parametrize("concurrency", [1, 16])
def test_each_key_comes_once_and_no_more_are_under_way_than_allowed(concurrency: int):
    replies = list(FAULTS.values())

    def script(body: dict[str, Any], before: int) -> Reply:
        number = int(body["prompt"])
        if number % 3 == 0 and not before:
            return next(reply for reply, _ in replies[number % 4 :] if not reply.delay)
        return Reply(**{**written(f" {number}").__dict__, "delay": 0.005 * concurrency * (1 + number % 3)})

    with FaultyServer(script) as server:
        told = ask(of(server.url, concurrency=concurrency), [str(number) for number in range(120)])
    assert sorted(told, key=int) == [str(number) for number in range(120)]
    assert all(one.text == f" {key}" for key, one in told.items())
    assert concurrency / 2 < server.most_under_way <= concurrency


def test_requests_are_pulled_as_there_is_room_and_results_come_as_they_finish():
    pulled = []

    def requests() -> Iterator[tuple[str, Request]]:
        for number in range(50):
            pulled.append(number)
            yield str(number), Request(str(number), 9)

    slow = Reply(**{**written().__dict__, "delay": 0.5})
    with FaultyServer(lambda body, before: slow if body["prompt"] == "0" else written()) as server:
        told = []
        for one in of(server.url, concurrency=4).complete(requests()):
            told.append(one.key)
            assert len(pulled) <= len(told) + 4
    assert told.index("0") > 3 and len(told) == 50


def test_a_generator_closed_early_leaves_no_thread_and_no_request():
    before = set(threading.enumerate())
    hanging = Reply(**{**written().__dict__, "delay": 3.0})
    with FaultyServer(lambda body, before: written() if body["prompt"] == "0" else hanging) as server:
        own = {*before, *threading.enumerate()}
        generator = of(server.url, timeout=60).complete((str(i), Request(str(i), 9)) for i in range(50))
        assert next(generator).key == "0"
        started = time.monotonic()
        generator.close()  # type: ignore[attr-defined]
        assert time.monotonic() - started < 1
        assert not [thread for thread in set(threading.enumerate()) - own if "crew" in thread.name]


@pytest.fixture
def stoppable() -> Iterator[None]:
    with interrupt.interruptible():
        yield


def test_a_wish_to_stop_finishes_what_is_under_way_and_begins_nothing(stoppable: None):
    slow = Reply(**{**written().__dict__, "delay": 0.2})
    with FaultyServer(lambda body, before: slow) as server:
        told = []
        for one in of(server.url, concurrency=4).complete((str(i), Request(str(i), 9)) for i in range(50)):
            told.append(one)
            interrupt.ask_to_stop("SIGINT")
    assert len(server.bodies) <= 8 and len(told) == len(server.bodies)


def test_a_wish_to_stop_does_not_wait_for_a_server_that_wants_time(stoppable: None):
    with FaultyServer(lambda body, before: Reply(429, {}, {"Retry-After": "300"})) as server:
        threading.Timer(0.3, interrupt.ask_to_stop, ["SIGINT"]).start()
        started = time.monotonic()
        assert ask(of(server.url), ["a", "b"]) == {}, "neither answered nor given up"
        assert time.monotonic() - started < 2


def test_rates_are_kept_by_spacing():
    with FaultyServer(lambda body, before: written()) as server:
        ask(of(server.url, requests_per_minute=600), [str(number) for number in range(8)])
        came = [at - server.times[0] for at in server.times]
        assert all(at > 0.1 * number - 0.3 for number, at in enumerate(came)) and came[-1] < 10, "the first may have come late"
    with FaultyServer(lambda body, before: written(prompt_tokens=90, completion_tokens=10)) as server:
        ask(of(server.url, tokens_per_minute=60_000, concurrency=2), [str(number) for number in range(12)])
        assert 0.6 < server.times[-1] - server.times[0] < 10, "100 tokens each at 1000 a second"


def test_an_overlong_text_is_cut_down_to_what_fits_and_an_overlong_prompt_is_too_long():
    def script(body: dict[str, Any], before: int) -> Reply:
        prompt = len(body["prompt"].split())
        if prompt + body["max_tokens"] <= 16:
            return written(f" {body['max_tokens']}")
        told = f"This model's maximum context length is 16 tokens. However, you requested {prompt + body['max_tokens']} tokens "
        return Reply(400, {"error": {"message": f"{told}({prompt} in the messages, {body['max_tokens']} in the completion)."}})

    with FaultyServer(script) as server:
        told = ask(of(server.url), ["one two three", "word " * 20, "short"], max_new_tokens=15)
    assert told["one two three"].text == " 13" and told["short"].text == " 15"
    assert told["word " * 20].error == "prompt too long: it has 20 tokens, the model's context is 16"


def test_a_server_that_stopped_counting_is_left_to_give_what_fits():
    def script(body: dict[str, Any], before: int) -> Reply:
        if body["max_tokens"] is None:
            return written(" what fits", "length")
        told = (
            "This model's maximum context length is 512 tokens. However, you requested 100 output tokens and your prompt contains at least"
        )
        return Reply(400, {"error": {"message": f"{told} 413 input tokens, for a total of at least 513 tokens."}})

    with FaultyServer(script) as server:
        assert ask(of(server.url), ["a"])["a"].text == " what fits"


def test_a_model_that_wants_max_completion_tokens_gets_it():
    def script(body: dict[str, Any], before: int) -> Reply:
        if "max_tokens" in body:
            wanted = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
            return Reply(400, {"error": {"message": wanted}})
        return written(f"{body['max_completion_tokens']}")

    with FaultyServer(script) as server:
        told = ask(of(server.url, endpoint="chat", concurrency=4), [str(number) for number in range(12)])
        assert {one.text for one in told.values()} == {" 9"}
        assert len(server.bodies) <= 16, "it is learnt once"


def echo(body: dict[str, Any], before: int) -> Reply:
    """A word is a token; its logprob is minus its length; the first has none. One token more is written."""
    tokens = [word if i == 0 else f" {word}" for i, word in enumerate(body["prompt"].split(" "))]
    values = [None, *(-float(len(token)) for token in tokens[1:])]
    logprobs = {"tokens": [*tokens, " x"], "token_logprobs": [*values, -9.0]}
    choice = {"text": body["prompt"] + " x", "logprobs": logprobs, "finish_reason": "length"}
    assert (body["echo"], body["logprobs"], body["max_tokens"]) == (True, 1, 1)
    return Reply(body={"choices": [choice], "usage": {"prompt_tokens": len(tokens), "completion_tokens": 1}})


def test_options_are_weighed_by_their_own_tokens():
    with FaultyServer(
        lambda body, before: Reply(500, b"") if not before and body["prompt"] == "The answer is" else echo(body, 0)
    ) as server:
        told = ask(of(server.url), ["The answer is"], options=(" yes", " not so"))["The answer is"]
    assert told == Completion("The answer is", "", "stop", 3, logprobs=(-4.0, -7.0), retries=1)


def test_options_are_weighed_only_where_the_server_can():
    with FaultyServer(lambda body, before: written()) as server:
        with pytest.raises(UserError, match=r"this server cannot weigh options \(it does not echo logprobs of the prompt\)"):
            ask(of(server.url), ["a"], options=(" yes", " no"))
        with pytest.raises(UserError, match=r"cannot weigh options through chat; use endpoint: completions"):
            ask(of(server.url, endpoint="chat"), ["a"], options=(" yes", " no"))
    refusal = Reply(400, {"error": {"message": "Only no echo is supported"}})
    with FaultyServer(lambda body, before: refusal) as server, pytest.raises(UserError, match=r"cannot weigh options \(400 .*Only no echo"):
        ask(of(server.url), ["a"], options=(" yes", " no"))


def test_prompts_are_counted_by_the_server():
    def script(body: dict[str, Any], before: int) -> Reply:
        count = len(body["prompt"].split())
        return Reply(body={"count": count} if count % 2 else {"tokens": [7] * count})

    with FaultyServer(script) as server:
        assert of(server.url, context=9).count_tokens(["a", "a b", "a b c", "a"]) == [1, 2, 3, 1]
        assert set(server.paths) == {"/tokenize"}


def test_a_server_that_counts_no_tokens_is_told_once(capsys: pytest.CaptureFixture[str]):
    reply = Reply(body={"choices": [{"text": " so", "finish_reason": "stop"}]})
    with FaultyServer(lambda body, before: reply) as server:
        told = ask(of(server.url), ["a", "b", "c"])
    assert {one.tokens for one in told.values()} == {0}
    assert capsys.readouterr().err.count("does not count tokens") == 1


def test_no_proxy_stands_before_a_server_on_this_machine(monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with FaultyServer(lambda body, before: written()) as server:
        assert ask(of(server.url), ["a"])["a"].text == " so it is."


@pytest.mark.slow
def test_the_key_is_sent_and_stands_nowhere_else(tmp_path: Path):
    """The server repeats it in a text, in errors, in headers; run by hand, with everything written and said searched for it."""

    def script(body: dict[str, Any], before: int) -> Reply:
        number = int(body["prompt"].split()[1])
        said = {"error": {"message": f"Bearer {KEY} is not liked", "key": KEY}}
        replies = [written(f" Your key is {KEY}."), Reply(400, said), Reply(500, said), Reply(200, said), Reply(429, said, {"X-Key": KEY})]
        return replies[number % 5] if number < 30 else Reply(401, said)

    source = tmp_path / "in.jsonl"
    environment = {**os.environ, "MY_KEY": KEY}
    words = [sys.executable, "-m", "teacherlm.cli", "enhance", "--input", str(source), "--teacher", "openai", "--kinds", "cot"]
    words += ["--set", "teacher.model=m", "--set", "teacher.api_key_env=MY_KEY", "--set", "teacher.retries=1"]
    with FaultyServer(script) as server:
        words += ["--set", f"teacher.base_url={server.url}", "--output", str(tmp_path / "out")]
        for rows, code in ((30, 0), (40, 2)):
            source.write_text("".join(json.dumps({"id": str(i), "cot_text": f"Q: {i} A:"}) + "\n" for i in range(rows)))
            more = ["--overwrite"] if code else []
            done = subprocess.run([*words, *more], env=environment, capture_output=True, text=True, timeout=100)
            assert done.returncode == code, done.stderr
            assert KEY not in done.stdout + done.stderr
        assert "says 401 Unauthorized" in done.stderr and "set MY_KEY" in done.stderr
        assert all(one["Authorization"] == f"Bearer {KEY}" for one in server.headers)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 3 and any(b"Your key is ***." in path.read_bytes() for path in files)
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_short_key_is_a_word_and_not_searched_for_in_texts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with FaultyServer(lambda body, before: written(" none of them")) as server:
        assert ask(of(server.url), ["a"])["a"].text == " none of them"
        assert server.headers[0]["Authorization"] == "Bearer none"


def test_a_key_that_cannot_be_one_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-\nsecret")
    with pytest.raises(UserError, match=r"\$OPENAI_API_KEY holds characters that no key can have") as told:
        of("http://127.0.0.1:9/v1")
    assert "secret" not in str(told.value)


def test_stop_strings_and_seeds_reach_the_server():
    with FaultyServer(lambda body, before: written(" so.\nQ: Next")) as server:
        told = ask(of(server.url), ["a"], sampling=Sampling(0.7, 0.9, 5, ("\nQ:",)))
        assert told["a"].text == " so."
        [body] = server.bodies
    assert (body["stop"], body["temperature"], body["top_p"], body["top_k"]) == (["\nQ:"], 0.7, 0.9, 5) and body["seed"] < 2**31
