"""Calibration errors without bins, for R bootstrap replicates at a time.

Every function takes predictions and `weights` (R, n), the count of each row in each replicate, and
returns (R,). `label` is the class whose probability is evaluated, or `TOP_LABEL`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fgbench.calibration.ranked import TOP_LABEL, Ranking, Scores, Sums, sums_along

if TYPE_CHECKING:
    from fgbench.data import Predictions

Floats = NDArray[np.float64]
Weights = NDArray[Any]

_MESH = 1 << 9
"""Intervals of the mesh on which residuals are smoothed, each at the middle of its interval."""
_NARROWEST, _STEPS = 1e-3, 1 << 10
"""Bandwidths from 0.001, the narrowest of the authors' implementation, to 1, in equal ratios."""
_RATIO = -np.log(_NARROWEST) / _STEPS
_FIRST_STEP = 560
_MOST_SECANTS = 30
_SLOPE = 0.5
"""ln(error/σ) falls by at least as much as ln σ rises; half of that guards against rounding."""
_MMCE_WIDTH = 0.4


def smooth_calibration_error(
    predictions: Predictions, weights: Weights, *, label: int = TOP_LABEL
) -> Floats:
    """Return SmoothECE: ∫|r̂_σ(t)|dt of residuals smoothed at the bandwidth σ that equals it.

    The kernel is a Gaussian reflected at 0 and 1. Source: Błasiok and Nakkiran 2024, definitions 3
    and 4. Their implementation finds σ to 2⁻¹⁰, from above; here it is found to 1e-5 of itself.
    """
    return smoothed_error(sums_along(predictions, label, weights))


def smooth_ece(confidence: NDArray[Any], outcome: NDArray[Any]) -> float:
    """Return SmoothECE of n confidences in [0, 1] and their outcomes, 0 or 1."""
    ranking = Ranking(Scores.of_arrays(np.asarray(confidence), np.asarray(outcome)))
    return float(smoothed_error(ranking.sums(np.ones((1, len(confidence)))))[0])


def kolmogorov_smirnov_error(
    predictions: Predictions, weights: Weights, *, label: int = TOP_LABEL
) -> Floats:
    """Return max over t of |Σ_{score ≤ t} (outcome − score)|/n.

    Source: Gupta et al. 2021, eq. 4.
    """
    sums = sums_along(predictions, label, weights)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(sums.residual).max(axis=1) / sums.total)


def kernel_density_calibration_error(
    predictions: Predictions, weights: Weights, *, label: int = TOP_LABEL
) -> Floats:
    """Return ∫|π̂(z) − z| p̂(z) dz, accuracy and density estimated with a triweight kernel.

    Bandwidth 1.06 σ̂ n^(−1/5), reflected at 0 and 1. Source: Zhang et al. 2020, eq. 8.
    """
    sums = sums_along(predictions, label, weights)
    edges = _mesh_edges(sums)
    result = np.empty(len(weights))
    for replicate, n in enumerate(sums.total):
        mass = np.diff(sums.weight[replicate, edges]) / n
        hits = np.diff(sums.outcome[replicate, edges]) / n
        mean = float(mass @ _MIDDLES)
        deviation = float(np.sqrt(max(mass @ (_MIDDLES - mean) ** 2, 0.0)))
        width = max(1.06 * deviation * float(n) ** -0.2, 2.0 / _MESH)
        density, rate = (_smooth_triweight(values, width) for values in (mass, hits))
        result[replicate] = np.abs(rate - _MIDDLES * density).sum()
    return result


def maximum_mean_calibration_error(
    predictions: Predictions, weights: Weights, *, label: int = TOP_LABEL
) -> Floats:
    """Return √(Σ_i Σ_j d_i d_j e^(−|s_i − s_j|/0.4))/n with d = outcome − score.

    Source: Kumar et al. 2018, eq. 4, with the Laplacian kernel of its experiments. Cumulative sums
    of exponentials along the sorted scores make the double sum linear in n.
    """
    sums = sums_along(predictions, label, weights)
    residual = np.diff(sums.residual, axis=1)
    rising = np.exp(sums.score / _MMCE_WIDTH)
    below = np.cumsum(residual * rising, axis=1) / rising
    square = 2.0 * (residual * below).sum(axis=1) - (residual**2).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(np.maximum(square, 0.0)) / sums.total)


