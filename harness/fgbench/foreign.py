"""Reading files that somebody else may have written: boards, run folders, suites, cards, data.

Each reader opens regular files only, so that a FIFO does not block and a device is not read, checks
the size before it reads, and turns everything that malformed content can raise into the error of
the file's `Kind`: one sentence with the file and the place. None shows content in its errors, since
a suite or a board may name any file of its reader.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import struct
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NoReturn

from fgbench.errors import (
    ConfigurationError,
    CorruptArtifactError,
    DataError,
    FgbenchError,
    LeaderboardError,
    StoreError,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True)
class Kind:
    """A kind of file: its name with an article, the bytes it may have, and its error.

    `prefix` precedes its path in errors. The arrays of an archive may be `inflation` times larger
    than its file, as 64-bit numbers, and `free` bytes in any case.
    """

    name: str
    limit: int
    error: type[FgbenchError]
    prefix: str = ""
    inflation: int = 16
    free: int = 32 * MIB

    def problem(self, where: Path | str, problem: str) -> FgbenchError:
        """Return the error for a file."""
        return self.error(f"{self.prefix}{where}: {problem}")


BOARD = Kind("a leaderboard", 512 * MIB, LeaderboardError)
PREDICTIONS = Kind("a predictions file", 4 * GIB, CorruptArtifactError, inflation=4, free=64 * KIB)
"""Of a board: it is written uncompressed."""
ARRAYS = Kind("an .npz file of plain arrays", 4 * GIB, DataError)
TABLE = Kind("a table of predictions", GIB, DataError)
SAMPLES = Kind("a file of samples", GIB, DataError)
DIAGNOSTICS = Kind("a file of diagnostics", 64 * MIB, LeaderboardError)
INDEX = Kind("an index of a run", 64 * MIB, LeaderboardError)
RECEIPT = Kind("a receipt", 64 * MIB, StoreError)
EVENTS = Kind("a log of events", 256 * MIB, DataError)
SUITE = Kind("a suite", MIB, ConfigurationError, "suite ")
CARD = Kind("a card", MIB, DataError, "card ")
NOTE = Kind("a record of a download", 64 * KIB, DataError)
DATA = Kind("a data file", 64 * GIB, DataError)

MAX_INTEGER_DIGITS = 300
"""Of an integer in JSON: every shorter one has a finite floating-point value."""
MAX_DEPTH = 200
"""Of nested arrays and objects: what walks through them does not exceed Python's recursion."""
MAX_KEY_PARTS = 32
"""Of a dotted key in TOML: the parser takes quadratic time in them."""
MAX_ARRAYS = 32


def open_file(path: Path, kind: Kind = DATA, *, where: str | None = None) -> BinaryIO:
    """Open a file for reading, in binary; errors name it as `where` (default: its path).

    Raises the error of its kind for what cannot be a file of that kind: a missing file, anything
    but a regular file (those of `/proc` are none), and a file that is too large.
    """
    name = str(path) if where is None else where
    try:
        _require_regular(path.stat(), name, kind)
        # Without O_NONBLOCK, a FIFO that replaces the file now would block.
        stream = os.fdopen(os.open(path, os.O_RDONLY | _NONBLOCK), "rb")
    except FileNotFoundError:
        raise kind.problem(name, "no such file.") from None
    except OSError as error:
        raise _cannot_be_read(name, error, kind) from error
    except ValueError:
        raise kind.problem(repr(name), "not a valid path.") from None
    try:
        _require_size(stream, name, kind)
    except BaseException:
        stream.close()
        raise
    return stream


def read_bytes(path: Path, kind: Kind, *, where: str | None = None) -> bytes:
    """Return the content of a file; raise the error of its kind as `open_file` does."""
    name = str(path) if where is None else where
    with open_file(path, kind, where=where) as stream:
        try:
            return stream.read()
        except OSError as error:
            raise _cannot_be_read(name, error, kind) from error
        except MemoryError:
            raise kind.problem(name, "larger than the memory.") from None


def read_text(path: Path, kind: Kind) -> str:
    """Return the content of a UTF-8 file; raise the error of its kind for any other."""
    try:
        return read_bytes(path, kind).decode("utf-8")
    except UnicodeDecodeError as error:
        raise kind.problem(path, f"not UTF-8 text (byte {error.start}).") from None


