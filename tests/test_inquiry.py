from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from teacherlm import interrupt
from teacherlm.asking import Conversation
from teacherlm.inquiry import Inquiry, Told, Unanswered
from teacherlm.records import NO_ANSWER, Completion, Request
from teacherlm.store.frontier import Frontier, Place
from teacherlm.store.ledger import Ledger


class Echo:
    """Answers with the prompt; `ahead` requests are read before the first answer."""

    identity, context = "echo@1, words, seed 0", None

    def __init__(self, ahead: int = 3) -> None:
        self.ahead, self.asked = ahead, list[str]()

    def count_tokens(self, prompts: Iterable[str]) -> list[int]:
        return [len(prompt) for prompt in prompts]

    def complete(self, requests: Iterable[tuple[str, Request]]) -> Iterator[Completion]:
        held: list[tuple[str, Request]] = []
        for pair in requests:
            held.append(pair)
            if len(held) == self.ahead:
                yield from self._answers(held)
        yield from self._answers(held)

    def _answers(self, held: list[tuple[str, Request]]) -> Iterator[Completion]:
        while held:
            key, request = held.pop()
            self.asked.append(request.prompt)
            yield Completion(key, f"<{request.prompt}>", prompt_tokens=1, tokens=1)


def steps(*prompts: str) -> Conversation[str]:
    said = []
    for prompt in prompts:
        (one,) = yield [Request(prompt, 1)]
        said.append(one.text)
    return "".join(said)


def test_conversations_are_carried_to_their_ends_whatever_their_length(tmp_path: Path):
    ends: list[Told[str]] = []
    engine = Echo()
    with Ledger(tmp_path) as ledger:
        Inquiry(engine, ledger).ask((steps(*(f"{n}.{i}" for i in range(n))) for n in range(6)), ends.append)
        assert sorted(told.result for told in ends) == sorted("".join(f"<{n}.{i}>" for i in range(n)) for n in range(6))
        assert Inquiry(engine, ledger).replay(steps("5.0", "5.1")).result == "<5.0><5.1>"
    assert len(engine.asked) == len(set(engine.asked)) == 15


def test_what_the_ledger_holds_is_not_asked(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        Inquiry(Echo(), ledger).ask([steps("a", "b")])
    ends: list[Told[str]] = []
    with Ledger(tmp_path) as ledger:
        engine = Echo()
        Inquiry(engine, ledger).ask([steps("a", "b"), steps("a", "c")], ends.append)
    assert engine.asked == ["c"] and [told.asked for told in ends] == [False, True]


def test_the_same_request_of_several_conversations_is_asked_once(tmp_path: Path):
    ends: list[Told[str]] = []
    engine = Echo(ahead=2)
    with Ledger(tmp_path) as ledger:
        Inquiry(engine, ledger).ask([steps("a", "b") for _ in range(200)], ends.append)
    assert sorted(engine.asked) == ["a", "b"] and len(ends) == 200


def test_a_conversation_that_lacks_an_answer_cannot_be_replayed(tmp_path: Path):
    with Ledger(tmp_path) as ledger, pytest.raises(Unanswered):
        Inquiry(Echo(), ledger).replay(steps("a"))


def test_once_a_stop_is_wanted_nothing_new_is_begun(tmp_path: Path):
    engine = Echo(ahead=4)
    with interrupt.interruptible(), Ledger(tmp_path) as ledger:
        seen = 0

        def on_answer(completion: Completion) -> None:
            nonlocal seen
            seen += 1
            if seen == 6:
                interrupt.ask_to_stop("enough")

        Inquiry(engine, ledger).ask((steps(str(n)) for n in range(1000)), on_answer=on_answer)
        assert len(engine.asked) == len(ledger) == 8, "what was in hand is finished"


def test_an_engine_that_swallows_requests_is_a_bug_and_not_an_endless_loop(tmp_path: Path):
    class Lazy(Echo):
        def _answers(self, held: list[tuple[str, Request]]) -> Iterator[Completion]:
            yield from super()._answers(held[:1])
            held.clear()

    with Ledger(tmp_path) as ledger, pytest.raises(RuntimeError, match="left 4 requests without an answer"):
        Inquiry(Lazy(ahead=100), ledger).ask([steps(str(n)) for n in range(5)])


def test_two_inquiries_on_one_ledger_leave_each_other_what_they_have_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first, second = Echo(), Echo()
    ends: list[Told[str]] = []
    with Ledger(tmp_path) as one, Ledger(tmp_path) as other:

        def complete(requests: Iterable[tuple[str, Request]]) -> Iterator[Completion]:
            """While the first has its requests in hand, the second is asked the same and more."""
            taken = list(requests)
            keys = {key for key, _ in taken}
            assert other.claim(list(keys)).keys() == keys
            Inquiry(second, other).ask([steps("z")], ends.append)
            for key, request in taken:
                yield Completion(key, f"<{request.prompt}>")
                first.asked.append(request.prompt)

        first.complete = complete  # type: ignore[method-assign]
        Inquiry(first, one).ask([steps("a"), steps("b")], ends.append)
        Inquiry(second, other).ask([steps("a"), steps("c")], ends.append)
    assert (first.asked, second.asked) == (["a", "b"], ["z", "c"])
    assert [told.result for told in ends] == ["<z>", "<a>", "<b>", "<a>", "<c>"]


def test_what_found_no_server_is_asked_again_by_a_later_run(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        key = Request("a", 1).key(Echo.identity)
        ledger.append([Completion(key, "", "error", error=f"{NO_ANSWER}502")])
        assert key in ledger, "this run has given it up"
    with Ledger(tmp_path) as ledger:
        engine = Echo()
        Inquiry(engine, ledger).ask([steps("a")])
        assert engine.asked == ["a"] and ledger[key].text == "<a>"
    with Ledger(tmp_path) as ledger:
        assert ledger[key].text == "<a>"


def test_an_engine_is_not_touched_when_the_ledger_knows_everything(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        Inquiry(Echo(), ledger).ask([steps("a")])
        engine = Echo()
        engine.complete = None  # type: ignore[method-assign, assignment]
        Inquiry(engine, ledger).ask([steps("a")])


def test_a_frontier_stands_before_the_first_open_row(tmp_path: Path):
    frontier = Frontier(tmp_path / "f.json")
    for number in range(5):
        frontier.open(number, Place(number + 1, number + 1, 10 * (number + 1)))
    for closed, rows in ((1, 0), (2, 0), (0, 3), (4, 3), (3, 5)):
        frontier.close(closed)
        assert frontier.place.rows == rows
    frontier.save()
    assert Frontier(tmp_path / "f.json").place == Place(5, 5, 50)