def smoothed_error(sums: Sums) -> Floats:
    """Return SmoothECE from sums along the scores, (R,).

    The secant method finds the root of ln(error/σ) along ln σ, on a grid of bandwidths. Between the
    last two, which are at most 0.7 % apart, ln error is a straight line to within 1e-5.
    """
    with np.errstate(invalid="ignore"):
        mesh = np.diff(sums.residual[:, _mesh_edges(sums)], axis=1) / sums.total[:, None]
    result = np.full(len(mesh), np.nan)
    rows = np.flatnonzero(~np.isnan(mesh[:, 0]))
    smoother = _Smoother.of_mesh(mesh[rows])
    last = np.full(len(rows), _FIRST_STEP)
    excess = smoother.excess(last)
    # ln error falls along ln σ too, by about half as much.
    step = _nearest(last + excess / 1.5, last, excess)
    for _ in range(_MOST_SECANTS):
        new = smoother.excess(step)
        root = step - new / np.minimum((new - excess) / (step - last), -_SLOPE)
        following = _nearest(root, step, new)
        found = (np.abs(step - last) == 1) & (np.abs(following - step) <= 1)
        result[rows] = _bandwidth(np.maximum(root, 0.0))
        if (below := found & (root < 0)).any():
            narrowest = np.zeros(int(below.sum()), dtype=np.intp)
            result[rows[below]] = smoother.of(below).error(narrowest)
        if found.all():
            break
        rows, smoother = rows[~found], smoother.of(~found)
        last, excess, step = step[~found], new[~found], following[~found]
    return result


def _bandwidth(step: NDArray[Any]) -> Floats:
    """Return the bandwidths of positions on the grid, which may be fractional."""
    return np.asarray(_NARROWEST * np.exp(_RATIO * step))


def _nearest(root: Floats, step: NDArray[np.intp], excess: Floats) -> NDArray[np.intp]:
    """Return the grid position next to a root; a neighbor of `step` in its direction if equal."""
    rounded = np.clip(np.rint(np.nan_to_num(root)), 0, _STEPS).astype(np.intp)
    beside = np.where((excess > 0) & (step < _STEPS) | (step == 0), step + 1, step - 1)
    return np.where(rounded == step, beside, rounded)


class _Smoother:
    """Residuals on a mesh, (R, T), smoothed: a reflected Gaussian damps their cosine transform."""

    def __init__(self, spectrum: Floats) -> None:
        self._spectrum = spectrum

    @classmethod
    def of_mesh(cls, mesh: Floats) -> _Smoother:
        """Use residuals on a mesh, (R, T)."""
        from scipy.fft import dct

        return cls(np.asarray(dct(mesh, type=2, axis=1)))

    def of(self, rows: NDArray[np.bool_]) -> _Smoother:
        """Return the smoother of some of the rows."""
        return self if rows.all() else _Smoother(self._spectrum[rows])

    def error(self, steps: NDArray[np.intp]) -> Floats:
        """Return ∫|r̂_σ| for bandwidths at positions (R,) of the grid, (R,)."""
        from scipy.fft import idct

        damped = _damping().take(steps, axis=0)
        damped *= self._spectrum
        smoothed = idct(damped, type=2, axis=1, overwrite_x=True)
        return np.asarray(np.abs(smoothed, out=smoothed).sum(axis=1))

    def excess(self, steps: NDArray[np.intp]) -> Floats:
        """Return ln(error/σ) in steps of the grid, (R,)."""
        with np.errstate(divide="ignore"):
            logarithm = np.log(np.maximum(self.error(steps), 1e-300) / _bandwidth(steps))
        return np.asarray(logarithm / _RATIO)


@lru_cache(maxsize=1)
def _damping() -> Floats:
    """Return how a Gaussian of each bandwidth damps each frequency of the mesh, (_STEPS + 1, T)."""
    frequency = (np.pi * np.arange(_MESH)) ** 2 / 2.0
    return np.asarray(np.exp(-np.square(_bandwidth(np.arange(_STEPS + 1)))[:, None] * frequency))


def _mesh_edges(sums: Sums) -> NDArray[np.intp]:
    """Return the positions of the mesh's edges in the sums, (_MESH + 1,)."""
    inner = np.searchsorted(sums.score, np.arange(1, _MESH) / _MESH, side="left")
    return np.concatenate([[0], inner, [len(sums.score)]])


def _smooth_triweight(values: Floats, width: float) -> Floats:
    from scipy.signal import fftconvolve

    reach = min(int(width * _MESH), _MESH)
    distance = np.arange(-reach, reach + 1) / (width * _MESH)
    kernel = np.clip(1.0 - distance**2, 0.0, None) ** 3
    mirrored = np.concatenate([values[:reach][::-1], values, values[_MESH - reach :][::-1]])
    return np.asarray(fftconvolve(mirrored, kernel / kernel.sum(), mode="valid"))


_MIDDLES = (np.arange(_MESH) + 0.5) / _MESH
