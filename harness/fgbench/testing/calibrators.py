"""The contract of a calibrator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fgbench.data import Predictions
from fgbench.errors import DataError
from fgbench.parts.calibrator import Calibrator
from fgbench.stages.calibrate import calibrate
from fgbench.testing.classifiers import class_counts
from fgbench.testing.common import (
    check_part,
    fail,
    global_state,
    near,
    overconfident_logits,
    twin,
)

if TYPE_CHECKING:
    from fgbench.data import FloatArray

_TOLERANCE = 1e-5


def check_calibrator(calibrator: Calibrator) -> None:
    """Check that a calibrator is a reproducible map of predictions that ignores test labels.

    It is fitted on synthetic overconfident predictions of two and of three classes (one of these
    if it needs "binary" or "multiclass"), with features and stochastic logits if it needs them. The
    checks: finite logits of the same rows, also for −∞ and very large logits; the same predicted
    class if it declares `preserves_accuracy`, the same logits if it declares `is_identity`; the
    same result from a second calibrator; no effect of the order of rows or of test labels;
    unchanged input predictions. Raises `PluginError`.
    """
    check_part(calibrator, Calibrator)
    for n_classes in class_counts(calibrator.needs):
        _check(calibrator, n_classes)


def _check(calibrator: Calibrator, n_classes: int) -> None:
    held_out = _predictions(calibrator.needs, 300, n_classes, seed=1)
    test = _predictions(calibrator.needs, 200, n_classes, seed=2)
    copies = held_out.logits.copy(), test.logits.copy()
    fitted = twin(calibrator)
    with global_state(1):
        logits = _calibrate(calibrator, fitted, held_out, test)
    if not np.array_equal(copies[0], held_out.logits) or not np.array_equal(copies[1], test.logits):
        fail(calibrator, "it changes its input predictions; return new ones")
    with global_state(2):
        again = _calibrate(calibrator, twin(calibrator), held_out, test)
    if not near(logits, again, _TOLERANCE):
        fail(calibrator, "a second one, fitted on the same predictions, returns other logits")
    if calibrator.is_identity and not near(logits, test.logits, _TOLERANCE):
        fail(calibrator, "declares is_identity but changed the logits")

    if not near(_transform(calibrator, fitted, test), logits, _TOLERANCE):
        fail(calibrator, "transform uses the labels of the predictions that it calibrates")
    order = np.arange(len(test))[::-1]
    turned = _transform(calibrator, fitted, test.take(order).without_labels())
    if not near(turned[::-1], logits, _TOLERANCE):
        fail(
            calibrator,
            "the logits that transform returns for a row depend on the order of the rows",
        )

    extreme = test.logits.copy()
    extreme[:5] *= 1e3
    extreme[5:10, 0] = -np.inf
    _calibrate(calibrator, twin(calibrator), held_out, test.with_logits(extreme))


def _calibrate(
    calibrator: Calibrator, fitted: Calibrator, held_out: Predictions, test: Predictions
) -> FloatArray:
    """Fit and apply a calibrator as the loop does, which checks shapes and predicted classes."""
    try:
        return calibrate(fitted, held_out, test).logits
    except DataError as error:
        fail(calibrator, f"transform returned unusable predictions: {str(error).rstrip('.')}")


def _transform(calibrator: Calibrator, fitted: Calibrator, test: Predictions) -> FloatArray:
    try:
        return fitted.transform(test).logits
    except DataError as error:
        fail(calibrator, f"transform returned unusable predictions: {str(error).rstrip('.')}")


def _predictions(needs: frozenset[str], n: int, n_classes: int, seed: int) -> Predictions:
    logits, posterior, labels = overconfident_logits(n, n_classes, seed)
    rng = np.random.default_rng(seed)
    outputs: dict[str, Any] = {}
    if "features" in needs:
        # As with a linear head, the logits are a linear function of the features.
        wide = np.column_stack([logits, rng.normal(size=(n, 2))])
        outputs["features"] = wide @ np.linalg.qr(rng.normal(size=(n_classes + 2,) * 2))[0]
    if {"stochastic_forward", "members"} & needs:
        outputs["stochastic_logits"] = logits + rng.normal(scale=0.3, size=(5, n, n_classes))
    return Predictions(logits=logits, labels=labels, posterior=posterior, **outputs)