def read_json(path: Path, kind: Kind) -> Any:
    """Return the value of a JSON file; raise the error of its kind where `parse_json` refuses."""
    text = read_text(path, kind)
    try:
        return parse_json(text)
    except ValueError as error:
        raise kind.problem(path, f"not JSON ({error}).") from None


def read_toml(path: Path, kind: Kind) -> dict[str, Any]:
    """Return the table of a TOML file; raise the error of its kind for any other file."""
    text = read_text(path, kind)
    try:
        return parse_toml(text)
    except ValueError as error:
        raise kind.problem(path, f"not valid TOML: {error}.") from None


def read_lines(path: Path, kind: Kind) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of each line, its end removed, as `bytes.splitlines` does."""
    yield from enumerate(read_bytes(path, kind).splitlines(), 1)


def parse_json(text: str | bytes, *, lone_surrogates: bool = False) -> Any:
    """Return the value of a JSON text; a number beyond the range of floats is infinite.

    Raises `ValueError` with the reason for invalid JSON, nesting that is too deep, a duplicate key,
    NaN, `Infinity`, an integer of more than `MAX_INTEGER_DIGITS` digits, a string that is not
    Unicode (half of a surrogate pair) unless `lone_surrogates` are allowed, and a value that does
    not fit in memory.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_constant,
            parse_int=_integer,
            object_pairs_hook=_object,
        )
        _require_shallow(value)
        if not lone_surrogates:
            _require_unicode(value, text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except MemoryError:
        raise ValueError("larger than the memory") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text (byte {error.start})") from None
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """Return the table of a TOML text; raise `ValueError` with the reason for any other text."""
    if (long := _LONG_KEY.search(text)) is not None:
        line = text.count("\n", 0, long.start()) + 1
        raise ValueError(f"a key of more than {MAX_KEY_PARTS} parts (line {line})")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(_without_content(str(error))) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except MemoryError:
        raise ValueError("larger than the memory") from None
    except ValueError:  # Python's limit on the digits of an integer, an impossible date
        raise ValueError("a number or a date is out of range") from None
    _require_shallow(table)
    return table


def read_arrays(path: Path, kind: Kind) -> dict[str, NDArray[Any]]:
    """Return the arrays of an `.npz` file by name; see `parse_arrays`."""
    with open_file(path, kind) as stream:
        return parse_arrays(stream, str(path), kind)


def parse_arrays(source: bytes | IO[bytes], where: str, kind: Kind) -> dict[str, NDArray[Any]]:
    """Return the arrays of the bytes, or the seekable stream, of an `.npz` file by name.

    Only arrays of booleans, integers, floating-point numbers and texts are read. Their sizes are
    checked before anything is allocated: each must be what its member holds, and all together what
    the kind allows. Raises the error of the kind, which names the file as `where`.
    """
    stream = BytesIO(source) if isinstance(source, bytes) else source
    try:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        with zipfile.ZipFile(stream) as archive:
            return _Archive(archive, max(kind.free, kind.inflation * size)).arrays()
    except _UNREADABLE as error:
        reason = str(error) or type(error).__name__
        raise kind.problem(where, f"not {kind.name} ({reason}).") from None


class _Archive:
    """The members of an `.npz` file, each of which is a `.npy` file."""

    def __init__(self, archive: zipfile.ZipFile, limit: int) -> None:
        self._archive = archive
        self._limit = limit

    def arrays(self) -> dict[str, NDArray[Any]]:
        members = self._archive.infolist()
        if len(members) > MAX_ARRAYS:
            raise ValueError(f"{len(members):,} members; at most {MAX_ARRAYS} are read")
        by_name: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in by_name:
                raise ValueError("two members have the same name")
            if member.flag_bits & _ENCRYPTED:
                raise ValueError("a member is encrypted")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"unknown compression method {member.compress_type}")
            by_name[name] = member
        headers = {name: self._header(member) for name, member in by_name.items()}
        total = sum(header.cost for header in headers.values())
        if total > self._limit:
            raise ValueError(f"its arrays need {total:,} bytes; at most {self._limit:,} are read")
        return {name: self._array(by_name[name], header) for name, header in headers.items()}

    def _header(self, member: zipfile.ZipInfo) -> _Header:
        with self._archive.open(member) as stream:
            return _Header.read(stream, member.file_size)

    def _array(self, member: zipfile.ZipInfo, header: _Header) -> NDArray[Any]:
        import numpy as np

        with self._archive.open(member) as stream:
            content = bytearray(stream.read())
        flat = np.frombuffer(content, header.dtype, offset=header.end)
        return flat.reshape(header.shape, order="F" if header.fortran else "C")


