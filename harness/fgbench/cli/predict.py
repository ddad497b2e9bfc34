"""`fgbench predict`: classify new texts with the model of a finished run."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fgbench.cli.consent import consent_options
from fgbench.cli.console import json_text
from fgbench.cli.options import load_registry, plugin_option, store_option

if TYPE_CHECKING:
    from fgbench.runs.consent import Consent

_BATCH_SIZE = 1024


@click.command("predict")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--cell", required=True, metavar="ID", help="Id of a leaderboard entry, or its beginning."
)
@click.option("--seed", type=int, help="A seed of the entry [default: the first one].")
@store_option
@plugin_option
@consent_options
def predict(
    run: Path,
    cell: str,
    seed: int | None,
    store: str | None,
    plugins: tuple[str, ...],
    consent: Consent,
) -> None:
    """Classify standard input, one text per line, with a model of the finished run in RUN.

    Prints one JSON object per line: the predicted class and the probability of each class, after
    the entry's calibrator. For numeric data sets, a line contains comma-separated features.
    """
    from fgbench.runs.predict import Predictor, parse_inputs
    from fgbench.store import Store, default_store

    registry = load_registry(plugins)
    artifacts = Store(Path(store) if store else default_store())
    predictor = Predictor.of_run(run, cell, seed, artifacts, registry, consent)
    lines = (line.rstrip("\r\n") for line in sys.stdin)
    done = 0
    while batch := list(islice(lines, _BATCH_SIZE)):
        inputs = parse_inputs(batch, is_text=predictor.is_text, first_line=done + 1)
        done += len(batch)
        for row in predictor.probabilities(inputs).tolist():
            best = max(range(len(row)), key=row.__getitem__)
            prediction = {
                "label": predictor.label_names[best],
                "probabilities": dict(zip(predictor.label_names, row, strict=True)),
            }
            click.echo(json_text(prediction))
