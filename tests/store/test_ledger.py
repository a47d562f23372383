import subprocess
import sys
from pathlib import Path

import pytest

from teacherlm.errors import UserError
from teacherlm.records import Completion, Request, Sampling
from teacherlm.store.ledger import Ledger


def completion(number: int, text: str = "") -> Completion:
    return Completion(key(number), text or f"text {number}\nwith a line break", "length", 3, 4)


def key(number: int) -> str:
    return f"{number:032x}"


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def test_what_was_appended_is_there_in_this_process_and_the_next(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        ledger.append([completion(1), completion(2)])
        ledger.append([completion(3)])
        assert [ledger[key(n)] for n in (3, 1, 2)] == [completion(n) for n in (3, 1, 2)]
        assert key(4) not in ledger
        with pytest.raises(KeyError):
            ledger[key(4)]
    with Ledger(tmp_path) as again:
        assert len(again) == 3
        assert again[key(2)] == completion(2)


def test_a_run_that_asks_nothing_leaves_no_segment(tmp_path: Path):
    with Ledger(tmp_path / "ledger"):
        pass
    assert segments(tmp_path / "ledger") == []


def test_a_segment_is_never_reopened(tmp_path: Path):
    for number in range(3):
        with Ledger(tmp_path) as ledger:
            ledger.append([completion(number)])
    assert len(segments(tmp_path)) == 3


def test_the_key_stands_first_in_its_line(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        ledger.append([completion(7)])
    assert segments(tmp_path)[0].read_bytes().startswith(b'{"key":"' + key(7).encode() + b'","text":')


@pytest.mark.parametrize("cut", [1, 5, 30, 60])
def test_a_torn_last_line_does_not_count_and_hides_nothing(tmp_path: Path, cut: int):
    with Ledger(tmp_path) as ledger:
        ledger.append([completion(1), completion(2)])
    torn = segments(tmp_path)[0]
    torn.write_bytes(torn.read_bytes()[:-cut])
    with Ledger(tmp_path) as again:
        assert key(1) in again and key(2) not in again
        again.append([completion(2)])
    with Ledger(tmp_path) as third:
        assert third[key(1)] == completion(1) and third[key(2)] == completion(2)


def test_zeros_left_by_a_power_cut_do_not_count(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        ledger.append([completion(1)])
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes() + b"\0" * 4096)
    with Ledger(tmp_path) as again:
        assert len(again) == 1


def test_the_first_answer_to_a_key_counts_at_every_restart(tmp_path: Path):
    with Ledger(tmp_path) as one, Ledger(tmp_path) as other:
        one.append([completion(1, "first")])
        other.append([completion(1, "second")])
    for _ in range(2):
        with Ledger(tmp_path) as again:
            assert again[key(1)].text == "first"


def test_a_damaged_line_is_named(tmp_path: Path):
    with Ledger(tmp_path) as ledger:
        ledger.append([completion(1)])
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes().replace(b'"finish"', b'"finish'))
    with Ledger(tmp_path) as again, pytest.raises(UserError, match=rf"{path}: the line of {key(1)} is damaged"):
        again[key(1)]


WRITER = """
import sys
from pathlib import Path
from teacherlm.records import Completion
from teacherlm.store.ledger import Ledger
folder, start = Path(sys.argv[1]), int(sys.argv[2])
with Ledger(folder) as ledger:
    for number in range(start, start + 300):
        ledger.append([Completion(f"{number:032x}", f"text {number}")])
"""


def test_processes_side_by_side_lose_nothing(tmp_path: Path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(start)]) for start in (0, 150, 1000)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    with Ledger(tmp_path) as ledger:
        assert len(ledger) == 450 + 300
        assert all(ledger[key(n)].text == f"text {n}" for n in (*range(450), *range(1000, 1300)))


def test_a_key_depends_on_the_request_and_the_engine_and_on_nothing_else():
    request = Request("Q", 8)
    assert request.key("a") == Request("Q", 8, where="elsewhere:3").key("a")
    others = [
        Request("Q ", 8),
        Request("Q", 9),
        Request("Q", 8, sample=1),
        Request("Q", 8, Sampling(temperature=0.5)),
        Request("Q", 8, Sampling(stop=("x",))),
    ]
    assert len({request.key("a"), request.key("b"), *(other.key("a") for other in others)}) == 7
