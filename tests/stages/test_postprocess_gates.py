"""Gates in a run: which rows they drop, what is counted, what a model is asked."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from enhanced_rows import dataset, done, enhanced, lines, soups, write_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from teacherlm.catalog import find
from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.stages.postprocess import STAGE, PostprocessConfig
from teacherlm.stages.prepare import PrepareConfig, prepare
from teacherlm.store.fingerprint import content_on_disk, fingerprint

LEAKS = " The answer is (A). Soup is a liquid, as everybody knows."
LOOPS = " Soup is a liquid." * 12
WRONG = " Soup is hard to chew, as everybody knows. The answer is (B)."
SHORT = " Soup."
GOOD = " Soup is water with things in it, and water is a liquid."
TEXTS = (LEAKS, LOOPS, WRONG, SHORT, GOOD, "")


def written(folder: Path, *texts: str, **more: object) -> Path:
    rows = soups(folder, len(texts))
    return write_lines(folder / "X_cot.jsonl", [{**enhanced(q, cot=text), **more} for q, text in zip(rows, texts, strict=True)])


def reasons(output: Path) -> list[str]:
    return [row["reason"] for row in lines(output / "rejected.jsonl")]


def asked(output: Path) -> list[str]:
    """Keys of all completions in the ledger."""
    return [json.loads(line)["key"] for path in (output / "ledger").glob("*.jsonl") for line in path.read_text().splitlines()]


GATES = ["agreement", "arithmetic", "leak", "truncation", "repetition", "length", "near_duplicate"]


def test_each_gate_drops_its_own_and_says_so(tmp_path: Path):
    outcome = done(tmp_path / "out", written(tmp_path, *TEXTS), verify=GATES)
    assert reasons(tmp_path / "out") == [
        "gate leak: cot is leak",
        "gate repetition: cot is loop",
        "gate agreement: cot is wrong",
        "gate length: cot is short",
        "cot is empty",
    ]
    assert outcome.counts == {"in": 6, "out": 1, "dropped": 5}
    assert list(outcome.facts["funnel"]) == ["questions in", "unusable", *GATES, "kept"]
    columns = ["verdict", "arithmetic", "leak", "truncation", "repetition", "length", "near_duplicate"]
    assert dataset(tmp_path / "out").column_names[-7:] == [f"cot_{column}" for column in columns]


def test_a_measured_gate_gives_the_same_verdicts_and_drops_nothing(tmp_path: Path):
    source = written(tmp_path, *TEXTS)
    verified = done(tmp_path / "verified", source, verify=GATES).facts["funnel"]
    measured = done(tmp_path / "measured", source, verify=[], measure=GATES)
    assert measured.counts == {"in": 6, "out": 5, "dropped": 1}
    assert {name: measured.facts["funnel"][name] for name in GATES} == {name: verified[name] for name in GATES}


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=8), st.sets(st.sampled_from(GATES)), st.sampled_from([None, 1]))
def test_every_row_is_kept_or_dropped_whatever_the_gates(texts: list[str], gates: set[str], best: int | None):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = written(folder, *texts)
        try:
            outcome = done(folder / "out", source, verify=sorted(gates), best=best)
        except UserError as error:
            assert f"none of {len(texts)} rows is left" in str(error)
            return
        kept = list(dataset(folder / "out")["id"])
        rejected = [row["id"] for row in lines(folder / "out" / "rejected.jsonl")] if outcome.counts["dropped"] else []
        assert sorted(kept + rejected) == [f"t{i}" for i in range(len(texts))]
        funnel = outcome.facts["funnel"]
        assert all(sum(funnel[gate].values()) + funnel["unusable"] == len(texts) for gate in gates)


def test_settings_of_a_gate_decide_and_are_part_of_the_fingerprint(tmp_path: Path):
    source = written(tmp_path, SHORT, GOOD)
    assert done(tmp_path / "a", source, verify=[{"name": "length", "min_words": 1}]).counts["out"] == 2
    assert done(tmp_path / "b", source, verify=[{"name": "length", "min_words": 2}]).counts["out"] == 1

    def print_of(**values: object) -> str:
        config = parse_config(PostprocessConfig, {"input": [str(source)], "output": "x", **values})
        return fingerprint("postprocess", STAGE, config, content_on_disk)

    assert print_of() == print_of(verify=["agreement"]) == print_of(verify=[{"name": "agreement"}])
    prints = [print_of(verify=[{"name": "length", "min_words": n}]) for n in (5, 6)]
    assert len({print_of(), print_of(verify=[]), print_of(measure=["length"]), *prints}) == 5
    assert prints[0] == print_of(verify=["length"])


def test_gates_that_are_not_there_or_there_twice_are_one_clear_line(tmp_path: Path):
    source = written(tmp_path, GOOD)
    cases: dict[str, dict[str, Any]] = {
        r"verify\.0: No gate named 'agrement'\. Did you mean 'agreement'\?": {"verify": ["agrement"]},
        r"measure: gate 'length' is there twice, with different settings": {
            "verify": ["length"],
            "measure": [{"name": "length", "min_words": 9}],
        },
        r"min_wrods: unknown key": {"verify": [{"name": "length", "min_wrods": 9}]},
        r"engine: is required": {"verify": ["judge"]},
    }
    for message, values in cases.items():
        with pytest.raises(UserError, match=message):
            done(tmp_path / "out", source, **values)
    assert done(tmp_path / "out", source, verify=["length"], measure=["length"]).counts["out"] == 1


JUDGE = {"name": "judge", "engine": {"name": "scripted", "reply": "yes"}}


def test_a_model_is_asked_about_what_cheaper_gates_leave_and_never_twice(tmp_path: Path):
    source = written(tmp_path, *TEXTS)
    outcome = done(tmp_path / "out", source, verify=[JUDGE, "agreement", "length"])
    assert len(asked(tmp_path / "out")) == 3
    assert outcome.facts["funnel"]["judge"] == {"bad": 0, "failed": 0, "unparsed": 0, "good": 3, "not judged": 2}
    assert dataset(tmp_path / "out").column_names[-3:] == ["cot_judge", "cot_verdict", "cot_length"]
    done(tmp_path / "out", source, verify=[JUDGE, "agreement", "length"])
    assert len(asked(tmp_path / "out")) == 3
    done(tmp_path / "out", source, verify=[JUDGE, "length"])
    assert len(asked(tmp_path / "out")) == 4


def test_a_model_is_asked_about_the_kinds_that_its_question_fits(tmp_path: Path):
    rows = [enhanced(q, cot=GOOD, error=" One may think that it is solid.") for q in soups(tmp_path)]
    source = write_lines(tmp_path / "X.jsonl", rows)
    done(tmp_path / "out", source, verify=[JUDGE])
    assert (dataset(tmp_path / "out")[0]["cot_judge"], dataset(tmp_path / "out")[0]["error_judge"]) == ("good", "not judged")
    mistakes = {**JUDGE, "kinds": ["error"], "prompt": "Is this a common mistake? {{ rationale }}"}
    done(tmp_path / "mistakes", source, verify=[mistakes])
    assert dataset(tmp_path / "mistakes")[0]["error_judge"] == "good"


def test_a_model_that_says_no_drops_a_row_and_one_that_mumbles_does_not(tmp_path: Path):
    source = written(tmp_path, GOOD, GOOD + " So.")
    no = {"name": "judge", "engine": {"name": "scripted", "reply": "no"}}
    with pytest.raises(UserError, match="gate judge: cot is bad: 2"):
        done(tmp_path / "no", source, verify=[no])
    assert done(tmp_path / "measured", source, measure=[no]).counts["out"] == 2
    mumbles = {"name": "judge", "engine": {"name": "scripted", "reply": "well"}}
    assert done(tmp_path / "well", source, verify=[mumbles]).facts["funnel"]["judge"]["unparsed"] == 2


def test_a_model_that_cannot_be_asked_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = written(tmp_path, GOOD, GOOD + " So.")
    fails = {"name": "scripted", "reply": "yes", "fail_on": "number 1"}
    done(tmp_path / "out", source, measure=[{"name": "supports", "engine": fails}, {"name": "judge", "engine": fails}])
    said = capsys.readouterr().err
    assert "gate supports: 1 rationales could not be asked about" in said
    assert "postprocess: warning: gate judge: 1 rationales could not be asked about (the first: told to fail on 'number 1')." in said


def test_supports_and_judge_together_ask_one_after_the_other(tmp_path: Path):
    """The scripted engine likes an option that stands at the end of the prompt."""
    towards, away = " Soup is very liquid, hence case A.", " Soup is very solid, hence case B."
    source = written(tmp_path, towards, away)
    outcome = done(tmp_path / "out", source, verify=[{"name": "supports", "engine": "scripted"}, JUDGE])
    assert outcome.facts["funnel"]["supports"] == {"against": 1, "no better": 0, "failed": 0, "supports": 1}
    assert outcome.facts["funnel"]["judge"]["good"] == 1 and reasons(tmp_path / "out") == ["gate supports: cot is against"]
    assert len(asked(tmp_path / "out")) == 4 + 1


def test_near_duplicates_and_a_model_agree_on_what_is_asked_about(tmp_path: Path):
    """The second is a duplicate of the first although the judge drops the first later: both passes must see it the same way."""
    source = written(tmp_path, GOOD, GOOD, GOOD + " And much more can be said about it in other words.")
    outcome = done(tmp_path / "out", source, verify=[JUDGE, "near_duplicate"])
    assert reasons(tmp_path / "out") == ["gate near_duplicate: cot is repeated"] and outcome.counts["out"] == 2
    no = {"name": "judge", "engine": {"name": "scripted", "reply": "no"}}
    with pytest.raises(UserError, match="gate judge: cot is bad: 2, gate near_duplicate: cot is repeated: 1"):
        done(tmp_path / "no", source, verify=[no, "near_duplicate"])


def command(tmp_path: Path, source: Path, **engine: object) -> list[str]:
    judge = {"name": "judge", "engine": {"name": "scripted", "reply": "yes", **engine}}
    base = [sys.executable, "-m", "teacherlm.cli", "postprocess", "--input", str(source), "--output", str(tmp_path / "out")]
    return [*base, "--set", f"verify={json.dumps(['leak', judge])}"]


def started(tmp_path: Path, source: Path) -> subprocess.Popen[str]:
    """A run that has got at least five answers."""
    process = subprocess.Popen(command(tmp_path, source, delay=0.05), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while sum(path.read_text().count("\n") for path in (tmp_path / "out" / "ledger").glob("*.jsonl")) < 5:
        assert time.monotonic() < deadline and process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.02)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_was_ended_asks_nothing_twice(tmp_path: Path, number: signal.Signals):
    source = written(tmp_path, *(f"{GOOD} Case {i}." for i in range(60)))
    process = started(tmp_path, source)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number), said
    if number != signal.SIGKILL:
        assert f"postprocess was ended by {number.name}; the same command goes on from there." in said
        assert "Traceback" not in said
    before = len(asked(tmp_path / "out"))
    assert 5 <= before < 60 and not (tmp_path / "out" / "manifest.json").exists()
    again = subprocess.run(command(tmp_path, source), capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert len(asked(tmp_path / "out")) == len(set(asked(tmp_path / "out"))) == 60
    assert len(dataset(tmp_path / "out")) == 60


def test_names_of_gates_stand_on_the_command_line(tmp_path: Path):
    source = written(tmp_path, *TEXTS)
    base = [sys.executable, "-m", "teacherlm.cli", "postprocess", "--input", str(source), "--output", str(tmp_path / "out")]
    ended = subprocess.run([*base, "--verify", "agreement,leak", "--measure", "length"], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    funnel = json.loads((tmp_path / "out" / "manifest.json").read_text())["facts"]["funnel"]
    assert list(funnel) == ["questions in", "unusable", "agreement", "leak", "length", "kept"] and funnel["kept"] == 3
    assert "kept 3 of 6 rows (" in ended.stderr and "gate leak: cot is leak: 1" in ended.stderr


@pytest.mark.slow
def test_what_was_asked_stays_when_the_rest_is_redone(tmp_path: Path):
    source = written(tmp_path, *TEXTS)
    assert subprocess.run(command(tmp_path, source), capture_output=True, timeout=120).returncode == 0
    before = asked(tmp_path / "out")
    again = subprocess.run([*command(tmp_path, source), "--best", "1", "--overwrite"], capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert asked(tmp_path / "out") == before != []


@pytest.mark.real
@pytest.mark.slow
def test_five_gates_at_once_on_real_questions_with_scripted_rationales(creak: Path, tmp_path: Path):
    prepare(PrepareConfig.model_validate({"dataset": "creak", "source": str(creak), "output": tmp_path / "questions"}))
    enhance = find("stages", "enhance")
    values = {
        "input": str(tmp_path / "questions"),
        "output": str(tmp_path / "rationales"),
        "teacher": "scripted",
        "kinds": "cot",
        "limit": 1000,
    }
    enhance.run(parse_config(enhance.config, values))
    against = {"name": "overlap", "against": [str(tmp_path / "questions")]}
    gates = ["agreement", "repetition", {"name": "length", "min_words": 6}, against, JUDGE]
    outcome = done(tmp_path / "out", tmp_path / "rationales", verify=gates, measure=["near_duplicate", "leak"])
    funnel = outcome.facts["funnel"]
    assert outcome.counts["in"] == 1000 == outcome.counts["out"] + outcome.counts["dropped"]
    assert funnel["length"]["short"] > 50 and funnel["overlap"]["question"] < 10
    assert funnel["near_duplicate"]["duplicate"] == 0
    assert all(sum(funnel[name].values()) == 1000 for name in ("agreement", "repetition", "length", "overlap", "judge", "near_duplicate"))
    assert len(asked(tmp_path / "out")) == outcome.counts["out"]
