"""The commands `fgbench ablation` and `fgbench grid`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

import click

_output_option = click.option(
    "-o",
    "--output",
    metavar="FILE",
    default="-",
    type=click.File("w", encoding="utf-8", lazy=True, atomic=True),
    help="Where to write [default: standard output].",
)


@click.command("ablation")
@click.argument("sources", metavar="RUN…", nargs=-1, required=True, type=click.Path(path_type=Path))
@_output_option
@click.option(
    "--llm",
    metavar="NAME",
    default="llm",
    help="The classifier that is the language model [default: llm].",
)
@click.option(
    "--ece",
    metavar="METRIC",
    help="Which ECE [default: ece_positive where all entries have it, else ece].",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of tables.")
def ablation(
    sources: tuple[Path, ...], output: IO[str], llm: str, ece: str | None, as_json: bool
) -> None:
    """Correlate an LLM's accuracy and ECE with the gains from its texts.

    RUN… are run folders and boards that hold the baseline of a language model as few-shot
    classifier, and the synthesis arms of other classifiers on the same data sets.

    Source: Ba, Mancenido and Pan (EMNLP 2024), section 4.6 and Table 5.
    """
    from fgbench_plugins.studies.ablation import read_entries, self_calibration, to_value
    from fgbench_plugins.studies.ablation_text import ablation_text

    series = self_calibration(read_entries(sources), llm=llm, ece=ece)
    if as_json:
        value = to_value(series)
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    else:
        text = ablation_text(series)
    output.write(text)


@click.command("grid")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@_output_option
def grid(run: Path, output: IO[str]) -> None:
    """Measure every entry before and after temperature scaling, and write CSV.

    RUN is a run folder or a board. There are 45 binned errors and seven other measurements of each
    entry without calibrator ("before") and of each with temperature scaling ("after"), by seed.

    Source: Tao et al. 2024 (arXiv 2308.11838).
    """
    from fgbench import read_board
    from fgbench_plugins.studies.measurement_grid import STAGES, grid_csv, in_grid

    board = read_board(run)
    output.write(grid_csv(board, run if run.is_dir() else run.parent))
    calibrators = {entry.calibrator.name for entry in in_grid(board)}
    for calibrator, stage in STAGES.items():
        if calibrator not in calibrators:
            click.echo(f'No "{stage}" rows: the run has no calibrator {calibrator!r}.', err=True)
