"""Weather notes, a clause-swapping generator and a command that prints notes, for fgbench."""

from fgbench import hookimpl


@hookimpl
def fgbench_datasets(register):
    """Register the data set."""
    register(
        "weather-notes",
        "fgbench_weather.notes:WeatherNotes",
        "An observer's notes: does it rain within three hours?",
    )


@hookimpl
def fgbench_generators(register):
    """Register the generator."""
    register(
        "clause-swap",
        "fgbench_weather.clause_swap:ClauseSwap",
        "Swaps clauses between texts of different classes",
    )


@hookimpl
def fgbench_commands(register):
    """Register the command."""
    register(
        "weather-sample",
        "fgbench_weather.commands:weather_sample",
        "Print weather notes with their labels.",
    )
