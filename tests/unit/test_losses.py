"""The losses: values and gradients of the printed formulas, and what METHODS says of two classes.

References are hand-worked numbers, or the formula in numpy with central differences.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from fgbench import ConfigurationError, LossBatch
from fgbench_plugins.losses.cross_entropy import CrossEntropy, LabelSmoothing
from fgbench_plugins.losses.focal import BsceGra, DualFocal, Focal
from fgbench_plugins.losses.mixup import Mixup
from fgbench_plugins.losses.soft_label import SoftLabel

torch = pytest.importorskip("torch", reason="the losses need fgbench[transformers]")

LOGITS = np.array([[0.5, -1.0, 2.0], [1.5, 1.0, -0.5], [0.0, 0.3, 0.1], [-2.0, 3.0, 0.4]])
LABELS = np.array([2, 1, 0, 0])
SOFT = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.6, 0.3, 0.1], [0.5, 0.2, 0.3]])
SYNTHETIC = np.array([False, False, True, True])


def batch(labels=LABELS, soft=SOFT, synthetic=SYNTHETIC):
    return LossBatch(
        torch.tensor(labels),
        torch.tensor(soft, dtype=torch.float64),
        torch.tensor(synthetic),
    )


def softmax(logits):
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def own(p):
    return p[np.arange(len(LABELS)), LABELS]


def smoothed(p, epsilon):
    target = (1 - epsilon) * np.eye(3)[LABELS] + epsilon / 3
    return -(target * np.log(p)).sum(axis=1)


def dual_focal(p, gamma):
    below = np.where(p < own(p)[:, None], p, 0).max(axis=1)
    return -((1 - own(p) + below) ** gamma) * np.log(own(p))


def soft_label(p, kind):
    distance = {
        "l2": ((p - SOFT) ** 2).sum(axis=1),
        "cross-entropy": -(SOFT * np.log(p)).sum(axis=1),
    }[kind]
    return np.where(SYNTHETIC, distance, -np.log(own(p)))


CASES = [
    (CrossEntropy(), lambda p: -np.log(own(p))),
    (LabelSmoothing(epsilon=0.2), lambda p: smoothed(p, 0.2)),
    (Focal(gamma=2.0), lambda p: -((1 - own(p)) ** 2) * np.log(own(p))),
    (Focal(gamma=0.5), lambda p: -((1 - own(p)) ** 0.5) * np.log(own(p))),
    (DualFocal(gamma=3.0), lambda p: dual_focal(p, 3.0)),
    (SoftLabel(), lambda p: soft_label(p, "cross-entropy")),
    (SoftLabel(distance="l2"), lambda p: soft_label(p, "l2")),
]


def value_and_gradient(loss, logits, of=None):
    tensor = torch.tensor(logits, requires_grad=True)
    value = loss(tensor, of or batch())
    value.backward()
    return value.item(), tensor.grad.numpy()


def central_differences(function, at, step=1e-6):
    gradient = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


@pytest.mark.parametrize(("loss", "formula"), CASES, ids=lambda item: type(item).__name__)
def test_loss_value_and_gradient_match_formula(loss, formula):
    value, gradient = value_and_gradient(loss, LOGITS)
    assert value == pytest.approx(formula(softmax(LOGITS)).mean(), rel=1e-12)
    expected = central_differences(lambda logits: formula(softmax(logits)).mean(), LOGITS)
    np.testing.assert_allclose(gradient, expected, atol=1e-8)


def test_bsce_gra_does_not_differentiate_its_weight():
    p = softmax(LOGITS)
    weight = np.linalg.norm(np.eye(3)[LABELS] - p, axis=1) ** 1.5
    value, gradient = value_and_gradient(BsceGra(gamma=1.5), LOGITS)
    assert value == pytest.approx((-weight * np.log(own(p))).mean(), rel=1e-12)
    by_hand = weight[:, None] * (p - np.eye(3)[LABELS]) / len(LABELS)
    np.testing.assert_allclose(gradient, by_hand, atol=1e-12)


def two_classes(p_y):
    """Return logits whose probability of class 0, the true one, is p_y."""
    logits = np.array([[math.log(p_y / (1 - p_y)), 0.0]])
    return logits, batch(np.array([0]), np.array([[1.0, 0.0]]), np.array([False]))


@pytest.mark.parametrize("p_y", [0.01, 0.3, 0.5, 0.8, 0.999])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_binary_bsce_gra_is_scaled_focal_loss(p_y, gamma):
    logits, one = two_classes(p_y)
    scale = 2 ** (gamma / 2)
    value, gradient = value_and_gradient(BsceGra(gamma=gamma), logits, one)
    focal, _ = value_and_gradient(Focal(gamma=gamma), logits, one)
    assert value == pytest.approx(scale * focal, rel=1e-9)
    fixed = scale * (1 - p_y) ** gamma * (p_y - 1)  # the gradient of cross-entropy, weighted
    np.testing.assert_allclose(gradient, [[fixed, -fixed]], rtol=1e-9)


def test_binary_dual_focal_is_discontinuous_at_even_odds():
    gamma = 3.0
    at_half = value_and_gradient(DualFocal(gamma=gamma), *two_classes(0.5))[0]
    above = value_and_gradient(DualFocal(gamma=gamma), *two_classes(0.5 + 1e-9))[0]
    below = value_and_gradient(DualFocal(gamma=gamma), *two_classes(0.5 - 1e-9))[0]
    assert at_half == pytest.approx(0.5**gamma * math.log(2))
    assert below == pytest.approx(at_half, rel=1e-6)
    assert above == pytest.approx(math.log(2), rel=1e-6) == pytest.approx(2**gamma * below)


@pytest.mark.parametrize("p_y", [0.1, 0.4])
def test_dual_focal_equals_focal_for_least_likely_class(p_y):
    dual = value_and_gradient(DualFocal(gamma=2.0), *two_classes(p_y))
    focal = value_and_gradient(Focal(gamma=2.0), *two_classes(p_y))
    assert dual[0] == pytest.approx(focal[0])
    np.testing.assert_allclose(dual[1], focal[1])


@pytest.mark.parametrize(
    "loss", [Focal(gamma=0.0), DualFocal(gamma=0.0), BsceGra(gamma=0.0), LabelSmoothing(epsilon=0)]
)
def test_loss_with_neutral_parameter_is_cross_entropy(loss):
    expected = value_and_gradient(CrossEntropy(), LOGITS)
    actual = value_and_gradient(loss, LOGITS)
    assert actual[0] == pytest.approx(expected[0])
    np.testing.assert_allclose(actual[1], expected[1], atol=1e-12)


@pytest.mark.parametrize(
    "loss",
    [Focal(gamma=0.5), DualFocal(), BsceGra(gamma=0.5), SoftLabel(), SoftLabel(distance="l2")],
)
def test_loss_of_certain_rows_is_finite(loss):
    logits = np.array([[90.0, 0.0, 0.0], [0.0, 90.0, 0.0], [500.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    labels = np.array([0, 0, 0, 0])
    value, gradient = value_and_gradient(
        loss,
        logits.astype(np.float32),
        batch(labels)._replace(soft_labels=torch.tensor(SOFT).float()),
    )
    assert math.isfinite(value)
    assert np.isfinite(gradient).all()


def test_one_hot_soft_label_equals_hard_label():
    hard = batch(soft=np.eye(3)[LABELS])
    np.testing.assert_allclose(
        value_and_gradient(SoftLabel(), LOGITS, hard)[1],
        value_and_gradient(CrossEntropy(), LOGITS)[1],
        atol=1e-12,
    )


def test_mixup_uses_same_share_for_features_and_labels():
    generator = np.random.default_rng(5)
    features = torch.tensor(LOGITS * 2, requires_grad=True)
    matrix = torch.tensor(np.random.default_rng(0).normal(size=(3, 3)))
    value = Mixup(alpha=0.7).of_features(features, lambda h: h @ matrix, batch(), generator)
    value.backward()

    same = np.random.default_rng(5)
    share, order = same.beta(0.7, 0.7), same.permutation(4)
    target = share * np.eye(3)[LABELS] + (1 - share) * np.eye(3)[LABELS[order]]

    def formula(h):
        mixed = share * h + (1 - share) * h[order]
        return -(target * np.log(softmax(mixed @ matrix.numpy()))).sum(axis=1).mean()

    assert value.item() == pytest.approx(formula(LOGITS * 2), rel=1e-9)
    np.testing.assert_allclose(
        features.grad.numpy(), central_differences(formula, LOGITS * 2), atol=1e-7
    )


def test_mixup_of_single_row_is_cross_entropy():
    one = batch(LABELS[:1], SOFT[:1], SYNTHETIC[:1])
    value = Mixup().of_features(
        torch.tensor(LOGITS[:1]), lambda h: h, one, np.random.default_rng(0)
    )
    assert value.item() == pytest.approx(value_and_gradient(CrossEntropy(), LOGITS[:1], one)[0])


def test_losses_act_on_logits_by_default():
    doubled = Focal().of_features(
        torch.tensor(LOGITS), lambda h: 2 * h, batch(), np.random.default_rng(0)
    )
    assert doubled.item() == pytest.approx(value_and_gradient(Focal(), 2 * LOGITS)[0])


@pytest.mark.parametrize(
    ("loss", "parameters"),
    [
        (Focal, {"gamma": -1}),
        (DualFocal, {"gamma": "inf"}),
        (LabelSmoothing, {"epsilon": 1.5}),
        (Mixup, {"alpha": 0}),
        (SoftLabel, {"distance": "l1"}),
    ],
)
def test_invalid_loss_parameters_are_refused(loss, parameters):
    with pytest.raises(ConfigurationError, match=next(iter(parameters))):
        loss.create(parameters, name="it")
