"""The page of a board: static and self-contained, with scripts of its own and no network.

Its Content-Security-Policy lets run just the scripts that are written here, by their digests: not
what a text of a data set, of a model or of a board might smuggle in. All such text comes in as
text: escaped by the template, or as data that the scripts set as the text of elements.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fgbench import __version__
from fgbench.digests import digest
from fgbench.leaderboard.models import identity
from fgbench.leaderboard.notes import noted
from fgbench.leaderboard.view import CAPTION, REAL_TITLE, SYMBOLS, Names
from fgbench.report.columns import board_columns, packed
from fgbench.report.fidelity import fidelity_columns
from fgbench.report.reliability import NOTHING_STORED
from fgbench.report.results import static_columns, static_sections

if TYPE_CHECKING:
    from fgbench.leaderboard.models import Entry, Leaderboard, Provenance
    from fgbench.report.diagnostics import GeneratorSummary
    from fgbench.report.samples import Samples, SampleSet

MOST_NOTES, MOST_GENERATIONS, MOST_PROVENANCES = 30, 100, 20
"""As many of each are listed; the rows of the entries hold the same."""

_LIBRARIES = ("vendor/d3.min.js", "vendor/plot.umd.min.js")
_MODULES = ("dom.js", "model.js", "table.js", "details.js", "charts.js", "page.js")


@dataclass(frozen=True)
class Page:
    """A page's HTML, and why entries that were run have no reliability diagram on it."""

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
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fgbench.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scripts = _scripts()
    names = Names(board.entries)
    notes = noted(board.entries)
    generations, provenances = _generations(board, names), _provenances(board)
    places = {entry: each.anchor for each in samples.sets for entry in each.entries}
    columns = board_columns(board, folder, places)
    columns["fidelities"] = fidelity_columns(
        {each.anchor: each.fidelities for each in samples.sets}
    )
    html = environment.get_template("page.html").render(
        board=board,
        kind=kind,
        version=__version__,
        policy=_policy(scripts),
        style=_static("page.css"),
        scripts=scripts,
        data=base64.b64encode(packed(columns)).decode("ascii"),
        columns=static_columns(board),
        caption=CAPTION,
        real_title=REAL_TITLE,
        symbols=SYMBOLS,
        sections=static_sections(board),
        notes=notes[:MOST_NOTES],
        more_notes=max(0, len(notes) - MOST_NOTES),
        sample_sets=[(each, _classifiers(board, names, each)) for each in samples.sets],
        omitted_sample_sets=samples.omitted,
        summaries=summaries,
        generations=generations[:MOST_GENERATIONS],
        more_generations=max(0, len(generations) - MOST_GENERATIONS),
        failures=failures,
        provenances=provenances[:MOST_PROVENANCES],
        more_provenances=max(0, len(provenances) - MOST_PROVENANCES),
    )
    undrawn = columns["diagrams"]["problems"]
    return Page(html, tuple(problem for problem in undrawn if problem != NOTHING_STORED))


def _scripts() -> list[str]:
    """Return the texts of the page's scripts: the libraries, and ours as one module."""
    return [
        *(_static(name) for name in _LIBRARIES),
        "\n".join(_static(name) for name in _MODULES),
    ]


def _static(name: str) -> str:
    return (files("fgbench.report") / "static" / name).read_text("utf-8")


def _policy(scripts: Sequence[str]) -> str:
    """Return a Content-Security-Policy that allows these scripts, styles, and nothing else."""
    allowed = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in scripts
    )
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'"
    )


def _classifiers(board: Leaderboard, names: Names, samples: SampleSet) -> str:
    """Return whose bins the samples are of, as far as the board has it."""
    users = [entry for entry in board.entries if entry.id in samples.entries]
    return ", ".join(sorted({names.short("classifier", entry.classifier) for entry in users}))


def _generations(board: Leaderboard, names: Names) -> list[tuple[str, Entry]]:
    """Return one entry of each generating arm: its calibrators stand on the same samples."""
    found: dict[str, tuple[str, Entry]] = {}
    for entry in board.entries:
        if entry.synthetic is not None:
            coordinates = identity(entry)
            del coordinates["calibrator"]
            found.setdefault(digest(coordinates), (_generation_title(entry, names), entry))
    return list(found.values())


def _generation_title(entry: Entry, names: Names) -> str:
    parts = [names.dataset(entry.dataset), names.short("classifier", entry.classifier), entry.arm]
    if entry.generator is not None:
        parts.append(f"{names.short('generator', entry.generator)}, {entry.bins} bins")
    return " · ".join(parts)


def _provenances(board: Leaderboard) -> list[tuple[Provenance, int]]:
    """Return the distinct circumstances of the entries, and how many were made in each."""
    found: dict[str, tuple[Provenance, int]] = {}
    for entry in board.entries:
        alike = entry.provenance.model_copy(update={"wall_seconds": None, "notes": []})
        key = alike.model_dump_json()
        found[key] = (alike, found.get(key, (alike, 0))[1] + 1)
    return list(found.values())
