"""How close accepted synthetic inputs come to their target probability, for the page's charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fgbench.numbers import number

TENTHS = 10
MAX_DOTS = 250
_DIGITS = 3


@dataclass(frozen=True)
class TenthMean:
    """Means over the inputs whose target lies in one tenth of [0, 1]; `tenth` counts from 0."""

    tenth: int
    target: float
    judged: float
    n: int


@dataclass(frozen=True)
class Fidelity:
    """Target probability of accepted inputs against the probability that one judge gives them.

    `dots` are (target, judged) of at most `MAX_DOTS` inputs at equal steps; `error` is the mean
    absolute difference and `means` are averages, both over all `n` inputs.
    """

    judge: str
    axis: str
    n: int
    error: float
    dots: tuple[tuple[float, float], ...]
    means: tuple[TenthMean, ...]


def fidelity(judge: str, axis: str, pairs: Sequence[tuple[float, float]]) -> Fidelity:
    """Summarize pairs of (target, judged) probabilities, of which there must be one at least."""
    tenths: dict[int, list[tuple[float, float]]] = {}
    for pair in pairs:
        tenths.setdefault(min(int(pair[0] * TENTHS), TENTHS - 1), []).append(pair)
    step = -(-len(pairs) // MAX_DOTS)
    return Fidelity(
        judge=judge,
        axis=axis,
        n=len(pairs),
        error=sum(abs(target - judged) for target, judged in pairs) / len(pairs),
        dots=tuple(pairs[::step]),
        means=tuple(
            TenthMean(
                tenth=tenth,
                target=sum(target for target, _ in members) / len(members),
                judged=sum(judged for _, judged in members) / len(members),
                n=len(members),
            )
            for tenth, members in sorted(tenths.items())
        ),
    )


def tenth_rows(fidelities: Sequence[Fidelity]) -> list[tuple[str, list[TenthMean | None]]]:
    """Return, for each tenth of the target that has inputs, its limits and each judge's mean."""
    by_tenth = [{mean.tenth: mean for mean in item.means} for item in fidelities]
    return [
        (
            f"{tenth / TENTHS:.1f}–{(tenth + 1) / TENTHS:.1f}",
            [means.get(tenth) for means in by_tenth],
        )
        for tenth in sorted({tenth for means in by_tenth for tenth in means})
    ]


def fidelity_columns(sets: Mapping[str, Sequence[Fidelity]]) -> dict[str, list[dict[str, Any]]]:
    """Return the fidelities of each set of samples, by its anchor, as columns of JSON values."""
    return {
        anchor: [
            {
                "judge": item.judge,
                "axis": item.axis,
                "n": item.n,
                "text": number(item.error),
                "dots": {
                    "target": [round(target, _DIGITS) for target, _ in item.dots],
                    "judged": [round(judged, _DIGITS) for _, judged in item.dots],
                },
                "means": {
                    "target": [round(mean.target, _DIGITS) for mean in item.means],
                    "judged": [round(mean.judged, _DIGITS) for mean in item.means],
                    "n": [mean.n for mean in item.means],
                    "text": [
                        f"{number(mean.target)} → {number(mean.judged)}" for mean in item.means
                    ],
                },
            }
            for item in fidelities
        ]
        for anchor, fidelities in sets.items()
        if fidelities
    }