@dataclass(frozen=True)
class _Header:
    """The header of a `.npy` file; `end` is its length in bytes."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    end: int

    @property
    def cost(self) -> int:
        """The bytes of the array as 64-bit numbers, to which it may be converted."""
        return math.prod(max(length, 1) for length in self.shape) * max(self.dtype.itemsize, 8)

    @classmethod
    def read(cls, stream: IO[bytes], size: int) -> _Header:
        """Read the header of a member of `size` bytes; raise `ValueError` for an invalid one."""
        import numpy as np

        start = stream.read(8)
        if start[:6] != b"\x93NUMPY" or start[6:] not in (b"\x01\x00", b"\x02\x00"):
            raise ValueError("a member is not an array of .npy format 1 or 2")
        width = "<H" if start[6] == 1 else "<I"
        (length,) = struct.unpack(width, stream.read(struct.calcsize(width)))
        if length > _MAX_HEADER:
            raise ValueError("the header of an array is too long")
        text = stream.read(length).decode("latin-1")
        matches = [pattern.findall(text) for pattern in (_DESCR, _ORDER, _SHAPE)]
        if any(len(found) != 1 for found in matches):
            raise ValueError("an array is neither of numbers nor of texts")
        descr, order, dimensions = (found[0] for found in matches)
        header = cls(
            np.dtype(descr),
            tuple(int(item) for item in dimensions.split(",") if item.strip()),
            order == "True",
            len(start) + struct.calcsize(width) + length,
        )
        held = size - header.end
        if math.prod(header.shape) * header.dtype.itemsize != held:
            raise ValueError(f"an array's declared shape does not match its {held:,} bytes")
        return header


_NONBLOCK = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_ENCRYPTED = 0x1
_MAX_HEADER = 4096
_DESCR = re.compile(r"""['"]descr['"]\s*:\s*['"]([<>|=]?[biufSU][0-9]{1,6})['"]""")
_ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)\b""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(((?:\s*[0-9]{1,18}\s*,?){0,8})\)""")
_UNREADABLE = (
    ValueError,
    TypeError,
    OSError,
    EOFError,
    OverflowError,
    MemoryError,
    RecursionError,
    NotImplementedError,
    RuntimeError,
    KeyError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
"""What zipfile and numpy raise for archives that are not what they claim to be."""

_KEY_PART = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')"""
_LONG_KEY = re.compile(rf"(?<![\w\-.])(?:{_KEY_PART}[ \t]*\.[ \t]*){{{MAX_KEY_PARTS}}}")
_FILE_TYPES = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _require_regular(status: os.stat_result, where: str, kind: Kind) -> None:
    if not stat.S_ISREG(status.st_mode):
        what = _FILE_TYPES.get(stat.S_IFMT(status.st_mode), "a special file")
        raise kind.problem(where, f"not a regular file ({what}).")


def _require_size(stream: BinaryIO, where: str, kind: Kind) -> None:
    status = os.fstat(stream.fileno())
    _require_regular(status, where, kind)
    if status.st_size > kind.limit:
        raise kind.problem(
            where, f"{status.st_size:,} bytes; {kind.name} has at most {kind.limit:,}."
        )
    if status.st_size == 0 and stream.read(1):
        if os.fstat(stream.fileno()).st_size == 0:  # nor has anybody just written to it
            raise kind.problem(where, "not a regular file (the system generates its content).")
        stream.seek(0)


def _cannot_be_read(where: str, error: OSError, kind: Kind) -> FgbenchError:
    return kind.problem(where, f"cannot be read ({error.strerror or error}).")


def _require_shallow(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise ValueError("nested too deeply")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("an object has the same key twice")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _integer(text: str) -> int:
    if len(text) > MAX_INTEGER_DIGITS:
        raise ValueError(f"an integer has more than {MAX_INTEGER_DIGITS} digits")
    return int(text)


def _require_unicode(value: Any, text: str | bytes) -> None:
    """Raise `ValueError` for half of a surrogate pair, which only an escape can produce."""
    if (b"\\u" if isinstance(text, bytes) else "\\u") not in text:  # type: ignore[operator]
        return
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a string has half of a surrogate pair") from None


def _without_content(message: str) -> str:
    """Return a message of tomllib without the text that it quotes, except for single characters."""
    return re.sub(r"'(?:[^'\\]|\\.){8,}'", "…", message)
