"""The conformance kit for plugin authors: does a part keep the contract of its interface?

    from fgbench.testing import check_calibrator

    def test_contract():
        check_calibrator(HistogramBinning(bins=10))

Each check raises `PluginError` with one sentence on the first promise that is broken, and returns
None when all are kept. The promises are those that results stand on: the same seed gives the same
answer, the order of a batch plays no part, labels that are withheld stay unknown, what goes into a
stage's key is JSON.
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
