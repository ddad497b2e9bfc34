"""Fit a calibrator on held-out predictions and apply it to the test split, labels withheld."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fgbench.errors import PluginError

if TYPE_CHECKING:
    from fgbench.data import Predictions
    from fgbench.parts.calibrator import Calibrator


def calibrate(calibrator: Calibrator, held_out: Predictions, test: Predictions) -> Predictions:
    """Return the calibrated test predictions, logits only, with their labels put back.

    Raises `PluginError` when the calibrator returns other rows, or changes a predicted class
    though it says that it preserves accuracy.
    """
    import numpy as np

    predicted = test.logits.argmax(axis=1)
    calibrator.fit(held_out)
    calibrated = calibrator.transform(test.without_labels())
    name = type(calibrator).__name__
    if calibrated.logits.shape != test.logits.shape:
        raise PluginError(
            f"calibrator {name}: transform gave logits of shape {calibrated.logits.shape}, "
            f"not {test.logits.shape}."
        )
    if calibrator.preserves_accuracy:
        # A tie that float32 rounding makes is no change: the class must have fallen behind.
        kept = calibrated.logits[np.arange(len(test)), predicted]
        changed = int(np.count_nonzero(kept < calibrated.logits.max(axis=1)))
        if changed:
            raise PluginError(
                f"calibrator {name}: it says that it preserves accuracy, and changed the "
                f"predicted class of {changed} of {len(test)} rows."
            )
    bare = replace(test, features=None, stochastic_logits=None, head=None)
    return bare.with_logits(calibrated.logits)
