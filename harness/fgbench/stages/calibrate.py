"""Calibrate: fit a calibrator on held-out predictions and apply it to the test split."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fgbench.errors import PluginError
from fgbench.loop import splitting
from fgbench.stages import base
from fgbench.store import Product

if TYPE_CHECKING:
    from pathlib import Path

    from fgbench.data import Predictions
    from fgbench.parts.calibrator import Calibrator
    from fgbench.stages.base import StageContext
    from fgbench.store import Artifact

_MEMBER = "member "


class Calibrate(base.Stage):
    """Predictions → calibrated predictions of the test split.

    An ensemble also reads the predictions of each seed's model, in the roles of `member_role`.
    """

    name = "calibrate"
    roles = {"calibrator": "calibrator"}
    inputs = ("predictions", f"{_MEMBER}*")

    class Params(base.Params):
        """Which validation rows fit the calibrator."""

        protocol: str
        seed: int

    def run(self, ctx: StageContext) -> Product:
        import numpy as np

        params: Calibrate.Params = ctx.params
        validation = ctx.predictions("predictions", "validation")
        rows = splitting.calibration_rows(validation.labels, params.protocol, params.seed)
        test = ctx.predictions("predictions", "test")
        members = [role for role in ctx.artifacts if role.startswith(_MEMBER)]
        if members:
            logits = np.stack([ctx.predictions(role, "test").logits for role in members])
            test = replace(test, stochastic_logits=logits)
        calibrated = calibrate(ctx.part("calibrator"), validation.take(rows), test)
        return Product(files={"test.npz": base.predictions_bytes(calibrated)})


def member_role(seed: int) -> str:
    """Return the role of the model of one seed in an ensemble."""
    return f"{_MEMBER}{seed}"


def calibrated_file(artifact: Artifact) -> Path:
    """Return the file of calibrated test predictions that a `calibrate` artifact holds."""
    return artifact.open("test.npz")


def calibrate(calibrator: Calibrator, held_out: Predictions, test: Predictions) -> Predictions:
    """Return the calibrated test predictions, logits only, with their labels restored.

    The calibrator never sees the test labels. Raises `PluginError` if it returns other rows, or
    changes a predicted class although it declares `preserves_accuracy`.
    """
    import numpy as np

    predicted = test.logits.argmax(axis=1)
    calibrator.fit(held_out)
    calibrated = calibrator.transform(test.without_labels())
    name = type(calibrator).__name__
    if calibrated.logits.shape != test.logits.shape:
        raise PluginError(
            f"calibrator {name}: transform returned logits of shape {calibrated.logits.shape}, "
            f"not {test.logits.shape}."
        )
    if calibrator.preserves_accuracy:
        # A tie from float32 rounding changes nothing: the class must have fallen behind.
        logits_of_predicted = calibrated.logits[np.arange(len(test)), predicted]
        changed = int(np.count_nonzero(logits_of_predicted < calibrated.logits.max(axis=1)))
        if changed:
            raise PluginError(
                f"calibrator {name}: declares preserves_accuracy but changed the predicted class "
                f"of {changed} of {len(test)} rows."
            )
    bare = replace(test, features=None, stochastic_logits=None, head=None)
    return bare.with_logits(calibrated.logits)
