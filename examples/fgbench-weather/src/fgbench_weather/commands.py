"""`fgbench weather-sample`: look at the texts of the data set."""

import click


@click.command("weather-sample")
@click.option("-n", "count", type=click.IntRange(min=1), default=5, help="How many [default: 5].")
@click.option("--clarity", type=click.FloatRange(0, 1), default=1.0, help="See weather-notes.")
def weather_sample(count: int, clarity: float) -> None:
    """Print the first training texts of weather-notes, each after its label."""
    from fgbench import DataFolder
    from fgbench_weather.notes import WeatherNotes

    dataset = WeatherNotes(clarity=clarity).load(DataFolder.from_environment())
    train = dataset.splits["train"]
    for text, label in list(zip(train.inputs, train.labels, strict=True))[:count]:
        click.echo(f"{dataset.label_names[label]}\t{text}")
