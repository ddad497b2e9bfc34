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
from fgbench.numbers import number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from fgbench.plan.forecast import Forecast
    from fgbench.plan.plan import Plan
    from fgbench.runs.consent import Consent
    from fgbench.usage import Usage


@click.command("plan")
@matrix_options
@consent_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def plan(
    suite_file: str | None,
    skip_incompatible: bool,
    data_dir: str | None,
    store: str | None,
    plugins: tuple[str, ...],
    consent: Consent,
    as_json: bool,
    **options: Any,
) -> None:
    """Show the cells and stages of a run, which of them are stored, and what it will generate.

    Takes the same suite and options as `fgbench run`; runs nothing.
    """
    from fgbench.cards import DataFolder
    from fgbench.plan.forecast import forecast
    from fgbench.plan.plan import make_plan
    from fgbench.store import Store, default_store

    registry = load_registry(plugins)
    suite = build_suite(suite_file, skip_incompatible, options, consent, registry)
    folder = DataFolder.from_environment(data_dir)
    planned = make_plan(suite, registry, folder)
    for line in folder_lines(folder):
        click.echo(line, err=True)
    outlook = forecast(planned, Store(Path(store) if store else default_store()), registry)
    if as_json:
        click.echo(json_text(_as_value(planned, outlook), indent=2))
        return

    output = console()
    output.print(_data_table(planned))
    output.print(
        "resolves: minimum detectable ECE difference (80 % power, α = 0.05 before Holm's "
        "adjustment, worst case). Pairing and confident predictions make it smaller.",
        highlight=False,
    )
    output.print(_stage_table(outlook))
    lines = (
        repeated_rows_lines(planned),
        _usage_lines(outlook),
        refusal_lines(planned.refusals),
    )
    for line in chain(*lines):
        output.print(line, highlight=False)


def _as_value(planned: Plan, outlook: Forecast) -> dict[str, Any]:
    """Return the plan and its forecast as JSON values."""
    from fgbench.calibration import resolvable_difference

    return planned.to_value() | {
        "resolvable_ece_difference": {
            item.part.label: resolvable_difference(len(item.dataset.splits["test"]))
            for item in planned.resolved.datasets
        },
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

    from fgbench.calibration import resolvable_difference

    table = Table(box=box.SIMPLE_HEAD, title=f"{planned.run_id}: {len(planned.cells)} cells")
    for column in ("data set", "classes", "train", "validation", "test", "resolves"):
        table.add_column(column, justify="left" if column == "data set" else "right")
    for item in planned.resolved.datasets:
        splits = item.dataset.splits
        sizes = [f"{len(splits[name]):,}" for name in ("train", "validation", "test")]
        resolved = number(resolvable_difference(len(splits["test"])))
        label = Text(item.label, overflow="fold")  # it may contain brackets, which are no markup
        table.add_row(label, str(item.dataset.n_classes), *sizes, resolved)
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
