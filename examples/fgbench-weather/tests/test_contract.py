"""Both parts keep fgbench's contract."""

import pytest
from fgbench_weather.clause_swap import ClauseSwap
from fgbench_weather.notes import WeatherNotes

from fgbench.testing import check_dataset, check_generator


@pytest.mark.parametrize("clarity", [0.0, 0.5, 1.0])
def test_the_data_set(clarity):
    """However clear the notes are."""
    check_dataset(WeatherNotes(clarity=clarity))


def test_the_generator():
    """On the notes, as on any texts."""
    check_generator(ClauseSwap(), WeatherNotes())
