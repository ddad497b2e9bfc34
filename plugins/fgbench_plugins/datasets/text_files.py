"""Reading text and CSV files as numbered lines and records; errors name file and line."""

from __future__ import annotations

import codecs
import csv
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TextIO

from fgbench import Card, DataError, DataFolder, open_file

_CORRUPT_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
_MAX_LINE = 1 << 26
"""Characters of a line, or of a field of CSV."""

DELIMITERS = (",", ";", "\t", "|")
"""The delimiters that files are usually written with."""


@dataclass(frozen=True)
class TextFile:
    """A text file, plain or in a zip archive, which is streamed, not extracted.

    `where` names it in errors; `open` opens it as binary. A byte order mark at the start is
    dropped.
    """

    where: str
    open: Callable[[ExitStack], BinaryIO]
    encoding: str = "utf-8"
    errors: str = "strict"

    @classmethod
    def of_source(cls, folder: DataFolder, card: Card, key: str) -> TextFile:
        """Return a source of a card from `folder`, with the encoding of the card."""
        path = folder.path(card, key)
        source = card.source(key)
        if source.archive_member is None:
            return cls.of_path(
                path, f"datasets/{card.name}: {path.name}", card.encoding, card.errors
            )
        member = source.archive_member
        where = f"datasets/{card.name}: {path.name}/{member}"
        return cls(
            where,
            lambda stack: _open_member(stack, path, member, where),
            card.encoding,
            card.errors,
        )

    @classmethod
    def of_path(
        cls, path: Path, where: str, encoding: str = "utf-8", errors: str = "strict"
    ) -> TextFile:
        """Return the file at `path`."""
        return cls(where, lambda stack: stack.enter_context(open_file(path)), encoding, errors)

    def error(self, line: int, problem: str) -> DataError:
        """Return the error for a malformed line; lines are counted from 1."""
        return DataError(f"{self.where} line {line}: {problem}")

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield line number and line without its end; only LF and CRLF end a line."""
        with self.text(newline="\n") as stream:
            for number, line in enumerate(self._lines_of(stream), start=1):
                yield number, line.removesuffix("\n").removesuffix("\r")

    def records(self, stream: TextIO, delimiter: str) -> Any:
        """Return a CSV reader of a stream of `text`."""
        csv.field_size_limit(_MAX_LINE)  # process-wide; fgbench does not rely on a lower one
        return csv.reader(self._lines_of(stream), delimiter=delimiter, strict=True)

    def _lines_of(self, stream: TextIO) -> Iterator[str]:
        number = 1
        while line := stream.readline(_MAX_LINE + 1):
            if len(line) > _MAX_LINE:
                raise self.error(number, f"more than {_MAX_LINE:,} characters.")
            yield line
            number += 1

    @contextmanager
    def text(self, newline: str) -> Iterator[TextIO]:
        """Open as text; raises `DataError` if the content cannot be decoded or decompressed."""
        with ExitStack() as stack:
            try:
                stream = io.TextIOWrapper(
                    self.open(stack),
                    encoding=_bom_aware(self.encoding),
                    errors=self.errors,
                    newline=newline,
                )
                yield stream
            except UnicodeDecodeError as error:
                raise self.error(
                    self._undecodable_line(),
                    f"byte 0x{error.object[error.start]:02X} is not valid {self.encoding}; set "
                    "encoding= to the encoding of the file, or convert the file.",
                ) from None
            except UnicodeError as error:
                raise DataError(
                    f"{self.where}: not valid {self.encoding} ({error}); set encoding= to the "
                    "encoding of the file, or convert the file."
                ) from None
            except _CORRUPT_ARCHIVE as error:
                raise DataError(f"{self.where}: corrupt archive ({error}).") from error
            except OSError as error:
                raise DataError(
                    f"{self.where}: cannot be read ({error.strerror or error})."
                ) from error

    def _undecodable_line(self) -> int:
        decoder = codecs.getincrementaldecoder(_bom_aware(self.encoding))()
        line = 1
        with ExitStack() as stack:
            stream = self.open(stack)
            while chunk := stream.read(1 << 16):
                try:
                    line += decoder.decode(chunk).count("\n")
                except UnicodeDecodeError as error:
                    before = error.object[: error.start]
                    with suppress(UnicodeError):  # some codecs cannot ignore errors
                        line += before.decode(self.encoding, "ignore").count("\n")
                    return line
        return line


def csv_records(
    file: TextFile, columns: Sequence[str] | int, *, delimiter: str = ","
) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line number and the fields of each record.

    `columns` lists the columns to return, in this order, of a file with a header, or is the number
    of columns of a file without a header. Blank lines are skipped. Raises `DataError` for a record
    with a wrong number of fields, a missing column or an unclosed quote.
    """
    with file.text(newline="") as stream:
        reader = file.records(stream, delimiter)
        line = 1
        indices: list[int] | None = None
        width = columns if isinstance(columns, int) else 0
        try:
            for record in reader:
                first, line = line, reader.line_num + 1
                if not record:
                    continue
                if indices is None and not isinstance(columns, int):
                    indices, width = _header(file, first, record, columns), len(record)
                    continue
                if len(record) != width:
                    raise file.error(
                        first, f"has {_count(len(record), 'column')} instead of {width}."
                    )
                yield first, record if indices is None else [record[i] for i in indices]
        except csv.Error as error:
            raise file.error(line, f"not valid CSV ({error}).") from None
        if indices is None and not isinstance(columns, int):
            raise file.error(1, f"missing header: {', '.join(columns)}.")


def delimiter_name(delimiter: str) -> str:
    """Return a delimiter as it is written in messages and suites."""
    return "tab" if delimiter == "\t" else delimiter


def _header(file: TextFile, line: int, record: list[str], columns: Sequence[str]) -> list[int]:
    """Return the positions of the columns; errors do not quote the file, which may be any."""
    names = [name.strip() for name in record]
    for column in columns:
        if column not in names:
            raise file.error(
                line,
                f"no column {column!r} in the header of {_count(len(names), 'column')}."
                f"{_delimiter_hint(record)}",
            )
        if names.count(column) > 1:
            raise file.error(line, f"duplicate column {column!r} in the header.")
    return [names.index(column) for column in columns]


def _delimiter_hint(record: list[str]) -> str:
    """Return a hint at another delimiter, if a header is one column that contains one."""
    found = [item for item in DELIMITERS if len(record) == 1 and item in record[0]]
    return f" Try delimiter={delimiter_name(found[0])}." if found else ""


def _open_member(stack: ExitStack, path: Path, member: str, where: str) -> BinaryIO:
    """Open the member with that name, in any folder and with or without `.csv`."""
    archive = stack.enter_context(zipfile.ZipFile(path))
    names = [
        name
        for name in archive.namelist()
        if not name.endswith("/") and "__MACOSX" not in PurePosixPath(name).parts
    ]
    matching = [name for name in names if PurePosixPath(name).name in (member, f"{member}.csv")]
    if len(matching) != 1:
        content = ", ".join(names[:5]) or "no files"
        raise DataError(
            f"{where}: expected exactly one such file in the archive, which contains {content}."
        )
    return stack.enter_context(archive.open(matching[0]))  # type: ignore[return-value]


def _bom_aware(encoding: str) -> str:
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
