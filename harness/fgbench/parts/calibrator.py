"""Interface of post-hoc calibrators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from fgbench.parts.base import Part

if TYPE_CHECKING:
    from fgbench.data import Predictions

MEMBERS = "members"
"""Capability for ensembles: the calibrator gets the test logits of the models of all s seeds,
(s, n, K), as `stochastic_logits`."""


class Calibrator(Part, ABC):
    """Maps predictions of a trained classifier to better calibrated ones."""

    kind = "calibrator"
    needs = frozenset({"logits"})
    preserves_accuracy: ClassVar[bool] = False
    """Whether the predicted class never changes; the harness checks this."""
    learns: ClassVar[bool] = True
    """Whether `fit` uses the held-out rows; otherwise none are needed."""
    is_identity: ClassVar[bool] = False
    """Whether it leaves predictions as they are: entries with it are the uncalibrated ones, which
    others are compared with."""

    @property
    def is_neutral(self) -> bool:
        """Whether it leaves predictions as they are."""
        return self.is_identity

    @abstractmethod
    def fit(self, held_out: Predictions) -> None:
        """Fit on labeled predictions of rows that the classifier was not trained on."""

    @abstractmethod
    def transform(self, predictions: Predictions) -> Predictions:
        """Return calibrated predictions of the same rows; their labels are withheld (−1)."""
