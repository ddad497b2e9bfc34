"""Diagnostics of synthetic inputs, against cases worked by hand."""

import numpy as np
import pytest

from fgbench.data import Predictions
from fgbench.diagnostics.collect import summarize_influences
from fgbench.diagnostics.diversity import bigrams, distinct, diversity, self_similarity, words
from fgbench.diagnostics.fidelity import fidelity
from fgbench.diagnostics.relabeling import kappa, relabeling_agreement
from fgbench.diagnostics.shifts import bin_shifts, movements
from fgbench.loop.leakage import jaccard
from fgbench.loop.targeting import target_bins
from support.samples import make_sample


def sample(asked, found, *, said=0.5, verdict="accepted", judge="baseline_probabilities"):
    return make_sample(
        asked_probabilities=(1 - asked, asked),
        bin_probabilities=(1 - said, said),
        verdict=verdict,
        **{judge: None if found is None else (1 - found, found)},
    )


def test_fidelity_compares_requested_and_measured_probability():
    samples = [
        sample(0.2, 0.4, said=0.3),
        sample(0.6, 0.6, said=0.5),
        sample(0.9, 0.2, said=0.8, verdict="rejected"),
        sample(0.5, None),
    ]
    (record,) = fidelity(samples).values()
    accepted = record.accepted
    assert accepted.n == 2
    assert accepted.error == pytest.approx(0.1)  # (|.4 − .2| + |.6 − .6|)/2
    assert accepted.bias == pytest.approx(0.1)
    assert accepted.slope == pytest.approx(0.5)  # .2 up for .4
    assert accepted.correlation == pytest.approx(1)
    assert accepted.unchanged_error == pytest.approx(0.1)
    # Requested shifts −.1 and +.1, achieved +.1 and +.1: no control.
    assert accepted.shift_slope == pytest.approx(0)
    assert record.candidates.n == 3
    assert record.candidates.error == pytest.approx((0.2 + 0.0 + 0.7) / 3)


def test_copied_source_has_no_controllability():
    rng = np.random.default_rng(0)
    said = rng.uniform(0.1, 0.9, 200)
    asked = said + rng.uniform(-0.05, 0.05, 200)
    made = [sample(a, s, said=s) for a, s in zip(asked, said, strict=True)]
    accepted = fidelity(made)["baseline"].accepted
    assert accepted.correlation > 0.98
    assert accepted.shift_slope == pytest.approx(0)
    assert accepted.error == pytest.approx(accepted.unchanged_error)


def test_undefined_diagnostics_have_reasons():
    (record,) = fidelity([sample(0.4, 0.3), sample(0.4, 0.5)]).values()
    assert record.accepted.correlation is None
    assert record.accepted.slope is None
    assert record.accepted.undefined["slope"] == "all were asked alike"
    (record,) = fidelity([sample(0.4, 0.3, verdict="rejected")]).values()
    assert record.accepted.n == 0
    assert record.accepted.error is None
    assert record.accepted.undefined["error"] == "no input to judge"


def test_each_judge_is_reported_separately():
    rows = [
        sample(0.4, 0.5, judge=name)
        for name in ("achieved_probabilities", "relabeled_probabilities", "claimed_probabilities")
    ]
    assert list(fidelity(rows)) == ["posterior", "relabeler", "generator"]
    assert fidelity(rows)["posterior"].accepted.shift_slope is None


def test_multiclass_fidelity_uses_most_requested_class():
    row = make_sample(
        asked_probabilities=(0.1, 0.6, 0.3),
        bin_probabilities=(0.1, 0.5, 0.4),
        baseline_probabilities=(0.5, 0.2, 0.3),
    )
    assert fidelity([row])["baseline"].accepted.error == pytest.approx(0.4)


def labeled(source, relabeled, says=None, number=0, raw="reply"):
    return make_sample(
        label=source,
        relabeled=relabeled,
        relabel_raw=raw,
        bin=number,
        baseline_probabilities=None if says is None else (1 - says, says),
    )


def test_relabeling_agreement():
    rows = [
        labeled(0, 0, 0.1, number=3),
        labeled(0, 1, 0.9, number=3),
        labeled(1, 1, 0.2, number=4),
        labeled(1, 1, 0.8, number=4),
        labeled(1, None),  # asked, and not readable
        labeled(1, None, raw=None),  # rejected before it was asked
    ]
    record = relabeling_agreement(rows)
    assert (record.n, record.unreadable, record.judged) == (4, 1, 4)
    assert record.share == 0.75
    assert record.baseline_share == 0.5
    assert record.by_bin["3"].share == 0.5
    assert (record.by_bin["4"].n, record.by_bin["4"].share) == (2, 1.0)
    assert (record.by_class["0"].share, record.by_class["1"].share) == (0.5, 1.0)
    # Labels 0111 against 0101: p_o = .75, p_e = (1·2 + 3·2)/16 = .5.
    assert record.kappa == pytest.approx(0.5)


