"""Render the page of a board: one static file with its own scripts and no network access.

Its Content-Security-Policy allows only the scripts rendered here, by digest, so that no text of a
data set, model or board can run as a script. Such text is inserted as text only: escaped by the
template, or as data that the scripts assign to the text of elements.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fgbench._version import __version__
from fgbench.coordinates import dose_text
from fgbench.numbers import date
from fgbench.report.additions import additions_text
from fgbench.report.columns import board_columns, controls_of, diagram_columns, packed
from fgbench.report.fidelity import fidelity_columns
from fgbench.report.notes import noted
from fgbench.report.plain_tables import static_columns, static_sections
from fgbench.report.reliability import NOTHING_STORED
from fgbench.report.verdict_panel import verdict_panel
from fgbench.report.view import CAPTION, Names

if TYPE_CHECKING:
    import jinja2

    from fgbench.calibration.pooling import PooledDiagram
    from fgbench.leaderboard.models import Entry, Leaderboard, Provenance
    from fgbench.report.diagnostics import GeneratorSummary
    from fgbench.report.samples import Samples, SampleSet

MAX_NOTES, MAX_GENERATIONS, MAX_PROVENANCES = 30, 100, 20
"""How many of each the page lists; the rows of the entries have all of them."""

_LIBRARIES = ("vendor/d3.min.js", "vendor/plot.umd.min.js")
_MODULES = ("dom.js", "model.js", "table.js", "details.js", "charts.js", "page.js")
_EVALUATION_MODULES = ("dom.js", "charts.js", "evaluation.js")


@dataclass(frozen=True)
class Page:
    """A page's HTML, and the reasons why entries of a run have no reliability diagram."""

    html: str
    undrawn: tuple[str, ...]


def render(
    board: Leaderboard,
    folder: Path,
    *,
    kind: Literal["report", "board"],
    samples: Samples,
    summaries: Sequence[GeneratorSummary] = (),
    failures: Sequence[dict[str, str]] = (),
) -> Page:
    """Return the page; the predictions of the board's entries are read from `folder`."""
    scripts = _scripts(_MODULES)
    names = Names(board.entries)
    notes = noted(board.entries)
    generations, provenances = _generations(board, names), _provenances(board)
    anchors = {entry: item.anchor for item in samples.sets for entry in item.entries}
    columns = board_columns(board, folder, anchors)
    columns["fidelities"] = fidelity_columns(
        {item.anchor: item.fidelities for item in samples.sets}
    )
    html = (
        _environment()
        .get_template("page.html")
        .render(
            board=board,
            kind=kind,
            created=date(board.created),
            version=__version__,
            policy=_policy(scripts),
            style=_static("page.css"),
            scripts=scripts,
            data=base64.b64encode(packed(columns)).decode("ascii"),
            columns=static_columns(board),
            caption=CAPTION,
            verdict=verdict_panel(board),
            controls=controls_of(board.entries),
            sections=static_sections(board),
            notes=notes[:MAX_NOTES],
            omitted_notes=max(0, len(notes) - MAX_NOTES),
            sample_sets=[(item, _classifiers(board, names, item)) for item in samples.sets],
            omitted_sample_sets=samples.omitted,
            summaries=summaries,
            generations=generations[:MAX_GENERATIONS],
            additions=additions_text,
            omitted_generations=max(0, len(generations) - MAX_GENERATIONS),
            failures=failures,
            provenances=provenances[:MAX_PROVENANCES],
            omitted_provenances=max(0, len(provenances) - MAX_PROVENANCES),
        )
    )
    undrawn = columns["diagrams"]["problems"]
    return Page(html, tuple(problem for problem in undrawn if problem != NOTHING_STORED))


def render_evaluation(title: str, table: str, label: str, axis: str, pooled: PooledDiagram) -> str:
    """Return the page of one set of predictions: the table, which is HTML, and the diagram."""
    scripts = _scripts(_EVALUATION_MODULES)
    return (
        _environment()
        .get_template("evaluation.html")
        .render(
            title=title,
            table=table,
            version=__version__,
            policy=_policy(scripts),
            style=_static("page.css"),
            scripts=scripts,
            diagram={"label": label, **diagram_columns(pooled, axis)},
        )
    )


def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("fgbench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _scripts(modules: Sequence[str]) -> list[str]:
    """Return a page's scripts: the libraries, and fgbench's own as one module."""
    return [
        *(_static(name) for name in _LIBRARIES),
        "\n".join(_static(name) for name in modules),
    ]


def _static(name: str) -> str:
    return (files("fgbench.report") / "static" / name).read_text("utf-8")


def _policy(scripts: Sequence[str]) -> str:
    """Return a Content-Security-Policy that allows these scripts and inline styles only."""
    digests = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in scripts
    )
    return (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'"
    )


def _classifiers(board: Leaderboard, names: Names, samples: SampleSet) -> str:
    """Return the classifiers of the board's entries that were trained on the samples."""
    users = [entry for entry in board.entries if entry.id in samples.entries]
    return ", ".join(sorted({names.short("classifier", entry.classifier) for entry in users}))


def _generations(board: Leaderboard, names: Names) -> list[tuple[str, Entry]]:
    """Return one entry per generating arm; its calibrators share the same samples."""
    generations: dict[str, tuple[str, Entry]] = {}
    for entry in board.entries:
        if entry.synthetic is not None:
            key = entry.without("calibrator")
            generations.setdefault(key, (_generation_title(entry, names), entry))
    return list(generations.values())


def _generation_title(entry: Entry, names: Names) -> str:
    parts = [names.dataset(entry.dataset), names.short("classifier", entry.classifier), entry.arm]
    if entry.generator is not None:
        parts.append(
            f"{names.short('generator', entry.generator)}, {entry.bins} bins{dose_text(entry.dose)}"
        )
    return " · ".join(parts)


def _provenances(board: Leaderboard) -> list[tuple[Provenance, int]]:
    """Return the distinct environments of the entries, and the number of entries of each."""
    provenances: dict[str, tuple[Provenance, int]] = {}
    for entry in board.entries:
        shared = entry.provenance.model_copy(update={"wall_seconds": None, "notes": []})
        key = shared.model_dump_json()
        provenances[key] = (shared, provenances.get(key, (shared, 0))[1] + 1)
    return list(provenances.values())
