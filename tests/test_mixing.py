import pytest
from hypothesis import given
from hypothesis import strategies as st

from teacherlm.errors import UserError
from teacherlm.mixing import as_dataset, by_weight, draw, parse_list, parse_size


@pytest.mark.parametrize(
    ("word", "count", "rows"),
    [("all", 10, 10), ("all", 0, 0), ("0", 10, 0), ("0%", 10, 0), ("10%", 95, 9), ("12.5%", 80, 10), ("100%", 7, 7), ("1000", 10, 1000)],
)
def test_a_size_is_all_a_share_or_a_number(word: str, count: int, rows: int):
    assert parse_size(word, count) == rows


def test_ten_percent_are_a_tenth_and_not_ten_times():
    """The original multiplied by K instead of K/100."""
    assert parse_size("10%", 1000) == 100


@pytest.mark.parametrize("word", ["", "some", "-1", "10 rows", "1e3", "%", "0.5"])
def test_another_word_is_refused(word: str):
    with pytest.raises(UserError, match="expected all, a share such as 10%, or a number of rows"):
        parse_size(word, 10)


def test_more_than_all_is_refused_as_a_share():
    with pytest.raises(UserError, match="more than 100%"):
        parse_size("101%", 10)


def test_the_originals_lists_are_read():
    assert parse_list("[arc, mmlu]") == parse_list("arc,mmlu") == parse_list("['arc','mmlu']") == ["arc", "mmlu"]
    made = as_dataset({"instruction_datasets": "[arc,mmlu]", "dataset_sizes": "[all,10%]"}, False)
    assert made == {"name": "mix", "parts": {"arc": "all", "mmlu": "10%"}, "upsample": False}


def test_lists_of_different_length_are_refused():
    with pytest.raises(UserError, match="names 2 sources, dataset_sizes gives 1 sizes"):
        as_dataset({"instruction_datasets": "[arc,mmlu]", "dataset_sizes": "[all]"}, False)
    with pytest.raises(UserError, match="'arc' is there twice"):
        as_dataset({"instruction_datasets": "[arc,arc]", "dataset_sizes": "[all,1]"}, False)


@given(st.integers(0, 60), st.integers(0, 200), st.floats(0.1, 3), st.integers(0, 5))
def test_a_draw_takes_every_row_as_often_as_the_others(count: int, wanted: int, epochs: float, seed: int):
    once = draw(count, wanted, 1.0, str(seed))
    assert sum(once) == (wanted if count else 0)
    if count and wanted:
        assert max(once) - min(once) <= 1
        assert abs(sum(draw(count, wanted, epochs, str(seed))) - epochs * wanted) <= 1


def test_a_draw_is_the_seeds():
    assert draw(100, 10, 1.0, "0/arc") == draw(100, 10, 1.0, "0/arc") != draw(100, 10, 1.0, "1/arc")


@given(st.dictionaries(st.text("abc", min_size=1), st.floats(0.1, 10), min_size=1), st.integers(1, 1000))
def test_weights_share_out_every_row(weights: dict[str, float], rows: int):
    counts = by_weight(weights, rows)
    assert sum(counts.values()) == rows
    for name, weight in weights.items():
        assert abs(counts[name] - rows * weight / sum(weights.values())) < 1