def test_kappa_matches_scikit_learn():
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(1)
    first = rng.integers(0, 4, 300)
    second = np.where(rng.uniform(size=300) < 0.6, first, rng.integers(0, 4, 300))
    ours = kappa(first.tolist(), second.tolist())
    assert ours == pytest.approx(cohen_kappa_score(first, second))


def test_relabeling_without_labels_or_baseline_has_reason():
    assert relabeling_agreement([]).undefined["share"] == "no candidate was relabeled"
    record = relabeling_agreement([labeled(0, 0)])
    assert record.share == 1
    assert record.undefined["kappa"] == "the baseline classifier was not asked"
    same = relabeling_agreement([labeled(0, 0, 0.1), labeled(0, 0, 0.2)])
    assert same.undefined["kappa"] == "both give one and the same label to all"


def test_distinct_n():
    texts = [words("The cat, the dog!"), words("a cat")]
    assert distinct(texts, 1) == pytest.approx(4 / 6)  # the cat dog a, of six words
    assert distinct(texts, 2) == 1.0
    assert distinct(texts, 1, limit=3) == pytest.approx(2 / 3)  # the cat the
    assert distinct([["one"]], 2) is None


def test_similarity_is_bigram_jaccard_index():
    a, b = bigrams(words("a b c d")), bigrams(words("a b c e"))
    assert jaccard(a, b) == pytest.approx(2 / 4)
    rng = np.random.default_rng(0)
    assert self_similarity([a, b, a], rng) == pytest.approx((0.5 + 1 + 0.5) / 3)
    assert self_similarity([a, frozenset()], rng) is None
    drawn = self_similarity([a, b] * 100, rng, max_pairs=4000)
    # Of the 19,900 pairs 10,000 are of unlike sets.
    assert drawn == pytest.approx(1 - 0.5 * 10_000 / 19_900, abs=0.02)


def test_diversity_is_reported_beside_sources():
    sources = ["a b c d", "e f g h", "i j k l"]
    texts = ["a b c d", "a b c d", "i j x y z z"]
    record = diversity(texts, [sources[0], sources[1], sources[2]], [0, 0, 1], seed=0)
    assert record.sources.distinct_1 == 1
    assert record.sources.self_similarity == 0
    assert record.texts.self_similarity == pytest.approx(1 / 3)
    assert record.source_similarity == pytest.approx((1 + 0 + 1 / 7) / 3)
    assert record.copies == pytest.approx(1 / 3)
    assert record.neighbour_similarity == 0
    assert record.length_ratio == pytest.approx(14 / 12)
    assert record == diversity(texts, sources, [0, 0, 1], seed=0)


def test_repeated_source_counts_once():
    record = diversity(["a b", "c d"], ["x y z", "x y z"], [0, 0], seed=0)
    assert (record.texts.n, record.sources.n) == (2, 1)
    assert record.sources.self_similarity is None
    assert record.undefined["neighbour_similarity"] == "no two sources of a class"


def test_distinct_n_does_not_depend_on_sample_size():
    """Distinct-n falls with the number of texts; cut to the same size, like kinds are alike."""
    rng = np.random.default_rng(2)
    vocabulary = [f"w{number}" for number in range(400)]
    made = [" ".join(rng.choice(vocabulary, 12)) for _ in range(300)]
    record = diversity(made, [made[at % 60] for at in range(300)], [0] * 300, seed=0)
    assert record.sources.n == 60
    assert record.texts.distinct_2 == pytest.approx(record.sources.distinct_2, abs=0.02)


def probabilities(values, labels):
    p = np.array(values, dtype=np.float64)
    return Predictions(np.log(np.column_stack([1 - p, p])), np.array(labels))


