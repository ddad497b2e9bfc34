"""How far a measured ECE can be from the true one: the paper's bound, and one that holds.

Both speak of M fixed bins. With ΔAcc_m and ΔConf_m the differences of a bin's accuracy and mean
confidence between the sample and the population, |ΔECE| ≤ Σ_m w_m (|ΔAcc_m| + |ΔConf_m|), where
w_m = n_m/n.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log, sqrt
from typing import TYPE_CHECKING

import numpy as np

from fgbench.errors import DataError
from fgbench.numbers import number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class PaperBound:
    """FITG's bound: `epsilon` on |ΔECE| with failure probability `delta`, and the n it asks for.

    It promises less than it says. Its proof moves an absolute value into a sum as if that were an
    equality, and applies Hoeffding's inequality to a model on its own training data. Two equal bins
    of confidence .3 and .7, training accuracy .3 and .7 and true accuracy .4 and .6 have
    ΔAcc = ΔConf = 0, and yet |ΔECE| = 0.1.
    """

    epsilon: float
    delta: float
    n: float


def paper_bound(
    n: int,
    shares: ArrayLike,
    confidence: ArrayLike,
    true_confidence: ArrayLike,
    *,
    delta: float = 0.05,
) -> PaperBound:
    """Return FITG's bound as printed (its section 3.4 and appendix A), for M bins.

    `shares` (M,) are n_m/n, `confidence` (M,) and `true_confidence` (M,) the mean confidences of
    the bins in the sample and in the population. δ_a = `delta`/2, ε_a = √(ln(2/δ_a)/(2n)),
    ε = ε_a + Σ_m (n_m/n)|Conf_m − Conf*_m|, and n = ln(4/δ)/(2(ε − |ΔConf|)²).
    """
    _check(n, delta)
    weights, sample, true = (np.asarray(x, float) for x in (shares, confidence, true_confidence))
    shift = float(np.sum(weights * np.abs(sample - true)))
    epsilon = sqrt(log(2.0 / (delta / 2.0)) / (2.0 * n)) + shift
    room = epsilon - abs(float(np.sum(weights * (sample - true))))
    return PaperBound(epsilon, delta, log(4.0 / delta) / (2.0 * room**2) if room > 0 else inf)


def valid_bound(n: int, bins: int, *, delta: float = 0.05) -> float:
    """Return ε with |ΔECE| ≤ ε + Σ_m w_m |ΔConf_m| with probability ≥ 1 − δ.

    For a fixed model and M fixed bins on n held-out points: Hoeffding's inequality in each bin, a
    union bound over bins, and Cauchy-Schwarz give Σ_m w_m |ΔAcc_m| ≤ √(M ln(2M/δ)/(2n)). Against
    the bins' accuracies at the sample's own confidences, ΔConf is 0 and ε is the whole bound.
    """
    _check(n, delta)
    if bins < 1:
        raise DataError(f"a bound needs at least one bin, not {bins}.")
    return sqrt(bins * log(2.0 * bins / delta) / (2.0 * n))


def bounds_sentences(n: int, bins: int, *, delta: float = 0.05) -> str:
    """Say what both bounds promise of an ECE of n test points, each with what it is worth."""
    held = valid_bound(n, bins, delta=delta)
    even = np.full(bins, 1.0 / bins)
    printed = paper_bound(n, even, even, even, delta=delta).epsilon
    share = f"{100 * (1 - delta):.0f} %"
    return (
        f"Bounds for {n:,} test points and {bins} fixed bins: with probability {share}, whatever "
        f"the distribution, the true ECE is within {number(held)} of the measured one "
        "(valid_bound: Hoeffding in each bin). The bound that Ba et al. 2024 print says "
        f"{number(printed)} (paper_bound, confidences of the population as measured); its proof "
        "does not hold."
    )


def _check(n: int, delta: float) -> None:
    if n < 1:
        raise DataError(f"a bound needs at least one point, not {n}.")
    if not 0.0 < delta < 1.0:
        raise DataError(f"delta={delta}: a failure probability lies between 0 and 1.")
