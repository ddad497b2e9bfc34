"""Select miscalibrated bins of the reliability diagram, and the probabilities that fill their gaps.

METHODS §1, after FITG (Ba, Mancenido and Pan 2024), section 3.2, table 1 and footnote 3. Binary
tasks use the diagram of P(y=1). With more classes it is that of the top-label confidence, and
probability is moved between the predicted class and its runner-up.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fgbench.calibration.reliability import (
    bin_index,
    positive_class,
    reliability_diagram,
    top_label,
)
from fgbench.digests import seed_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fgbench.data import FloatArray, Predictions

_CEILING, _FLOOR = 0.95, 0.05
_BELOW_HALF, _ABOVE_HALF = 0.45, 0.55
_MARGIN = _ABOVE_HALF - _BELOW_HALF


@dataclass(frozen=True)
class TargetBin:
    """A bin to fill: its number, mean confidence, gap D_m, and the rows of its n points."""

    bin: int
    n: int
    confidence: float
    gap: float
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Source:
    """A selection point of a targeted bin: its row in the predictions, and what to request."""

    row: int
    bin: int
    bin_probabilities: tuple[float, ...]
    asked_probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Targets:
    """The bins to fill and their points: S1 = len(sources) (FITG section 4.4)."""

    design: str
    bins: tuple[TargetBin, ...]
    sources: tuple[Source, ...]

    def to_value(self) -> dict[str, Any]:
        """Return the targets as JSON values."""
        return asdict(self)

    @classmethod
    def from_value(cls, value: Mapping[str, Any]) -> Targets:
        """Read what `to_value` returned."""
        return cls(
            design=value["design"],
            bins=tuple(
                TargetBin(**(item | {"rows": tuple(item["rows"])})) for item in value["bins"]
            ),
            sources=tuple(
                Source(
                    row=item["row"],
                    bin=item["bin"],
                    bin_probabilities=tuple(item["bin_probabilities"]),
                    asked_probabilities=tuple(item["asked_probabilities"]),
                )
                for item in value["sources"]
            ),
        )


def target_bins(
    predictions: Predictions, *, bins: int, selector: str, threshold: float, alpha: float | None
) -> Targets:
    """Return the targeted bins of the selection split and all their points.

    The selector `threshold` takes bins with |D_m| > threshold (FITG); `significant` takes those
    of them whose gap is significant in a binomial test at level `alpha`.
    """
    selected = [
        item
        for item in _filled_bins(predictions, bins)
        if abs(item.gap) > threshold
        and (selector == "threshold" or alpha is None or _p_value(item) < alpha)
    ]
    rows = {item.bin: item.rows for item in selected}
    return Targets("targeted", tuple(selected), _sources(predictions, selected, rows))


def random_bins(predictions: Predictions, targets: Targets, *, bins: int, seed: int) -> Targets:
    """Return as many points as `targets` has, from random bins: the control of targeting.

    Bins are drawn without replacement until they hold enough points; the last one contributes a
    random part. Requests follow from each bin's own gap by the same rule.
    """
    import numpy as np

    n_points = len(targets.sources)
    all_bins = _filled_bins(predictions, bins)
    rng = np.random.default_rng(seed_for("random bins", seed, bins))
    selected: list[TargetBin] = []
    rows: dict[int, Sequence[int]] = {}
    taken = 0
    for position in rng.permutation(len(all_bins)):
        if taken >= n_points:
            break
        item = all_bins[int(position)]
        members: Sequence[int] = item.rows
        if len(members) > n_points - taken:
            members = np.sort(rng.permutation(members)[: n_points - taken]).tolist()
        selected.append(item)
        rows[item.bin] = members
        taken += len(members)
    selected.sort(key=lambda item: item.bin)
    return Targets("random", tuple(selected), _sources(predictions, selected, rows))


def asked_probability(confidence: float, gap: float) -> float:
    """Return the P(y=1) that fills the gap of a bin of a binary diagram (FITG table 1, footnote 3).

    The shift is toward the diagonal, but never across the decision boundary or to certainty: a
    result that would reach 0.5 becomes 0.45 in a low bin (mean ≤ 0.5) and 0.55 in a high one; one
    that would reach 0 or 1 becomes 0.05 or 0.95.
    """
    shifted = confidence + gap
    if confidence <= 0.5:
        if shifted >= 0.5:
            return _BELOW_HALF
        return _FLOOR if shifted <= 0 else shifted
    if shifted <= 0.5:
        return _ABOVE_HALF
    return _CEILING if shifted >= 1 else shifted


def asked_multiclass(probabilities: FloatArray, gap: float, predicted: int) -> FloatArray:
    """Return the class probabilities (K,) that fill the gap of a top-label bin.

    `predicted` is the point's predicted class; with the bin's mean in place of the point's own
    confidence, another class may be ahead of it. It gains (gap > 0) or loses what its runner-up
    loses or gains: up to 0.95 or until the runner-up has nothing, or down to a lead of 0.10, which
    is 0.55 to 0.45 with two classes. A point with a smaller lead is requested without a shift.
    """
    import numpy as np

    asked = np.array(probabilities, dtype=np.float64)
    first = predicted
    second = int(np.argmax(np.where(np.arange(len(asked)) == first, -1.0, asked)))
    if gap > 0:
        target = _CEILING if asked[first] + gap >= 1 else asked[first] + gap
        shift = min(max(target - asked[first], 0.0), asked[second])
    else:
        shift = -min(-gap, max((asked[first] - asked[second] - _MARGIN) / 2, 0.0))
    asked[first] += shift
    asked[second] -= shift
    return asked


def _filled_bins(predictions: Predictions, bins: int) -> list[TargetBin]:
    """Return the non-empty bins of the diagram."""
    import numpy as np

    binary = predictions.n_classes == 2
    confidence, outcome = positive_class(predictions) if binary else top_label(predictions)
    diagram = reliability_diagram(confidence, outcome, bins)
    indices = bin_index(confidence, bins)
    return [
        TargetBin(
            bin=index,
            n=int(diagram.counts[index]),
            confidence=float(diagram.mean_confidence[index]),
            gap=float(diagram.gaps[index]),
            rows=tuple(np.flatnonzero(indices == index).tolist()),
        )
        for index in range(bins)
        if diagram.counts[index]
    ]


def _p_value(item: TargetBin) -> float:
    """Return the p-value of the bin's outcomes if its mean confidence is their probability."""
    from scipy.stats import binomtest

    hits = round((item.confidence + item.gap) * item.n)
    chance = min(max(item.confidence, 0.0), 1.0)
    return float(binomtest(hits, item.n, chance).pvalue)


