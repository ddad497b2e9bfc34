"""The command `fgbench init`: a suite for a file of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

_JSON_LINES = (".jsonl", ".ndjson")
_KEYS = (
    "name",
    "path",
    "validation",
    "test",
    "text",
    "label",
    "split",
    "delimiter",
    "encoding",
    "drop_invalid",
)
"""The keys of the data set's table, in the order in which they are written."""

_COMMENT = """\
# Written by fgbench init. The path is relative to the folder that fgbench is started in.
# More keys of this table: labels, descriptions, task, split_seed. More axes: see docs/index.md.

"""


@click.command("init")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--text", metavar="COLUMN", help="Column of the texts [default: guessed].")
@click.option("--label", metavar="COLUMN", help="Column of the labels [default: guessed].")
@click.option("--test", type=click.Path(path_type=Path), help="File with the test split.")
@click.option(
    "--validation", type=click.Path(path_type=Path), help="File with the validation split."
)
@click.option("--delimiter", metavar="D", help="Delimiter, or tab [default: guessed].")
@click.option("--encoding", metavar="NAME", help="Encoding [default: guessed].")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Suite [default: NAME.toml].")
@click.option("--force", is_flag=True, help="Overwrite an existing suite.")
def init(
    file: Path,
    text: str | None,
    label: str | None,
    test: Path | None,
    validation: Path | None,
    delimiter: str | None,
    encoding: str | None,
    output: Path | None,
    force: bool,
) -> None:
    """Write a suite for a CSV or JSON Lines FILE, for `fgbench run`.

    Delimiter, encoding and columns are guessed and shown, with the first rows and the number of
    rows of each label.
    """
    from fgbench import ConfigurationError, trust

    target = output or Path(f"{file.stem}.toml")
    if target.resolve() == file.resolve():
        raise ConfigurationError(f"{target} is the data file. Name the suite with -o FILE.")
    if target.exists() and not force:
        raise ConfigurationError(f"{target} exists. Use --force to overwrite it, or -o FILE.")
    asked = {
        "path": str(file),
        "text": text,
        "label": label,
        "test": str(test) if test else None,
        "validation": str(validation) if validation else None,
        "delimiter": delimiter,
        "encoding": encoding,
    }
    table = _described({key: value for key, value in asked.items() if value is not None})
    _write(target, table)
    trust(target)
    click.echo(f"Wrote {target}. Next: fgbench plan {target}, then fgbench run {target}")


def _described(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table of the data set, after showing what was guessed."""
    from fgbench import ConfigurationError, DataError
    from fgbench_plugins.datasets import guessing
    from fgbench_plugins.datasets.tabular import (
        CsvFile,
        JsonLinesFile,
        delimiter_of,
        known_encoding,
    )
    from fgbench_plugins.datasets.text_files import delimiter_name

    path = Path(asked["path"]).expanduser()
    if path.is_dir():
        raise DataError(f"{path}: is a folder. Name a CSV or JSON Lines file.")
    if path.suffix.lower() == ".parquet":
        raise DataError(f"{path}: parquet files are read by the data set hf:FOLDER.")
    is_json = path.suffix.lower() in _JSON_LINES
    table: dict[str, Any] = {"name": "jsonl" if is_json else "csv", **asked}
    given = delimiter_of(asked.get("delimiter"))
    if given is not None and len(given) != 1:
        raise ConfigurationError(f"--delimiter {given!r}: a delimiter is one character, or tab.")
    try:
        known_encoding(asked.get("encoding", "utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"--encoding {asked['encoding']!r}: {error}.") from None
    try:
        encoding = asked.get("encoding") or guessing.guess_encoding(path)
        facts = [f"encoding {encoding}"]
        if is_json:
            sample = guessing.read_jsonl_sample(path, encoding)
        else:
            delimiter, sample = guessing.read_csv_sample(path, encoding, given)
            facts.append(f"delimiter {delimiter_name(delimiter)}")
            table |= {} if delimiter == "," else {"delimiter": delimiter_name(delimiter)}
    except UnicodeError as error:
        raise DataError(f"{path}: not a text in the encoding {encoding!r}.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    roles = guessing.guess_roles(path, sample, asked.get("text"), asked.get("label"))
    table |= {"text": roles.text, "label": roles.label}
    table |= {} if encoding == "utf-8" else {"encoding": encoding}
    facts += [f"text {roles.text!r}", f"label {roles.label!r}"]
    if roles.split is not None and "test" not in asked:
        table["split"] = roles.split
        facts.append(f"split {roles.split!r}")
    click.echo(f"{path}: {', '.join(facts)}")
    for label, text in guessing.first_rows(sample, roles):
        click.echo(f"  {guessing.shortened(label, 20):<20}  {guessing.shortened(text, 70)}")
    _count(table, JsonLinesFile if is_json else CsvFile)
    return {key: table[key] for key in sorted(table, key=_KEYS.index)}


def _count(table: dict[str, Any], loader: Any) -> None:
    """Read the whole data set and show its sizes; invalid rows are dropped if there are any."""
    from fgbench import DataError, DataFolder
    from fgbench_plugins.datasets.guessing import counted

    folder = DataFolder.from_environment()
    parameters = {key: value for key, value in table.items() if key != "name"}
    try:
        dataset = loader.create(parameters, name=table["name"]).load(folder)
    except DataError:
        parameters["drop_invalid"] = table["drop_invalid"] = True
        dataset = loader.create(parameters, name=table["name"]).load(folder)
    labels = [
        dataset.label_names[label] for split in dataset.splits.values() for label in split.labels
    ]
    sizes = ", ".join(f"{name} {len(split):,}" for name, split in dataset.splits.items())
    click.echo(f"{len(labels):,} rows: {sizes}")
    click.echo(f"{dataset.n_classes} labels: {counted(labels)}")
    for line in [
        *(f"Note: {x}" for x in folder.notes),
        *(f"Warning: {x}" for x in folder.warnings),
    ]:
        click.echo(line)


def _write(target: Path, table: Mapping[str, Any]) -> None:
    import tomli_w

    from fgbench import ConfigurationError

    content = _COMMENT + tomli_w.dumps({"datasets": [table]})
    try:
        target.write_text(content, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{target}: cannot be written ({error.strerror}).") from error
