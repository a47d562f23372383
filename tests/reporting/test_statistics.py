"""Paired statistics against scipy, values worked out by hand, and simulations with a known truth."""

import itertools
import math
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from scipy import optimize, stats

from teacherlm.reporting.statistics import (
    Aligned,
    Z,
    align,
    bootstrap_interval,
    compare,
    holm,
    majority,
    mcnemar,
    sign_flip,
    tango_interval,
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


def thousand_tables() -> Iterator[tuple[int, int, int]]:
    """Of a thousand random comparisons: gained, lost, questions."""
    for gained, lost, even in np.random.default_rng(1).integers(0, 200, size=(1000, 3)).tolist():
        yield gained, lost, gained + lost + even + 1


def test_mcnemar_equals_scipy_and_is_symmetric_on_a_thousand_random_tables() -> None:
    for gained, lost, _ in thousand_tables():
        by_cdf = min(1.0, 2 * stats.binom.cdf(min(gained, lost), gained + lost, 0.5))
        assert mcnemar(gained, lost) == pytest.approx(by_cdf, abs=1e-12) == mcnemar(lost, gained)


@pytest.mark.slow
def test_mcnemar_wilson_and_holm_equal_statsmodels_on_a_thousand_random_tables() -> None:
    contingency = pytest.importorskip("statsmodels.stats.contingency_tables")
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.proportion import proportion_confint

    p_values = []
    for gained, lost, n in thousand_tables():
        p_values.append(mcnemar(gained, lost))
        assert p_values[-1] == pytest.approx(contingency.mcnemar([[1, lost], [gained, 1]], exact=True).pvalue, abs=1e-12)
        assert wilson_interval(gained, n) == pytest.approx(proportion_confint(gained, n, method="wilson"), abs=1e-12)
    for start in range(0, 1000, 20):
        assert holm(p_values[start : start + 20]) == pytest.approx(multipletests(p_values[start : start + 20], method="holm")[1])


def test_tangos_interval_ends_where_the_score_test_begins_to_reject() -> None:
    """The share that is lost under a supposed difference is found by scipy's search for the greatest likelihood, not by its formula."""

    def statistic(gained: int, lost: int, n: int, difference: float) -> float:
        def unlikely(share_lost: float) -> float:
            shares = [share_lost + difference, share_lost, 1 - 2 * share_lost - difference]
            return -sum(count * np.log(max(share, 1e-300)) for count, share in zip((gained, lost, n - gained - lost), shares, strict=True))

        bounds = (max(0.0, -difference), (1 - difference) / 2)
        share_lost = optimize.minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-10}).x
        return float((gained - lost - n * difference) / np.sqrt(n * (2 * share_lost + difference * (1 - difference))))

    for gained, lost, n in [(30, 4, 100), (3, 9, 40), (60, 60, 400), (5, 0, 500), (1, 2, 10)]:
        low, high = tango_interval(gained, lost, n)
        assert statistic(gained, lost, n, low) == pytest.approx(1.959964, abs=1e-3)
        assert statistic(gained, lost, n, high) == pytest.approx(-1.959964, abs=1e-3)


def test_tangos_interval_is_symmetric_stays_within_one_and_has_a_width_without_a_disagreement() -> None:
    low, high = tango_interval(30, 4, 100)
    assert (-high, -low) == pytest.approx(tango_interval(4, 30, 100))
    assert tango_interval(0, 0, 20) == pytest.approx((-(Z**2) / (20 + Z**2), Z**2 / (20 + Z**2)))  # worked out by hand
    assert tango_interval(50, 0, 50)[1] <= 1.0
    with pytest.raises(ValueError, match="got 3 and 4 of 5"):
        tango_interval(3, 4, 5)


def test_one_seed_each_uses_the_exact_test_and_counts_gains_and_losses() -> None:
    before = [1.0] * 40 + [0.0] * 60
    after = [0.0] * 4 + [1.0] * 36 + [1.0] * 30 + [0.0] * 30
    found = compare(sides([before], [after]))
    assert (found.n, found.gained, found.lost, found.test) == (100, 30, 4, "exact McNemar")
    assert (found.ci_low, found.ci_high) == tango_interval(30, 4, 100) and found.interval == "score interval (Tango)"
    assert found.difference == pytest.approx(0.26)
    assert found.p_value == pytest.approx(stats.binomtest(30, 34).pvalue)
    assert found.ci_low < 0.26 < found.ci_high


def test_seeds_are_averaged_inside_each_question() -> None:
    found = compare(sides([[1, 0, 0, 0], [1, 1, 0, 0]], [[1, 1, 1, 0], [1, 1, 0, 0]]))
    assert found.difference == pytest.approx((0 + 0.5 + 0.5 + 0) / 4)
    assert (found.gained, found.lost, found.test) == (2, 0, "paired sign-flip permutation")
    assert found.interval == "bootstrap over questions"


