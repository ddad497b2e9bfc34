"""Post-hoc calibrators: what a calibrator plugin implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from fgbench.parts.base import Part

if TYPE_CHECKING:
    from fgbench.data import Predictions

MEMBERS = "members"
"""A calibrator that needs this is given the test logits of all seeds' models, (s, n, K), as
`stochastic_logits`: an ensemble."""


class Calibrator(Part, ABC):
    """Maps predictions to better calibrated ones, after training."""

    kind = "calibrator"
    needs = frozenset({"logits"})
    preserves_accuracy: ClassVar[bool] = False
    """Whether the predicted class never changes; the harness checks the promise."""
    learns: ClassVar[bool] = True
    """Whether `fit` looks at the held-out rows; one that does not needs none."""

    @abstractmethod
    def fit(self, held_out: Predictions) -> None:
        """Fit on labelled predictions of rows that the classifier was not trained on."""

    @abstractmethod
    def transform(self, predictions: Predictions) -> Predictions:
        """Return calibrated predictions of the same rows; their labels are withheld (−1)."""
