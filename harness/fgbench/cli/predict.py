"""`fgbench predict`: classify new texts with the model of a finished run."""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path

import click

from fgbench.cli.options import load_registry, plugin_option, store_option

_AT_ONCE = 1024


@click.command("predict")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--cell", required=True, metavar="ID", help="Id of a leaderboard entry, or its start."
)
@click.option("--seed", type=int, help="Which of the entry's seeds [default: its first].")
@store_option
@plugin_option
def predict(
    run: Path, cell: str, seed: int | None, store: str | None, plugins: tuple[str, ...]
) -> None:
    """Classify standard input, one text a line, with a model of the finished run in RUN.

    Prints a JSON object a line: the class and the probability of each class, calibrated as the
    entry is. For data sets of numbers a line holds the features, with commas between them.
    """
    from fgbench.runs.predict import Predictor, parse_inputs
    from fgbench.store import Store, default_store

    registry = load_registry(plugins)
    place = Store(Path(store) if store else default_store())
    predictor = Predictor.of_run(run, cell, seed, place, registry)
    lines = (line.rstrip("\r\n") for line in sys.stdin)
    done = 0
    while batch := list(islice(lines, _AT_ONCE)):
        inputs = parse_inputs(batch, is_text=predictor.is_text, first_line=done + 1)
        done += len(batch)
        for row in predictor.probabilities(inputs).tolist():
            best = max(range(len(row)), key=row.__getitem__)
            answer = {
                "label": predictor.label_names[best],
                "probabilities": dict(zip(predictor.label_names, row, strict=True)),
            }
            click.echo(json.dumps(answer, ensure_ascii=False))
