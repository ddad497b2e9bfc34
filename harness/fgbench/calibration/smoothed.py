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

_MESH, _COARSE_MESH = 1 << 9, 1 << 7
"""Intervals of the mesh on which residuals are smoothed, each placed at the middle of its interval.

The coarse mesh serves for the first halvings, while bandwidths are far above its intervals."""
_NARROWEST, _HALVINGS, _COARSE_HALVINGS = 1e-3, 10, 5
"""As in the authors' implementation: no bandwidth below 0.001, found by ten halvings of [0, 1]."""
_STEPS = 1 << _HALVINGS
"""Halving [0, 1] tries multiples of 1/_STEPS only."""
_MMCE_WIDTH = 0.4


def smooth_calibration_error(
    predictions: Predictions, weights: Weights, *, label: int = TOP_LABEL
) -> Floats:
    """Return SmoothECE: ∫|r̂_σ(t)|dt of residuals smoothed at the bandwidth σ that equals it.

    The kernel is a Gaussian reflected at 0 and 1. Source: Błasiok and Nakkiran 2024, definitions 3
    and 4; as in their implementation, σ is found to 2⁻¹⁰, from above.
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
    """Return SmoothECE from sums along the scores, (R,)."""
    with np.errstate(invalid="ignore"):
        mesh = np.diff(sums.residual[:, _mesh_edges(sums)], axis=1) / sums.total[:, None]
    coarse = _Smoother(mesh.reshape(len(mesh), _COARSE_MESH, -1).sum(axis=2))
    fine = _Smoother(mesh)
    upper, lower = np.full(len(mesh), _STEPS), np.zeros(len(mesh), dtype=np.intp)
    result = np.full(len(mesh), np.nan)
    for turn in range(_HALVINGS):
        middle = (upper + lower) // 2
        smoother = coarse if turn < _COARSE_HALVINGS else fine
        width, error = middle / _STEPS, smoother.error(middle)
        below = (width < _NARROWEST) | (width < error)
        lower, upper = np.where(below, middle, lower), np.where(below, upper, middle)
        if smoother is fine:
            result = np.where(below, result, error)
    missing = np.flatnonzero(np.isnan(result))  # bandwidths that the coarse mesh tried last
    result[missing] = fine.error(upper[missing], missing)
    return result


class _Smoother:
    """Residuals on a mesh, (R, T), smoothed: a reflected Gaussian damps their cosine transform."""

    def __init__(self, mesh: Floats) -> None:
        from scipy.fft import dct

        self._spectrum = dct(mesh, type=2, axis=1)

    def error(self, bandwidths: NDArray[np.intp], rows: NDArray[np.intp] | None = None) -> Floats:
        """Return ∫|r̂_σ| of all rows or some, for bandwidths (R,) in units of 1/`_STEPS`, (R,)."""
        from scipy.fft import idct

        spectrum = self._spectrum if rows is None else self._spectrum[rows]
        damped = _damping(spectrum.shape[1]).take(bandwidths, axis=0)
        damped *= spectrum
        smoothed = idct(damped, type=2, axis=1, overwrite_x=True)
        return np.asarray(np.abs(smoothed, out=smoothed).sum(axis=1))


@lru_cache(maxsize=2)
def _damping(mesh: int) -> Floats:
    """Return how a Gaussian of each bandwidth damps each frequency of a mesh, (_STEPS + 1, T)."""
    frequency = (np.pi * np.arange(mesh)) ** 2 / 2.0
    width = np.arange(_STEPS + 1) / _STEPS
    return np.asarray(np.exp(-np.square(width)[:, None] * frequency))


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
