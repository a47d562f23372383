"""Paired statistics against scipy, values worked out by hand, and simulations with a known truth."""

import numpy as np
import pytest
from scipy import stats

from teacherlm.evaluation.statistics import (
    Aligned,
    align,
    bootstrap_interval,
    compare,
    holm,
    majority,
    mcnemar,
    sign_flip,
    wilson_interval,
)


def sides(before: list[list[float]], after: list[list[float]]) -> Aligned:
    items = tuple(str(i) for i in range(len(before[0])))
    return Aligned(items, np.array(before, dtype=float), np.array(after, dtype=float), 0)


def test_mcnemar_equals_the_hand_worked_binomial_values() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(1, 0) == pytest.approx(1.0)
    assert mcnemar(6, 0) == pytest.approx(2 / 64)
    assert mcnemar(8, 2) == pytest.approx(2 * (1 + 10 + 45) / 1024)


def test_mcnemar_equals_scipy_and_is_symmetric_on_a_thousand_random_tables() -> None:
    random = np.random.default_rng(1)
    for gained, lost in random.integers(0, 200, size=(1000, 2)):
        k, n = int(min(gained, lost)), int(gained + lost)
        by_cdf = min(1.0, 2 * stats.binom.cdf(k, n, 0.5))
        assert mcnemar(int(gained), int(lost)) == pytest.approx(by_cdf, abs=1e-12) == mcnemar(int(lost), int(gained))


def test_one_seed_each_uses_the_exact_test_and_counts_gains_and_losses() -> None:
    before = [1.0] * 40 + [0.0] * 60
    after = [0.0] * 4 + [1.0] * 36 + [1.0] * 30 + [0.0] * 30
    found = compare(sides([before], [after]))
    assert (found.n, found.gained, found.lost, found.test) == (100, 30, 4, "exact McNemar")
    assert found.difference == pytest.approx(0.26)
    assert found.p_value == pytest.approx(stats.binomtest(30, 34).pvalue)
    assert found.ci_low < 0.26 < found.ci_high


def test_seeds_are_averaged_inside_each_question() -> None:
    found = compare(sides([[1, 0, 0, 0], [1, 1, 0, 0]], [[1, 1, 1, 0], [1, 1, 0, 0]]))
    assert found.difference == pytest.approx((0 + 0.5 + 0.5 + 0) / 4)
    assert (found.gained, found.lost, found.test) == (2, 0, "paired sign-flip permutation")


def test_questions_are_the_unit_so_a_second_identical_seed_adds_no_certainty() -> None:
    random = np.random.default_rng(2)
    before, after = (random.random((1, 400)) < share for share in (0.4, 0.5))
    once = compare(sides(before.tolist(), after.tolist()))
    twice = compare(sides(before.tolist() * 2, after.tolist() * 2))
    assert (once.ci_low, once.ci_high) == (twice.ci_low, twice.ci_high)


def test_sign_flip_agrees_with_the_exact_test_on_rights_and_wrongs() -> None:
    for gained, lost in [(20, 9), (60, 40), (5, 5), (30, 12)]:
        differences = np.array([1.0] * gained + [-1.0] * lost + [0.0] * 100)
        assert sign_flip(differences) == pytest.approx(mcnemar(gained, lost), abs=0.015)


def test_sign_flip_agrees_with_scipys_permutation_test_on_fractions() -> None:
    differences = np.random.default_rng(3).normal(0.15, 1.0, 80)
    theirs = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=10_000, rng=np.random.default_rng(0))
    assert sign_flip(differences) == pytest.approx(theirs.pvalue, abs=0.02)


def test_bootstrap_interval_agrees_with_scipys() -> None:
    for differences in (np.repeat([-1.0, 0.0, 1.0], [40, 300, 160]), np.random.default_rng(4).normal(0.1, 0.4, 500)):
        theirs = stats.bootstrap((differences,), np.mean, method="percentile", n_resamples=9999, rng=np.random.default_rng(0))
        low, high = theirs.confidence_interval
        assert bootstrap_interval(differences) == pytest.approx((low, high), abs=0.006)


