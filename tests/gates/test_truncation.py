from gate_cases import built

from teacherlm.verify import Rationale


def test_a_text_cut_off_at_the_token_limit_is_truncated() -> None:
    ends = {
        finish: built("truncation").verdict(Rationale("error", " So", "A", "letter", finish=finish)) for finish in ("length", "stop", "")
    }
    assert ends == {"length": "truncated", "stop": "complete", "": "unknown"}
    assert built("truncation").drops == {"truncated"}
