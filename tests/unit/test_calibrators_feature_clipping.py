"""feature-clipping: the head is recovered, and the limit equals that of an exhaustive search."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from fgbench import DataError, Predictions, calibration
from fgbench_plugins.calibrators.feature_clipping import FeatureClipping, LinearHead
from support.calibrators import draw, fitted


def head(d=6, n_classes=3):
    rng = np.random.default_rng(99)
    return rng.normal(size=(d, n_classes)), rng.normal(size=n_classes)


def predictions(n, seed=0, d=6, n_classes=3, heat=2.0):
    """Heavy-tailed features, a linear head, and labels of `heat` times less confident logits."""
    weights, bias = head(d, n_classes)
    rng = np.random.default_rng(seed)
    features = rng.standard_t(3, size=(n, d))
    logits = features @ weights + bias
    return Predictions(logits, draw(softmax(logits / heat, axis=1), rng), features=features)


def judged(logits, labels):
    p = softmax(logits, axis=1)
    right = p.argmax(axis=1) == labels
    diagram = calibration.reliability_diagram(p.max(axis=1), right, 15)
    return right.mean(), diagram.expected_calibration_error


def test_linear_head_is_recovered():
    held_out = predictions(200)
    found = LinearHead(held_out.features, held_out.logits.astype(float))
    np.testing.assert_allclose(
        found.weights - found.weights.mean(axis=1, keepdims=True),
        head()[0] - head()[0].mean(axis=1, keepdims=True),
        atol=1e-5,
    )


def test_limit_matches_exhaustive_search():
    held_out = predictions(300)
    weights, bias = head()
    accuracy, least = judged(held_out.logits.astype(float), held_out.labels)
    best = np.inf
    for hundredths in range(2000, 0, -1):
        limit = hundredths / 100
        logits = np.clip(held_out.features, -limit, limit) @ weights + bias
        kept, error = judged(logits, held_out.labels)
        if kept > 0.99 * accuracy and error < least - 1e-9:
            best, least = limit, error
    assert fitted(FeatureClipping(), held_out).limit_ == pytest.approx(best)
    assert np.isfinite(best)


def test_transform_clips_features():
    calibrator, test = fitted(FeatureClipping(), predictions(300)), predictions(100, seed=1)
    weights, bias = head()
    expected = np.clip(test.features, -calibrator.limit_, calibrator.limit_) @ weights + bias
    result = calibrator.transform(test.without_labels())
    np.testing.assert_allclose(result.probabilities(), softmax(expected, axis=1), atol=1e-5)


def test_true_limit_is_recovered():
    weights, bias = head()
    held_out, test = (
        replace(
            p,
            labels=draw(
                softmax(np.clip(p.features, -1.5, 1.5) @ weights + bias, axis=1),
                np.random.default_rng(seed),
            ),
        )
        for seed, p in enumerate((predictions(4000), predictions(4000, seed=1)))
    )
    calibrator = fitted(FeatureClipping(), held_out)
    assert calibrator.limit_ == pytest.approx(1.5, abs=0.5)  # chosen by a noisy ECE
    result = calibrator.transform(test.without_labels())
    before, after = (judged(p.logits.astype(float), test.labels) for p in (test, result))
    assert after[1] < before[1] / 2


def test_feature_clipping_nearly_keeps_calibrated_predictions():
    held_out = predictions(4000, heat=1.0)
    result = fitted(FeatureClipping(), held_out).transform(held_out)
    assert np.abs(result.probabilities() - held_out.probabilities()).mean() < 0.01


def test_nonlinear_logits_are_refused():
    held_out = predictions(300)
    curved = held_out.with_logits(held_out.logits + 0.3 * held_out.features[:, :1] ** 2 * [1, 0, 0])
    with pytest.raises(DataError, match="logits are not a linear function of its features"):
        FeatureClipping().fit(curved)


def test_too_few_rows_for_the_head_are_refused():
    with pytest.raises(DataError, match=r"16 held-out rows are too few .* requires 17"):
        FeatureClipping().fit(predictions(16))
    FeatureClipping().fit(predictions(17))


def test_rank_deficient_features_are_refused():
    """Two features that are always equal: how the head shares between them cannot be known, and
    it makes no difference; one that is constant: it does."""
    held_out = predictions(400, heat=3.0)
    twins = np.column_stack([held_out.features, held_out.features[:, 0]])
    assert np.isfinite(fitted(FeatureClipping(), replace(held_out, features=twins)).limit_)
    constant = np.column_stack([held_out.features, np.full(400, 20.0)])
    with pytest.raises(DataError, match="do not determine the classifier's head in directions"):
        FeatureClipping().fit(replace(held_out, features=constant))


def test_missing_or_nonfinite_features_are_refused():
    held_out = predictions(100)
    with pytest.raises(DataError, match="these predictions have no features"):
        FeatureClipping().fit(replace(held_out, features=None))
    broken = held_out.features.copy()
    broken[3, 1] = np.nan
    with pytest.raises(DataError, match="a feature is NaN or infinite"):
        FeatureClipping().fit(replace(held_out, features=broken))


def test_head_from_classifier_is_used():
    """Here the features sum to 1, as behind layer normalization: rows cannot tell the head."""
    plain, (weights, bias) = predictions(400, heat=3.0), head()
    features = plain.features - plain.features.mean(axis=1, keepdims=True) + 1 / 6
    held_out = replace(plain, features=features, logits=features @ weights + bias)
    with pytest.raises(DataError, match="do not determine the classifier's head"):
        FeatureClipping().fit(held_out)
    told = replace(held_out, head=np.vstack([weights, bias]))
    calibrator = fitted(FeatureClipping(), told)
    expected = np.clip(features, -calibrator.limit_, calibrator.limit_) @ weights + bias
    np.testing.assert_allclose(calibrator.transform(told).logits, expected, atol=1e-4)
    fitted(FeatureClipping(), told.take([0, 1]))
    with pytest.raises(DataError, match=r"a head of shape \(6, 3\) does not map 6 features to 3"):
        FeatureClipping().fit(replace(told, head=weights))
