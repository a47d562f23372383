from pathlib import Path

from teacherlm.store.claims import Claims


def key(number: int) -> str:
    return f"{number:032x}"


def test_what_another_living_process_has_is_told_of_the_asked_keys_alone(tmp_path: Path) -> None:
    mine, theirs = Claims(tmp_path), Claims(tmp_path)
    with theirs.turn():
        theirs.take([key(1), key(2), key(3)])
        assert theirs.taken([key(1)]) == {}, "its own are nobody else's"
    with mine.turn():
        assert mine.taken([key(4), key(3), key(1)]).keys() == {key(1), key(3)}
        assert mine.taken([]) == {}
    theirs.close()
    with mine.turn():
        assert mine.taken([key(1), key(2)]) == {}
    mine.close()
