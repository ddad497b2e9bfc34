"""What a contrast can detect: closed forms from its standard error and degrees of freedom."""

from __future__ import annotations

from scipy.special import nctdtrinc

from fgbench.inference.components import quantile
from fgbench.inference.contrasts import SIGNIFICANCE

POWER = 0.8
_MOST_SEEDS = 100


def detectable(
    standard_error: float,
    degrees_of_freedom: float,
    *,
    power: float = POWER,
    level: float = SIGNIFICANCE,
) -> float:
    """Return the smallest true difference that a two-sided t test finds with this power.

    It is the noncentrality ν of a t distribution with P(T > t_{1 − level/2}) = power, times the
    standard error.
    """
    critical = float(quantile(1.0 - level / 2.0, degrees_of_freedom))
    return float(nctdtrinc(degrees_of_freedom, 1.0 - power, critical)) * standard_error


def seeds_to_detect(
    difference: float, standard_error: float, degrees_of_freedom: float, seeds: int, rows: int
) -> int | None:
    """Return the number of seeds that detect a difference on the same test rows; None if none does.

    The shares of seeds and of rows in the variance follow from the degrees of freedom
    (`fgbench.inference.components`). More seeds lower the first alone.
    """
    of_seeds, of_rows = 1.0 / (seeds - 1), 1.0 / max(rows - 1, 1)
    share = 1.0
    if of_seeds != of_rows:
        share = min(1.0, max(0.0, (1.0 / degrees_of_freedom - of_rows) / (of_seeds - of_rows)))
    for number in range(seeds + 1, _MOST_SEEDS + 1):
        seed_part, row_part = share * seeds / number, 1.0 - share
        total = seed_part + row_part
        inverse = (seed_part / (number - 1) + row_part * of_rows) / total
        if detectable(standard_error * total**0.5, 1.0 / inverse) <= difference:
            return number
    return None
