"""Every registered calibrator: few rows, odd rows, and test labels that it must not see."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from scipy.special import softmax

from fgbench import Calibrator, DataError, Predictions
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry
from fgbench.stages.calibrate import calibrate
from support.calibrators import draw, fitted, overconfident

REGISTRY = Registry.load()
NAMES = [
    *(
        pytest.param(
            registration.name,
            marks=pytest.mark.skipif(
                registration.extra is not None and find_spec(registration.name) is None,
                reason=f"{registration.extra} is not installed",
            ),
        )
        for registration in REGISTRY.registrations("calibrator")
    ),
    "spline:target=top-label",
]
BINARY_MONOTONE = ["temperature", "platt", "isotonic", "beta", "consistency"]
# How many of the rows below each calibrator needs. The first two have the same label, so what
# needs two classes needs three rows.
FEWEST_ROWS = {
    "beta": 3,
    "consistency": 1,
    "dirichlet": 6,  # two rows in each of three folds
    "ensemble": 0,
    "feature-clipping": 15,
    "histogram": 15,  # one row per bin
    "isotonic": 3,
    "matrix": 6,
    "mc-dropout": 0,
    "none": 0,
    "platt": 3,
    "probmetrics": 3,
    "spline": 6,  # one row per knot
    "spline:target=top-label": 6,
    "temperature": 1,
    "vector": 3,
}
NEED_TWO_CLASSES = {
    *("beta", "dirichlet", "histogram", "isotonic", "matrix", "platt", "probmetrics", "spline"),
    "vector",
}

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:torch")


def made(reference) -> Calibrator:
    return REGISTRY.create("calibrator", PartReference.parse(reference))


def complete(predictions, seed=0, noise=0.2):
    """Add features behind a linear head, and stochastic passes around the logits."""
    rng = np.random.default_rng(99)
    n, k = predictions.logits.shape
    mixing = np.linalg.qr(rng.normal(size=(k + 1, k + 1)))[0]
    rng = np.random.default_rng(seed)
    features = np.column_stack([predictions.logits, rng.normal(size=n)]) @ mixing
    passes = predictions.logits + rng.normal(scale=noise, size=(4, n, k))
    return replace(predictions, features=features, stochastic_logits=passes)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_calibration_does_not_depend_on_test_labels_or_posterior(name, n_classes):
    held_out, test = (complete(overconfident(300, n_classes, 2.0, seed), seed) for seed in (0, 1))
    others = replace(
        test,
        labels=(test.labels + 1) % n_classes,
        posterior=np.full((300, n_classes), 1 / n_classes),
    )
    first, second = (calibrate(made(name), held_out, each) for each in (test, others))
    np.testing.assert_array_equal(first.logits, second.logits)
    np.testing.assert_array_equal(first.labels, test.labels)


class Cheat(Calibrator):
    """Answers with the label or the posterior if `transform` is given them."""

    def fit(self, held_out):
        self.held_out = held_out

    def transform(self, predictions):
        self.seen = predictions
        if predictions.posterior is not None:
            return predictions.with_logits(np.log(predictions.posterior))
        known = np.eye(predictions.n_classes)[predictions.labels]
        return predictions.with_logits(np.where(predictions.labels[:, None] < 0, 0.0, 99 * known))


def test_calibrator_sees_no_test_labels_or_posterior():
    held_out, test = (overconfident(300, 3, 2.0, seed) for seed in (0, 1))
    test = replace(test, posterior=test.probabilities())
    cheat = Cheat()
    assert (cheat.transform(test.take([0, 1])).probabilities() != 1 / 3).any(), "it can cheat"
    result = calibrate(cheat, held_out, test)
    assert (cheat.seen.labels == -1).all()
    assert cheat.seen.posterior is None
    np.testing.assert_allclose(result.probabilities(), 1 / 3)
    assert not np.shares_memory(cheat.seen.labels, test.labels)


def assert_refused(calibrator, held_out):
    with pytest.raises(DataError, match=r"^calibrator .*\.$") as caught:
        calibrator.fit(held_out)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 6, 14, 15, 20])
def test_calibrator_fits_from_its_fewest_rows(name, n):
    held_out, test = (complete(overconfident(40, 3, 2.0, seed), seed) for seed in (0, 1))
    few = held_out.take(range(n))
    if n < FEWEST_ROWS[name]:
        assert_refused(made(name), few)
        return
    result = fitted(made(name), few).transform(test.without_labels())
    assert np.isfinite(result.logits).all()
    np.testing.assert_allclose(result.probabilities().sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("labels", ["one class", "two of three classes", "all"])
@pytest.mark.parametrize("logits", ["identical", "separable", "huge", "impossible classes"])
def test_odd_rows_give_probabilities_or_are_refused(name, labels, logits):
    plain = overconfident(90, 3, 1.0)
    truth = np.arange(90) % {"one class": 1, "two of three classes": 2, "all": 3}[labels]
    values = {
        "identical": np.zeros((90, 3)),
        "separable": 9 * np.eye(3)[truth],
        "huge": 1e4 * plain.logits,
        "impossible classes": np.where(
            plain.logits < plain.logits.max(axis=1, keepdims=True) - 2, -np.inf, plain.logits
        ),
    }[logits]
    calm = complete(plain.with_logits(np.maximum(values, -50)))
    held_out = replace(calm, logits=values, labels=truth)
    nonlinear = logits in ("huge", "impossible classes")  # not what a linear head gives
    if (labels == "one class" and name in NEED_TWO_CLASSES) or (
        name == "feature-clipping" and nonlinear
    ):
        assert_refused(made(name), held_out)
        return
    result = fitted(made(name), held_out).transform(held_out.without_labels())
    assert np.isfinite(result.probabilities()).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_calibrated_predictions_are_nearly_unchanged(name, n_classes):
    """Except by consistency calibration: shares of noisy logits have the shape of Φ, not of σ."""
    held_out, test = (
        complete(overconfident(8000, n_classes, 1.0, seed), seed, noise=0.01) for seed in (0, 1)
    )
    result = calibrate(made(name), held_out, test)
    change = np.abs(result.probabilities() - test.probabilities()).mean()
    assert change < 0.025


@pytest.mark.parametrize("name", BINARY_MONOTONE)
def test_monotone_maps_keep_binary_ranking(name):
    calibrator = fitted(made(name), overconfident(500, 2, 2.0))
    scores = np.linspace(-9, 9, 400)
    test = Predictions(np.column_stack([0 * scores, scores]), np.full(400, -1))
    result = calibrator.transform(test).probabilities()[:, 1]
    assert (np.diff(result) >= -1e-6).all()


@pytest.mark.parametrize("name", NAMES)
def test_refit_forgets_first_fit(name):
    first, second = (complete(overconfident(200, 3, 2.0, seed), seed) for seed in (0, 1))
    once, twice = fitted(made(name), second), fitted(fitted(made(name), first), second)
    np.testing.assert_array_equal(once.transform(first).logits, twice.transform(first).logits)


@pytest.mark.parametrize("name", NAMES)
def test_preserves_accuracy_flag_matches_behavior(name):
    """All labels differ from the predicted class: a calibrator that can change it, does."""
    held_out = complete(overconfident(600, 3, 1.0))
    rng = np.random.default_rng(0)
    turned = softmax(held_out.logits[:, [1, 2, 0]].astype(float) * 3, axis=1)
    calibrator = fitted(made(name), replace(held_out, labels=draw(turned, rng)))
    changed = (
        calibrator.transform(held_out).logits.argmax(axis=1) != held_out.logits.argmax(axis=1)
    ).any()
    if calibrator.preserves_accuracy:
        assert not changed
    elif name not in ("feature-clipping",):  # it keeps 0.99 of an accuracy that is near 0
        assert changed
