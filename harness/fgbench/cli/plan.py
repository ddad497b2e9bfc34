"""`fgbench plan`: what a run would do."""

from __future__ import annotations

from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fgbench.cli.consent import consent_options
from fgbench.cli.console import console, json_text
from fgbench.cli.options import (
    build_suite,
    folder_lines,
    load_registry,
    matrix_options,
    refusal_lines,
    repeated_rows_lines,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.table import Table

    from fgbench.plan.forecast import Forecast
    from fgbench.plan.plan import Plan
    from fgbench.plan.power import PlannedPower
    from fgbench.plugins.registry import Registry
    from fgbench.runs.consent import Consent
    from fgbench.store import Artifact
    from fgbench.usage import Usage


@click.command("plan")
@matrix_options
@click.option(
    "--pilot", metavar="BOARD", type=click.Path(path_type=Path),
    help="Simulate power from this board's predictions [default: stored ones].",
)  # fmt: skip
@click.option(
    "--no-power", is_flag=True, help="Skip the power simulation (about a second per data set)."
)
@consent_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def plan(
    suite_file: str | None,
    skip_incompatible: bool,
    data_dir: str | None,
    store: str | None,
    plugins: tuple[str, ...],
    consent: Consent,
    pilot: Path | None,
    no_power: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Show the cells and stages of a run, what it will generate, and what it can detect.

    Takes the same suite and options as `fgbench run`; runs nothing. The smallest detectable
    difference is simulated from predictions of a board (--pilot), else from those that are stored,
    else from assumptions that are shown.
    """
    from fgbench.cards import DataFolder
    from fgbench.plan.forecast import forecast
    from fgbench.plan.plan import find_stored, make_plan
    from fgbench.store import Store, default_store

    registry = load_registry(plugins)
    suite = build_suite(suite_file, skip_incompatible, options, consent, registry)
    folder = DataFolder.from_environment(data_dir)
    planned = make_plan(suite, registry, folder)
    for line in folder_lines(folder):
        click.echo(line, err=True)
    opened = Store(Path(store) if store else default_store())
    stored = find_stored(planned, opened, mark=False)
    outlook = forecast(planned, stored, registry)
    powers = [] if no_power else _powers(planned, stored, pilot, registry)
    if as_json:
        click.echo(json_text(_as_value(planned, outlook, powers), indent=2))
        return

    from fgbench.plan.power import power_lines

    output = console()
    output.print(_data_table(planned))
    for line in power_lines(powers):
        output.print(line, highlight=False, markup=False)
    output.print(_stage_table(outlook))
    lines = (
        repeated_rows_lines(planned),
        _usage_lines(outlook),
        refusal_lines(planned.refusals),
    )
    for line in chain(*lines):
        output.print(line, highlight=False)


def _powers(
    planned: Plan, stored: Mapping[str, Artifact], pilot: Path | None, registry: Registry
) -> list[PlannedPower]:
    """Simulate the power; refuse a pilot that has none of the plan's settings."""
    from fgbench.errors import ConfigurationError
    from fgbench.leaderboard.bundled import board_path
    from fgbench.leaderboard.pilots import pilot_predictions
    from fgbench.plan.power import planned_power

    if pilot is None:
        return planned_power(planned, stored, {})
    pilots = pilot_predictions(board_path(pilot, registry))
    wanted = {
        (cell.dataset.part.name, cell.classifier.name): cell.dataset.dataset.n_classes
        for cell in planned.cells
    }
    if not wanted.keys() & pilots.keys():
        known = "; ".join(" with ".join(names) for names in sorted(pilots))
        raise ConfigurationError(
            f"--pilot {pilot}: none of the plan's data sets with its classifier. It has {known}."
        )
    for names in wanted.keys() & pilots.keys():
        classes = pilots[names][0][0][0].n_classes
        if classes != wanted[names]:
            raise ConfigurationError(
                f"--pilot {pilot}: {names[0]} has {classes} classes there and {wanted[names]} here."
            )
    return planned_power(planned, stored, pilots)


def _as_value(planned: Plan, outlook: Forecast, powers: Sequence[PlannedPower]) -> dict[str, Any]:
    """Return the plan, its forecast and its power as JSON values."""
    return planned.to_value() | {
        "power": [
            {
                "dataset": power.dataset,
                "classifier": power.classifier,
                "loss": power.loss,
                "test_rows": power.rows,
                "distinct_test_rows": power.detection.rows,
                "seeds": power.detection.seeds,
                "detectable_ece_difference": power.detection.difference,
                "further_seeds": power.detection.further_seeds,
                "detectable_with_further_seeds": power.detection.further,
                "pilot": power.detection.source,
            }
            for power in powers
        ],
        "cached": {stage: count.cached for stage, count in outlook.stages.items()},
        "generation_requests": {
            "known": outlook.requests_known,
            "at_most": outlook.requests_at_most,
            "by_generator": outlook.generators,
        },
        "expected_usage": {
            generator: {
                "first_round": asdict(usage),
                "at_most": asdict(outlook.usage_at_most(generator)),
            }
            for generator, usage in outlook.usage.items()
        },
        "expected_classifying": {
            classifier: asdict(usage) for classifier, usage in outlook.classifying.items()
        },
    }


def _data_table(planned: Plan) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=f"{planned.run_id}: {len(planned.cells)} cells")
    for column in ("data set", "classes", "train", "validation", "test"):
        table.add_column(column, justify="left" if column == "data set" else "right")
    for item in planned.resolved.datasets:
        splits = item.dataset.splits
        sizes = [f"{len(splits[name]):,}" for name in ("train", "validation", "test")]
        label = Text(item.label, overflow="fold")  # it may contain brackets, which are no markup
        table.add_row(label, str(item.dataset.n_classes), *sizes)
    return table


def _stage_table(outlook: Forecast) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in ("stage", "all", "stored", "to run"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage, count in outlook.stages.items():
        table.add_row(
            stage, *(f"{n:,}" for n in (count.total, count.cached, count.total - count.cached))
        )
    return table


def _usage_lines(outlook: Forecast) -> Iterator[str]:
    """Yield what generators and classifiers will ask for, a line each."""
    bound = "at most " if outlook.requests_at_most else ""
    for generator, requests in sorted(outlook.generators.items()):
        yield (
            f"Generator {generator}: {bound}{requests:,} requests in the first round, "
            f"up to {outlook.rounds} rounds."
        )
        usage = outlook.usage[generator]
        if usage.prompt_tokens or usage.completion_tokens:
            most = outlook.usage_at_most(generator)
            yield (
                f"  about {_usage(usage)} in the first round, {_usage(most)} if all rounds are as "
                "large; stored answers are free."
            )
    for classifier, usage in sorted(outlook.classifying.items()):
        yield f"Classifier {classifier}: about {_usage(usage)}."


def _usage(usage: Usage) -> str:
    cost = f", ${usage.cost_usd:,.2f}" if usage.cost_usd else ""
    return (
        f"{usage.requests:,} calls, {usage.prompt_tokens:,} prompt and "
        f"{usage.completion_tokens:,} completion tokens{cost}"
    )
