"""What a run of enhance may be told beside what to ask: ways, samples, caps, estimates; and the ends it may come to."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from teacherlm.errors import Stopped, UserError
from teacherlm.parsing import parse_config
from teacherlm.prompts import SUFFIX
from teacherlm.stage import Outcome
from teacherlm.stages.enhance import EnhanceConfig, enhance, output_file

KINDS = ("cot", "error", "fundamental")


def config(**values: Any) -> EnhanceConfig:
    return parse_config(EnhanceConfig, {"teacher": "scripted", **values})


def row(number: int) -> dict[str, Any]:
    prompt = f"Q: Is {number} even? (A) True (B) False A:"
    answer = "AB"[number % 2]
    text = f"{prompt} The answer is ({answer})."
    ours = {"id": str(number), "prompt": prompt, "choices": ["True", "False"], "answer": answer}
    return {
        "text": text,
        **{f"{kind}_text": text + SUFFIX[kind] for kind in KINDS},
        **ours,
        "answer_rule": "letter",
        "template": "teacherlm",
    }


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "EVEN.jsonl"
    path.write_text("".join(json.dumps(row(number)) + "\n" for number in range(40)))
    return path


def run(output: Path, **values: Any) -> tuple[Outcome, list[dict[str, Any]]]:
    settings = config(output=output, **values)
    outcome = enhance(settings)
    return outcome, lines(output_file(settings, Path(values["input"])))


def test_samples_are_rows_of_their_own_and_say_how_often_the_question_was_right(tmp_path: Path, questions: Path):
    outcome, rows = run(tmp_path / "out", input=questions, way="solve", samples=3, temperature=0.7)
    assert outcome.counts["questions"] == 40 and len(rows) == outcome.counts["rows"] == 120
    assert [(one["id"], one["completion_index"]) for one in rows[:4]] == [("0", 0), ("0", 1), ("0", 2), ("1", 0)]
    assert all({"pass_rate", "vote", "found", "conclusion"} <= one.keys() for one in rows)
    assert rows == run(tmp_path / "again", input=questions, way="solve", samples=3, temperature=0.7)[1]


def test_attempts_that_repeat_themselves_are_counted_and_kept_once(tmp_path: Path, questions: Path):
    teacher = {"name": "scripted", "reply": "Even. The answer is (A)."}
    outcome, rows = run(tmp_path / "out", input=questions, kinds="cot", samples=4, temperature=1, teacher=teacher)
    assert (outcome.counts["rows"], outcome.counts["duplicates"], outcome.counts["asked"]) == (40, 120, 160)
    assert [one["pass_rate"] for one in rows[:4]] == [1.0, 0.0, 1.0, 0.0] and rows[0]["vote"] == "A"


def test_more_samples_later_ask_only_for_themselves(tmp_path: Path, questions: Path):
    values = {"input": questions, "kinds": "cot", "temperature": 1}
    assert run(tmp_path / "out", samples=2, **values)[0].counts["asked"] == 80
    assert run(tmp_path / "out", samples=5, **values)[0].counts["asked"] == 120


def test_samples_at_temperature_0_are_refused(tmp_path: Path, questions: Path):
    with pytest.raises(UserError, match=r"samples: 3 attempts at temperature 0 are all the same; give a temperature, such as 0.7\."):
        config(input=questions, output=tmp_path / "o", samples=3)


def test_a_way_without_a_look_at_the_answer_writes_cot_alone(tmp_path: Path, questions: Path):
    run(tmp_path / "out", input=questions, way="solve")
    assert (tmp_path / "out" / "EVEN_cot.jsonl").is_file()
    with pytest.raises(UserError, match=r"kinds: the way 'solve' writes cot only, not error\."):
        config(input=questions, output=tmp_path / "o", way="solve", kinds="cot,error")


def test_a_frozen_job_that_spells_out_the_default_kinds_is_the_same_job(tmp_path: Path, questions: Path):
    settings = config(input=questions, output=tmp_path / "o", way="solve")
    assert parse_config(EnhanceConfig, settings.model_dump(mode="json")) == settings


def test_solve_then_hint_says_of_every_row_whether_it_was_hinted(tmp_path: Path, questions: Path):
    teacher = {"name": "scripted", "reply": "(A)."}
    outcome, rows = run(tmp_path / "out", input=questions, way="solve_then_hint", teacher=teacher)
    assert [one["hinted"] for one in rows[:4]] == [False, True, False, True]
    assert outcome.counts["asked"] == 40 * 2 + 20, "only failures see the answer; what follows from the same text was asked before"
    assert outcome.counts["questions"] == outcome.counts["rows"] + outcome.counts["dropped"] == 40


def test_a_template_file_is_a_way_in_all_three_spellings(tmp_path: Path, questions: Path):
    from teacherlm.options import given_values, stage_callback
    from teacherlm.stages.enhance import STAGE

    (tmp_path / "t.j2").write_text("Explain: {{ text }}{{ suffix }}")
    files = [
        {"way": str(tmp_path / "t.j2")},
        {"template": str(tmp_path / "t.j2")},
        {"way": {"name": "template", "file": tmp_path / "t.j2"}},
    ]
    for values in files:
        assert config(input=questions, output=tmp_path / "o", **values).way.model_dump(mode="json")["file"] == str(tmp_path / "t.j2")
    given: dict[str, Any] = dict.fromkeys(stage_callback("enhance", STAGE, print).__signature__.parameters)  # type: ignore[attr-defined]
    given |= {"way_alias_0": str(tmp_path / "t.j2"), "input": str(questions), "output": str(tmp_path / "o"), "teacher": "scripted"}
    assert parse_config(EnhanceConfig, given_values(STAGE, given)).way.name == "template"
    _, rows = run(tmp_path / "out", input=questions, kinds="cot", template=str(tmp_path / "t.j2"))
    assert rows[0]["all"].startswith("Explain: Q: Is 0 even?")


def test_a_column_that_a_template_names_and_the_file_lacks_is_one_line(tmp_path: Path, questions: Path):
    (tmp_path / "t.j2").write_text("{{ hint }}")
    with pytest.raises(UserError, match=r"t\.j2: 'hint' is undefined; .*EVEN\.jsonl:1 has the columns text, "):
        run(tmp_path / "out", input=questions, way=str(tmp_path / "t.j2"))


def test_an_unknown_way_is_named(tmp_path: Path, questions: Path):
    with pytest.raises(UserError, match=r"way: No way of asking named 'solv'\. Did you mean 'solve'\?"):
        config(input=questions, output=tmp_path / "o", way="solv")


def test_t7_a_known_specialist_asked_for_another_kind_is_warned_of(tmp_path: Path, questions: Path, capsys: pytest.CaptureFixture[str]):
    teacher = {"name": "scripted", "model": "org/TeacherLM-COT-7.1B"}
    run(tmp_path / "a", input=questions, kinds="cot,error", teacher=teacher)
    assert "warning: org/TeacherLM-COT-7.1B was trained to write cot; it is asked for error too." in capsys.readouterr().err
    run(tmp_path / "b", input=questions, kinds="cot", teacher=teacher)
    assert "warning" not in capsys.readouterr().err


def test_a_cap_stops_cleanly_and_can_be_raised(tmp_path: Path, questions: Path):
    values = {"input": questions, "output": tmp_path / "out", "batch_size": 2}
    with pytest.raises(
        UserError, match=r"max_tokens_total 400 is reached \(4\d\d tokens, prompts included\); \d+ answers of this run are kept"
    ):
        enhance(config(**values, max_tokens_total=400))
    kept = sum(len(lines(path)) for path in (tmp_path / "out" / "ledger").glob("*.jsonl"))
    assert 0 < kept < 120
    with pytest.raises(UserError, match=r"max_tokens_total 400 is reached"):
        enhance(config(**values, max_tokens_total=400))
    outcome = enhance(config(**values, max_tokens_total=100_000))
    assert outcome.counts["asked"] == 120 - kept
    whole = run(tmp_path / "whole", input=questions)[1]
    assert lines(tmp_path / "out" / "EVEN_cot_error_fundamental.jsonl") == whole
    enhance(config(**values, max_tokens_total=1))  # everything is answered: nothing is spent


def test_a_shard_that_was_stopped_notes_how_far_it_is_and_a_done_one_leaves_no_note(tmp_path: Path, questions: Path):
    values = {"input": questions, "output": tmp_path / "out", "batch_size": 2, "shard": "1/2"}
    with pytest.raises(UserError, match=r"max_tokens_total 400 is reached"):
        enhance(config(**values, max_tokens_total=400))
    assert len(list((tmp_path / "out" / "ledger").glob("frontier-*.json"))) == 1
    enhance(config(**values))
    assert not list((tmp_path / "out" / "ledger").glob("frontier-*.json"))


def test_a_cap_in_money_counts_both_sides_at_their_prices(tmp_path: Path, questions: Path):
    values = {"input": questions, "output": tmp_path / "out", "batch_size": 1}
    with pytest.raises(UserError, match=r"max_cost: needs prices"):
        config(**values, max_cost=1)
    with pytest.raises(UserError, match=r"max_cost 0.01 is reached \(0.01\d* spent\)"):
        enhance(config(**values, max_cost=0.01, prices={"prompt": 10, "completion": 100}))


def test_an_estimate_asks_32_questions_says_what_the_whole_takes_and_wastes_nothing(tmp_path: Path, questions: Path):
    path = tmp_path / "MANY.jsonl"
    path.write_text("".join(json.dumps(row(number)) + "\n" for number in range(640)))
    values = {"input": path, "output": tmp_path / "out", "kinds": "cot"}
    with pytest.raises(Stopped) as told:
        enhance(config(**values, estimate=True, prices={"prompt": 1, "completion": 2}))
    assert told.value.exit_code == 0
    assert str(told.value).startswith("estimate from 32 of 640 questions: 0 min 0")
    ledger = [line for segment in (tmp_path / "out" / "ledger").glob("*.jsonl") for line in lines(segment)]
    written = round(sum(line["tokens"] for line in ledger) * 20)
    assert f"{written:,} tokens written" in str(told.value) and "cost 0.0" in str(told.value)
    assert not (tmp_path / "out" / "MANY_cot.jsonl").exists()
    assert enhance(config(**values)).counts["asked"] == 640 - 32


def start(settings: dict[str, Any]) -> "subprocess.Popen[str]":
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    return subprocess.Popen([sys.executable, "-m", "teacherlm.cli", "enhance", *words], stderr=subprocess.PIPE, text=True)


def wait_for_answers(output: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if sum(path.read_bytes().count(b"\n") for path in (output / "ledger").glob("*.jsonl")) >= count:
            return
        time.sleep(0.01)
    raise AssertionError("no answers came")


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_finishes_what_is_in_hand_and_ends_in_one_line(tmp_path: Path, questions: Path, number: int, code: int):
    settings = {"input": str(questions), "output": str(tmp_path / "out"), "teacher": {"name": "scripted", "delay": 0.02}, "kinds": ["cot"]}
    process = start(settings)
    wait_for_answers(tmp_path / "out", 3)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code, told
    last = told.splitlines()[-1]
    assert f"stopped by {signal.Signals(number).name}" in last and "the same command goes on from there." in last
    assert "Traceback" not in told
    kept = sum(len(lines(path)) for path in (tmp_path / "out" / "ledger").glob("*.jsonl"))
    assert 3 <= kept < 40 and f"{kept} answers" in last
    done = start({**settings, "teacher": "scripted"})
    assert done.wait(timeout=60) == 0
    done.communicate()
    assert lines(tmp_path / "out" / "EVEN_cot.jsonl") == run(tmp_path / "whole", input=questions, kinds="cot")[1]
    assert sum(len(lines(path)) for path in (tmp_path / "out" / "ledger").glob("*.jsonl")) == 40


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; needs root."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("cannot mount a small tmpfs here (needs root)")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_stops_with_one_line_and_loses_no_finished_row(tmp_path: Path, small_disk: Path):
    path = tmp_path / "MANY.jsonl"
    path.write_text("".join(json.dumps(row(number)) + "\n" for number in range(400)))
    settings = {"input": str(path), "output": str(small_disk / "out"), "teacher": "scripted", "kinds": ["cot"]}
    process = start(settings)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2 and "Traceback" not in told, told
    assert "no space left on the disk; what was written before is kept" in told.splitlines()[-1]
    kept = [line for segment in (small_disk / "out" / "ledger").glob("*.jsonl") for line in lines(segment)]
    assert 20 < len(kept) < 400, "whole lines only, and those that fitted"
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    again = start(settings)
    again.communicate(timeout=60)
    assert again.returncode == 0
    assert lines(small_disk / "out" / "MANY_cot.jsonl") == run(tmp_path / "whole", input=path, kinds="cot")[1]
    keys = [line["key"] for segment in (small_disk / "out" / "ledger").glob("*.jsonl") for line in lines(segment)]
    assert len(keys) == len(set(keys)) == 400
