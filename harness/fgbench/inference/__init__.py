"""Inference: what two sets of predictions show about two methods, and how sure that is.

`components` explains the variance of a mean over training seeds on one set of test rows,
`contrasts` tests a paired difference against 0 and against a margin, `families` gives a word to
each contrast of a family. `resampling` draws the test rows, `evaluation` computes metrics on them.
"""

from fgbench.inference.comparing import compare_evaluations
from fgbench.inference.components import Spread, spread, spread_of
from fgbench.inference.contrasts import (
    CONFIDENCE,
    FEWEST_ROWS,
    ONE_SEED,
    SIGNIFICANCE,
    Contrast,
    contrast,
)
from fgbench.inference.evaluation import (
    REPLICATES,
    Evaluation,
    applicable,
    evaluate_metrics,
    undefined_metrics,
)
from fgbench.inference.families import Judgment, Word, holm, judge
from fgbench.inference.intervals import corrected_interval, interval
from fgbench.inference.ranks import pairwise_p_values, rank_intervals
from fgbench.inference.resampling import bootstrap_weights, units_of
from fgbench.inference.summaries import STATISTICS_VERSION, MetricSummary, summarize

__all__ = [
    "CONFIDENCE",
    "FEWEST_ROWS",
    "ONE_SEED",
    "REPLICATES",
    "SIGNIFICANCE",
    "STATISTICS_VERSION",
    "Contrast",
    "Evaluation",
    "Judgment",
    "MetricSummary",
    "Spread",
    "Word",
    "applicable",
    "bootstrap_weights",
    "compare_evaluations",
    "contrast",
    "corrected_interval",
    "evaluate_metrics",
    "holm",
    "interval",
    "judge",
    "pairwise_p_values",
    "rank_intervals",
    "spread",
    "spread_of",
    "summarize",
    "undefined_metrics",
    "units_of",
]