def test_questions_are_the_unit_so_a_second_identical_seed_adds_no_certainty() -> None:
    random = np.random.default_rng(2)
    before, after = (random.random((1, 400)) < share for share in (0.4, 0.5))
    once = compare(sides(before.tolist(), after.tolist()))
    twice = compare(sides(before.tolist() * 2, after.tolist() * 2))
    assert (once.ci_low, once.ci_high) == pytest.approx((twice.ci_low, twice.ci_high), abs=0.004)


def test_sign_flip_agrees_with_the_exact_test_on_rights_and_wrongs() -> None:
    for gained, lost in [(20, 9), (60, 40), (5, 5), (30, 12)]:
        differences = np.array([1.0] * gained + [-1.0] * lost + [0.0] * 100)
        assert sign_flip(differences) == pytest.approx(mcnemar(gained, lost), abs=0.015)


def test_sign_flip_agrees_with_scipys_permutation_test_on_fractions() -> None:
    differences = np.random.default_rng(3).normal(0.15, 1.0, 80)
    theirs = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=10_000, rng=np.random.default_rng(0))
    assert sign_flip(differences) == pytest.approx(theirs.pvalue, abs=0.02)


def test_sign_flips_give_less_than_their_draws_can_where_it_is_certain_and_never_less_than_the_exact_p() -> None:
    random = np.random.default_rng(3)
    for questions in (1, 2, 8, 14):
        for lean in (0.0, 0.4, 1.0):
            differences = random.choice([0.5, 1.0], questions) * np.where(
                random.random(questions) < lean, 1, random.choice([-1, 1], questions)
            )
            signs = np.array(list(itertools.product([-1, 1], repeat=questions)))
            exact = float((np.abs(signs @ np.abs(differences)) >= abs(differences.sum()) - 1e-9).mean())
            assert sign_flip(differences, resamples=9) >= min(exact, 0.1)
    assert sign_flip(np.full(100, 0.5)) == pytest.approx(2 * math.exp(-50))
    assert sign_flip(np.zeros(5)) == 1.0


def test_bootstrap_interval_agrees_with_scipys() -> None:
    for differences in (np.repeat([-1.0, 0.0, 1.0], [40, 300, 160]), np.random.default_rng(4).normal(0.1, 0.4, 500)):
        theirs = stats.bootstrap((differences,), np.mean, method="percentile", n_resamples=9999, rng=np.random.default_rng(0))
        low, high = theirs.confidence_interval
        assert bootstrap_interval(differences) == pytest.approx((low, high), abs=0.006)


@pytest.mark.slow
@pytest.mark.parametrize("discordance", [0.05, 0.1, 0.2, 0.4])
@pytest.mark.parametrize("gains", [0.5, 0.8, 1.0])
def test_tangos_interval_covers_the_truth_in_95_percent_of_ten_thousand_comparisons(discordance: float, gains: float) -> None:
    random = np.random.default_rng(5)
    interval = cache(tango_interval)
    for n in (400, 1000):
        shares = [discordance * gains, discordance * (1 - gains), 1 - discordance]
        tables = random.multinomial(n, shares, size=5_000)
        ends = np.array([interval(gained, lost, n) for gained, lost, _ in tables.tolist()])
        covered = (ends[:, 0] <= shares[0] - shares[1]) & (shares[0] - shares[1] <= ends[:, 1])
        assert 0.935 <= covered.mean() <= 0.965


@pytest.mark.slow
def test_the_bootstrap_of_averaged_seeds_covers_the_truth_in_95_percent_of_comparisons() -> None:
    """Three seeds on each side; in thirds, how much better the candidate is on a question."""
    random = np.random.default_rng(5)
    thirds, sizes, covered = np.arange(-3, 4) / 3, np.array([0.7, 0.2, 0.1]), []
    for discordance, gains in [(0.05, 0.5), (0.05, 1.0), (0.1, 0.8), (0.2, 0.5), (0.4, 0.8)]:
        shares = [*(discordance * (1 - gains) * sizes[::-1]), 1 - discordance, *(discordance * gains * sizes)]
        for counts in random.multinomial(400, shares, size=1_000):
            low, high = bootstrap_interval(np.repeat(thirds, counts), resamples=400, seed=int(random.integers(2**31)))
            covered.append(low <= thirds @ shares <= high)
    for one in np.array(covered).reshape(5, 1_000).mean(axis=1):
        assert 0.93 <= one <= 0.97
    assert 0.935 <= np.mean(covered) <= 0.965


def test_no_disagreement_at_all_still_leaves_an_interval_that_narrows_with_more_questions() -> None:
    few, many = bootstrap_interval(np.zeros(20)), bootstrap_interval(np.zeros(2000))
    assert few[0] < many[0] < 0 < many[1] < few[1] < 0.25
    assert compare(sides([[1, 0] * 10], [[1, 0] * 10])).ci_low < 0
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