def _sources(
    predictions: Predictions, selected: list[TargetBin], rows: Mapping[int, Sequence[int]]
) -> tuple[Source, ...]:
    import numpy as np

    sources = []
    probabilities = predictions.probabilities()
    for item in selected:
        for row in rows[item.bin]:
            if predictions.n_classes == 2:
                mean = np.array([1 - item.confidence, item.confidence])
                positive = asked_probability(item.confidence, item.gap)
                asked = np.array([1 - positive, positive])
            else:
                mean = _at_confidence(probabilities[row], item.confidence)
                asked = asked_multiclass(mean, item.gap, int(np.argmax(probabilities[row])))
            sources.append(Source(row, item.bin, tuple(mean.tolist()), tuple(asked.tolist())))
    return tuple(sources)


def _at_confidence(probabilities: FloatArray, confidence: float) -> FloatArray:
    """Return probabilities with the top class at `confidence`, the others scaled in proportion."""
    import numpy as np

    top = int(np.argmax(probabilities))
    rest = 1 - probabilities[top]
    others = np.full(len(probabilities), 1.0 / (len(probabilities) - 1))
    if rest > 0:
        others = probabilities / rest
    result = (1 - confidence) * others
    result[top] = confidence
    return np.asarray(result, dtype=np.float64)
