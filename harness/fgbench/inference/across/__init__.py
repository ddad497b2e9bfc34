"""Summaries of benchmarks over data sets: which method is better in general, and how sure that is.

The input is a long table of results (method, task, seed, value). A *task* is what methods are
compared on, for example a data set with a classifier. Tasks of one *data set* are not independent,
so every interval and test here has the data sets as its independent units.

**Mean effect.** δ_d is the mean difference of two methods on data set d, over its tasks and seeds.
With the data set as a random effect, δ_d = μ + u_d + e_d, where u_d is how data set d differs from
the average one and e_d the noise of its seeds and test rows. The estimate of μ is the mean of the k
values δ_d, its variance s²(δ)/k, and (δ̄ − μ)/√(s²/k) has a t distribution with k − 1 degrees of
freedom. This is the random-effects model of Hartung and Knapp (2001, Statistics in Medicine 20,
3875) with equal weights. s² contains the variances of both u and e, so neither has to be known.
Inverse variances as weights would have to be estimated from a few seeds, and would make μ depend on
the sizes of the test sets. IntHout, Ioannidis and Borm (2014, BMC Medical Research Methodology 14,
25) found that for few studies Hartung and Knapp's t test has error rates near its level, and the
normal test of DerSimonian and Laird far above. So has a hierarchical bootstrap of few data sets: it
understates the variance by (k − 1)/k, and has normal tails (docs/metrics.md has the coverage).

**What k data sets can prove.** The exact sign test of k data sets has p ≥ 2·2⁻ᵏ, whatever the
results: six cannot show p < .031, five cannot show p < .05. The t test can, because it assumes that
δ_d is about normal.

**Ranks.** Methods are ranked in each task (ties get the mean rank), ranks are averaged within each
data set and then over data sets. Two methods whose mean ranks differ by less than the critical
difference of Nemenyi's test, q·√(m(m + 1)/(6k)) for m methods, cannot be told apart (Demšar 2006,
JMLR 7:1). With several tasks per data set it is conservative. It depends on which other methods are
in the table (Benavoli, Corani and Mangili 2016, JMLR 17:5); the mean effect of a pair does not.
"""

from fgbench.inference.across.effects import Effect, mean_effect_interval, sign_test
from fgbench.inference.across.ranks import critical_difference
from fgbench.inference.across.results import Result
from fgbench.inference.across.summary import MethodSummary, ResultsSummary, summarize_results

__all__ = [
    "Effect",
    "MethodSummary",
    "Result",
    "ResultsSummary",
    "critical_difference",
    "mean_effect_interval",
    "sign_test",
    "summarize_results",
]
