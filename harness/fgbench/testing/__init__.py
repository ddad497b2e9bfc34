"""The conformance kit for plugin authors: check that a part follows its interface's contract.

    from fgbench.testing import check_calibrator

    def test_contract():
        check_calibrator(HistogramBinning(bins=10))

Each check raises `PluginError` with one sentence on the first violation. The contracts are what
results depend on: equal seeds give equal results, the order of a batch has no effect, withheld
labels stay unknown, and whatever enters a stage's key is JSON.
"""

from fgbench.testing.calibrators import check_calibrator
from fgbench.testing.classifiers import check_classifier
from fgbench.testing.datasets import check_dataset
from fgbench.testing.generators import check_generator
from fgbench.testing.metrics import check_metric

__all__ = [
    "check_calibrator",
    "check_classifier",
    "check_dataset",
    "check_generator",
    "check_metric",
]
