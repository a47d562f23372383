from teacherlm.catalog import find
from teacherlm.parsing import parse_config
from teacherlm.verify import NOT_JUDGED, JudgingGate, Rationale, build_gate


def agreement() -> JudgingGate:
    gate = build_gate(parse_config(find("gates", "agreement").settings, {}))
    assert isinstance(gate, JudgingGate)
    return gate


def test_a_kind_that_a_gate_cannot_judge_is_not_judged() -> None:
    assert agreement().verdict(Rationale("error", "One may think the answer is (A).", "B", "letter")) == NOT_JUDGED


def test_the_gravest_verdict_stands_for_a_row() -> None:
    assert agreement().gravest(["right", "wrong", "unparsed"]) == "wrong"
    assert agreement().gravest(["not judged", "unparsed"]) == "unparsed"


def test_a_gate_reads_no_further_than_the_next_question() -> None:
    assert Rationale("cot", " It is so.\nQ: Is tea? A: No.", "A", "letter").own_text == " It is so.\n"
    assert Rationale("cot", " FAQ: see below.", "A", "letter").own_text == " FAQ: see below."