@pytest.fixture
def two_bins():
    """Return the shifts of a low and a high bin, and those under a control that changes nothing.

    On the selection split P(y=1) = .25 comes true in 0 of 4 (asked down to 0 → .05), and .85 in
    2 of 4 (asked down to .55, not across the boundary).
    """
    selection = probabilities([0.25] * 4 + [0.85] * 4, [0] * 4 + [1, 1, 0, 0])
    targets = target_bins(selection, bins=5, selector="threshold", threshold=0.03, alpha=0.05)
    baseline = probabilities([0.22, 0.38, 0.81, 0.83, 0.5], [0, 1, 1, 0, 0])
    after = probabilities([0.10, 0.30, 0.61, 0.43, 0.9], [0, 1, 1, 0, 0])
    return bin_shifts(targets, 5, baseline, after), bin_shifts(targets, 5, baseline, baseline)


def test_low_bin_shift_is_that_of_class_0(two_bins):
    (low, _), _ = two_bins
    assert (low.bin, low.n) == (1, 2)
    assert low.asked_shift == pytest.approx(0.2)  # P(y=0) from .75 to .95
    assert low.before == pytest.approx((0.78 + 0.62) / 2)
    assert low.after == pytest.approx((0.9 + 0.7) / 2)
    assert low.stderr == pytest.approx(0.02)  # changes .12 and .08
    assert low.outcome == 0.5
    assert (low.accuracy_before, low.accuracy_after) == (0.5, 0.5)


def test_bin_shift_follows_same_test_points(two_bins):
    (_, high), _ = two_bins
    assert (high.bin, high.n) == (4, 2)
    assert high.asked_shift == pytest.approx(-0.3)
    assert high.after - high.before == pytest.approx(-0.3)
    assert high.confidence_after == pytest.approx((0.61 + 0.57) / 2)
    assert (high.accuracy_before, high.accuracy_after) == (0.5, 1.0)


def test_movements_are_grouped_by_requested_direction(two_bins):
    shifts, control = two_bins
    by_direction = movements([shifts], [control])
    assert list(by_direction) == ["lower", "raise"]
    lowered = by_direction["lower"]
    assert (lowered.bins, lowered.points, lowered.obeyed) == (1, 2, 1)
    assert lowered.change == pytest.approx(-0.3)
    assert lowered.accuracy == pytest.approx(0.5)
    assert lowered.gap == pytest.approx(0.02 - 0.32)
    assert by_direction["raise"].change == pytest.approx(0.1)


def test_movements_are_compared_with_control_if_any(two_bins):
    shifts, control = two_bins
    assert movements([shifts], [control])["lower"].beyond_real == pytest.approx(-0.3)
    assert movements([shifts], [None])["lower"].beyond_real is None


def test_bin_shifts_are_weighted_by_test_points():
    selection = probabilities([0.8] * 4 + [0.95] * 4, [1, 1, 0, 0, 1, 1, 0, 0])
    targets = target_bins(selection, bins=10, selector="threshold", threshold=0.03, alpha=0.05)
    baseline = probabilities([0.85, 0.85, 0.85, 0.95], [1, 1, 1, 1])
    after = probabilities([0.75, 0.75, 0.75, 0.99], [1, 1, 1, 1])
    found = movements([bin_shifts(targets, 10, baseline, after)], [None])["lower"]
    assert (found.bins, found.points, found.obeyed) == (2, 4, 1)
    assert found.change == pytest.approx((-0.1 * 3 + 0.04) / 4)


def test_multiclass_shift_follows_predicted_class():
    p = np.array([[0.7, 0.2, 0.1]] * 4)
    selection = Predictions(np.log(p), np.array([0, 1, 1, 2]))
    targets = target_bins(selection, bins=10, selector="threshold", threshold=0.03, alpha=0.05)
    after = Predictions(np.log(np.array([[0.3, 0.6, 0.1]] * 4)), selection.labels)
    (shift,) = bin_shifts(targets, 10, selection, after)
    assert shift.asked_shift < 0
    assert shift.after == pytest.approx(0.3)
    assert shift.confidence_after == pytest.approx(0.6)
    assert shift.accuracy_after == 0.5


def test_empty_bin_has_no_shift():
    selection = probabilities([0.8] * 4, [1, 1, 0, 0])
    targets = target_bins(selection, bins=10, selector="threshold", threshold=0.03, alpha=0.05)
    test = probabilities([0.1, 0.2], [0, 0])
    (shift,) = bin_shifts(targets, 10, test, test)
    assert shift.n == 0
    assert shift.before is None
    assert movements([[shift]], [None]) == {}


def test_influence_summary():
    summary = summarize_influences([-0.2, None, 0.1, -0.1])
    assert (summary.n, summary.helpful) == (3, pytest.approx(2 / 3))
    assert summary.total == pytest.approx(-0.2)
    assert summary.quantiles[1] == pytest.approx(-0.1)
    assert summarize_influences([None]).mean is None
