"""Both parts pass fgbench's conformance checks."""

import pytest
from fgbench_weather.clause_swap import ClauseSwap
from fgbench_weather.notes import WeatherNotes

from fgbench.testing import check_dataset, check_generator


@pytest.mark.parametrize("clarity", [0.0, 0.5, 1.0])
def test_dataset_conforms(clarity):
    """The data set conforms at any clarity."""
    check_dataset(WeatherNotes(clarity=clarity))


def test_generator_conforms():
    """The generator conforms on the notes."""
    check_generator(ClauseSwap(), WeatherNotes())
