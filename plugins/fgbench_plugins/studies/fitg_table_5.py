"""Table 5 of Ba, Mancenido and Pan (EMNLP 2024, arXiv 2410.10864), with intervals.

It cannot be recomputed: the paper prints neither the accuracy nor the ECE of its language model on
any of the six data sets. Its Table 4 bounds it. A correlation matrix has no negative eigenvalue, so
with these coefficients the gains in accuracy and in ECE, in percent, have a correlation between
−0.77 and 0.11. In Table 4 that of the highlighted entries is within these bounds (−0.65); that of
`synthesis` with ten bins (0.80) and with twenty bins (0.37) is not.
"""

from __future__ import annotations

from fgbench_plugins.studies.correlation import Correlation, fisher_interval

N = 6
PEARSON = {
    ("accuracy", "llm_ece"): -0.737,
    ("accuracy", "accuracy"): 0.592,
    ("accuracy", "ece"): -0.566,
    ("ece", "accuracy"): -0.026,
    ("ece", "ece"): 0.423,
}
"""Accuracy or ECE of Llama-2-7b-chat as a few-shot classifier, with its own ECE or with BERT's gain
in accuracy or ECE, in percent of the baseline's; over TC, SUBJ, B77, SE, Arxiv and Medical."""


def fitg_table_5() -> dict[tuple[str, str], Correlation]:
    """Return the paper's coefficients with 95 % intervals, which are ours."""
    return {
        pair: Correlation("pearson", N, value, fisher_interval(value, N))
        for pair, value in PEARSON.items()
    }
