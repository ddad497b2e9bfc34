"""Select miscalibrated bins of the reliability diagram, and the probabilities that fill their gaps.

METHODS §1, after FITG (Ba, Mancenido and Pan 2024), section 3.2, table 1 and footnote 3. Binary
tasks use the diagram of P(y=1). With more classes it is that of the top-label confidence, and
probability is moved between the predicted class and its runner-up.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, replace
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

    from fgbench.data import FloatArray, IntArray, Predictions
    from fgbench.samples import Design

_CEILING, _FLOOR = 0.95, 0.05
_BELOW_HALF, _ABOVE_HALF = 0.45, 0.55
_MARGIN = _ABOVE_HALF - _BELOW_HALF
_STILL = 1e-12


def leading_class(bin_probabilities: Sequence[float]) -> int:
    """Return class 1 of two; of more, the one with the highest probability."""
    if len(bin_probabilities) == 2:
        return 1
    return max(range(len(bin_probabilities)), key=bin_probabilities.__getitem__)


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

    @property
    def bin_class(self) -> int:
        """The class whose probability the bin's gap is about.

        It is class 1 of two; with more classes, the one that leads in the bin.
        """
        return leading_class(self.bin_probabilities)

    @property
    def shift(self) -> float:
        """The requested shift of the probability of `bin_class`."""
        label = self.bin_class
        return self.asked_probabilities[label] - self.bin_probabilities[label]


@dataclass(frozen=True)
class Targets:
    """The bins to fill, and one source for each synthetic input that is requested.

    Without a dose, the sources are all points of the bins: S1 (FITG section 4.4).
    """

    design: Design
    bins: tuple[TargetBin, ...]
    sources: tuple[Source, ...]

    @property
    def rows(self) -> frozenset[int]:
        """The rows of all points of the bins."""
        return frozenset(row for item in self.bins for row in item.rows)

    @property
    def wrong_way(self) -> int:
        """The number of sources that are requested to move away from the diagonal.

        FITG's limits do that near the decision boundary and near certainty: a bin of mean 0.497 and
        gap +0.066 is requested at 0.45. The rule for more than two classes never does.
        """
        gaps = {item.bin: item.gap for item in self.bins}
        return sum(
            source.shift * gaps[source.bin] < -_STILL
            for source in self.sources
            if len(source.bin_probabilities) == 2 or self.design == "reversed"
        )

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


def other_bins(
    predictions: Predictions,
    targets: Targets,
    labels: Sequence[int],
    *,
    bins: int,
    dose: float,
    seed: int,
) -> Targets:
    """Return points outside the bins of `targets`, of the same classes: the control of targeting.

    `labels` are those of the texts that the targeted points led to. For each of them, a row of its
    class is drawn from the other bins, no row more often than `dose` (rounded up). Classes with too
    few rows get fewer sources. Requests follow from each bin's own gap by the same rule.
    """
    import numpy as np

    targeted = {item.bin for item in targets.bins}
    others = [item for item in _filled_bins(predictions, bins) if item.bin not in targeted]
    outside = np.array([row for item in others for row in item.rows], dtype=np.int64)
    rng = np.random.default_rng(seed_for("other bins", seed, bins))
    drawn: Counter[int] = Counter()
    for label, count in sorted(Counter(labels).items()):
        members = outside[predictions.labels[outside] == label]
        passes = [rng.permutation(members).tolist() for _ in range(math.ceil(dose))]
        drawn.update([row for rows in passes for row in rows][:count])
    rows = {
        item.bin: [row for row in item.rows for _ in range(drawn[row])]
        for item in others
        if any(drawn[row] for row in item.rows)
    }
    selected = [item for item in others if item.bin in rows]
    return Targets("other-bins", tuple(selected), _sources(predictions, selected, rows))


def without_shift(targets: Targets, rows: Sequence[int]) -> Targets:
    """Return the sources at `rows`, requested at their bin's mean: the control of the shift.

    `rows` has the row of one of the targeted points for each text to match.
    """
    sources = (
        replace(source, asked_probabilities=source.bin_probabilities)
        for source in _sources_at(targets, rows)
    )
    return Targets("no-shift", targets.bins, tuple(sources))


def with_reversed_shift(targets: Targets, rows: Sequence[int]) -> Targets:
    """Return the sources at `rows`, requested to shift as much in the opposite direction.

    The control of the direction; `rows` as in `without_shift`.
    """
    sources = (
        replace(source, asked_probabilities=reversed_request(source))
        for source in _sources_at(targets, rows)
    )
    return Targets("reversed", targets.bins, tuple(sources))


def dosed(targets: Targets, dose: float, seed: int, labels: IntArray) -> Targets:
    """Return `targets` with round(`dose` × n) sources: each equally often, up to one.

    Sources that get one more than others are drawn by `seed`, in proportion from each bin and class
    (`labels` has the class of each row).
    """
    import numpy as np

    order = np.random.default_rng(seed_for("dose", seed)).permutation(len(targets.sources))
    position = {source: place for place, source in enumerate(order.tolist())}
    stratified = sorted(
        range(len(targets.sources)),
        key=lambda number: (
            targets.sources[number].bin,
            int(labels[targets.sources[number].row]),
            position[number],
        ),
    )
    # Systematic sampling: source k of the list is used as often as ⌊k · dose + ½⌋ steps up.
    copies = {
        number: math.floor((place + 1) * dose + 0.5) - math.floor(place * dose + 0.5)
        for place, number in enumerate(stratified)
    }
    sources = (
        source for number, source in enumerate(targets.sources) for _ in range(copies[number])
    )
    return replace(targets, sources=tuple(sources))


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


def reversed_request(source: Source) -> tuple[float, ...]:
    """Return the probabilities (K,) as far from the bin's mean as those asked, the other way.

    The shift ends where a probability would leave 0.05 … 0.95 (with more than two classes:
    0 … 0.95), or at the mean itself if that is outside. Unlike FITG's, it may cross the decision
    boundary, since it would be smaller otherwise.
    """
    lowest = _FLOOR if len(source.bin_probabilities) == 2 else 0.0
    shifts = [
        mean - asked
        for mean, asked in zip(source.bin_probabilities, source.asked_probabilities, strict=True)
    ]
    share = 1.0
    for mean, shift in zip(source.bin_probabilities, shifts, strict=True):
        if abs(shift) > _STILL:
            room = max(_CEILING - mean, 0.0) if shift > 0 else max(mean - lowest, 0.0)
            share = min(share, room / abs(shift))
    return tuple(
        mean + share * shift for mean, shift in zip(source.bin_probabilities, shifts, strict=True)
    )


def _sources_at(targets: Targets, rows: Sequence[int]) -> list[Source]:
    by_row = {source.row: source for source in targets.sources}
    return [by_row[row] for row in rows]


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