def test_the_interval_covers_the_truth_about_95_percent_of_the_time() -> None:
    random = np.random.default_rng(5)
    covered, simulations, n = 0, 500, 500
    for _ in range(simulations):
        discordance, lean = random.uniform(0.05, 0.4), random.uniform(0.2, 0.8)
        shares = [discordance * lean, discordance * (1 - lean), 1 - discordance]
        differences = random.choice([1.0, -1.0, 0.0], size=n, p=shares)
        low, high = bootstrap_interval(differences, resamples=2000, seed=int(random.integers(2**31)))
        covered += low <= shares[0] - shares[1] <= high
    assert 0.93 <= covered / simulations <= 0.97


def test_no_disagreement_at_all_still_leaves_an_interval_that_narrows_with_more_questions() -> None:
    few, many = bootstrap_interval(np.zeros(20)), bootstrap_interval(np.zeros(2000))
    assert few[0] < many[0] < 0 < many[1] < few[1] < 0.25
    assert bootstrap_interval(np.ones(50))[0] < 1.0


def test_p_values_are_below_five_percent_about_five_percent_of_the_time_without_a_difference() -> None:
    random = np.random.default_rng(6)
    p_values = [sign_flip(random.choice([-1.0, -0.5, 0.0, 0.5, 1.0], size=300), 1000, seed=i) for i in range(500)]
    assert 0.03 <= np.mean(np.array(p_values) < 0.05) <= 0.07


def test_the_same_seed_gives_the_same_numbers_and_the_order_of_questions_does_not_matter() -> None:
    random = np.random.default_rng(7)
    before, after = random.random((3, 200)) < 0.3, random.random((3, 200)) < 0.5
    order = random.permutation(200)
    assert compare(sides(before.tolist(), after.tolist())) == compare(sides(before[:, order].tolist(), after[:, order].tolist()))


def test_a_hundred_thousand_questions_need_no_more_memory_or_time_than_a_thousand() -> None:
    differences = np.random.default_rng(8).choice([-1.0, 0.0, 1.0], size=100_000)
    low, high = bootstrap_interval(differences)
    assert high - low == pytest.approx(2 * 1.96 * differences.std() / 100_000**0.5, rel=0.05)


def test_align_matches_by_question_and_counts_what_is_missing_on_any_side() -> None:
    found = align([{"a": 1, "b": 0, "c": 1}, {"c": 1, "b": 1, "a": 0}], [{"b": 1, "c": 0, "x": 1}])
    assert found.items == ("b", "c")
    assert found.baseline.tolist() == [[0, 1], [1, 1]] and found.candidate.tolist() == [[1, 0]]
    assert found.unmatched == 2


def test_no_common_question_no_seed_and_scores_that_are_not_numbers_are_errors() -> None:
    with pytest.raises(ValueError, match="no question in common"):
        align([{"a": 1}], [{"b": 1}])
    with pytest.raises(ValueError, match="at least one seed"):
        align([], [{"b": 1}])
    with pytest.raises(ValueError, match="not a number"):
        compare(sides([[1.0, float("nan")]], [[1.0, 1.0]]))
    with pytest.raises(ValueError, match="no scores"):
        bootstrap_interval(np.array([]))


def test_wilson_interval_equals_scipys_also_at_the_ends() -> None:
    for right, n in [(0, 10), (10, 10), (355, 500), (1, 3)]:
        theirs = stats.binomtest(right, n).proportion_ci(method="wilson")
        assert wilson_interval(right, n) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    with pytest.raises(ValueError, match="n > 0"):
        wilson_interval(0, 0)


def test_holm_equals_the_hand_worked_example_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_majority_is_the_most_frequent_gold_answer() -> None:
    assert majority(["B", "A", "B", "C"]) == ("B", 0.5)
    assert majority(["B", "A"]) == ("A", 0.5)
    with pytest.raises(ValueError, match="no gold"):
        majority([])
