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

from fgbench.errors import ConfigurationError, DataError, FgbenchError, LeaderboardError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True)
class Kind:
    """A kind of file: its name with an article, the bytes it may have, and its error."""

    name: str
    limit: int
    error: type[FgbenchError]


BOARD = Kind("a leaderboard", 512 * MIB, LeaderboardError)
PREDICTIONS = Kind("a predictions file", GIB, DataError)
SAMPLES = Kind("a file of samples", GIB, DataError)
DIAGNOSTICS = Kind("a file of diagnostics", 64 * MIB, LeaderboardError)
INDEX = Kind("an index of a run", 64 * MIB, LeaderboardError)
EVENTS = Kind("a log of events", 256 * MIB, DataError)
SUITE = Kind("a suite", MIB, ConfigurationError)
CARD = Kind("a card", MIB, DataError)
NOTE = Kind("a record of a download", 64 * KIB, DataError)
DATA = Kind("a data file", 64 * GIB, DataError)

MAX_INTEGER_DIGITS = 300
"""Of an integer in JSON: every shorter one has a finite floating-point value."""
MAX_KEY_PARTS = 32
"""Of a dotted key in TOML: the parser takes quadratic time in them."""
MAX_ARRAYS = 32
MAX_INFLATION = 16
"""How many times larger than its file the arrays of an `.npz` file may be, as 64-bit numbers."""
MIN_ARRAY_LIMIT = 32 * MIB
"""Arrays of this size in all are read from any file."""


def open_file(path: Path, kind: Kind) -> BinaryIO:
    """Open a file for reading, in binary.

    Raises the error of its kind for what cannot be a file of that kind: a missing file, anything
    but a regular file (those of `/proc` are none), and a file that is too large.
    """
    try:
        _require_regular(path, path.stat().st_mode, kind)
        # Without O_NONBLOCK, a FIFO that replaces the file now would block.
        stream = os.fdopen(os.open(path, os.O_RDONLY | _NONBLOCK), "rb")
    except FileNotFoundError:
        raise kind.error(f"{path}: no such file.") from None
    except OSError as error:
        raise _cannot_be_read(path, error, kind) from error
    except ValueError:
        raise kind.error(f"{str(path)!r}: not a valid path.") from None
    try:
        _require_size(path, stream, kind)
    except BaseException:
        stream.close()
        raise
    return stream


def read_bytes(path: Path, kind: Kind) -> bytes:
    """Return the content of a file; raise the error of its kind as `open_file` does."""
    with open_file(path, kind) as stream:
        try:
            return stream.read()
        except OSError as error:
            raise _cannot_be_read(path, error, kind) from error
        except MemoryError:
            raise kind.error(f"{path}: larger than the memory.") from None


def read_text(path: Path, kind: Kind) -> str:
    """Return the content of a UTF-8 file; raise the error of its kind for any other."""
    try:
        return read_bytes(path, kind).decode("utf-8")
    except UnicodeDecodeError as error:
        raise kind.error(f"{path}: not UTF-8 text (byte {error.start}).") from None


def read_json(path: Path, kind: Kind) -> Any:
    """Return the value of a JSON file; raise the error of its kind where `parse_json` refuses."""
    text = read_text(path, kind)
    try:
        return parse_json(text)
    except ValueError as error:
        raise kind.error(f"{path}: not {kind.name}: {error}.") from None


def read_toml(path: Path, kind: Kind) -> dict[str, Any]:
    """Return the table of a TOML file; raise the error of its kind for any other file."""
    text = read_text(path, kind)
    try:
        return parse_toml(text)
    except ValueError as error:
        raise kind.error(f"{path}: not valid TOML: {error}.") from None


def read_lines(path: Path, kind: Kind) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of each line, its end removed, as `bytes.splitlines` does."""
    yield from enumerate(read_bytes(path, kind).splitlines(), 1)


def parse_json(text: str | bytes, *, lone_surrogates: bool = False) -> Any:
    """Return the value of a JSON text.

    Raises `ValueError` with the reason for invalid JSON, nesting that is too deep, a duplicate key,
    NaN, infinity, an integer of more than `MAX_INTEGER_DIGITS` digits, a string that is not
    Unicode (half of a surrogate pair) unless `lone_surrogates` are allowed, and a value that does
    not fit in memory.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_integer,
            object_pairs_hook=_object,
        )
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
    return table


def read_arrays(path: Path, kind: Kind) -> dict[str, NDArray[Any]]:
    """Return the arrays of an `.npz` file by name; see `parse_arrays`."""
    with open_file(path, kind) as stream:
        return parse_arrays(stream, str(path), kind)


def parse_arrays(source: bytes | IO[bytes], where: str, kind: Kind) -> dict[str, NDArray[Any]]:
    """Return the arrays of the bytes, or the seekable stream, of an `.npz` file by name.

    Only arrays of booleans, integers and floating-point numbers are read. Their sizes are checked
    before anything is allocated: each must be what its member holds, and all together at most
    `MAX_INFLATION` times the file, or `MIN_ARRAY_LIMIT`. Raises the error of the kind, which names
    the file as `where`.
    """
    stream = BytesIO(source) if isinstance(source, bytes) else source
    try:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        with zipfile.ZipFile(stream) as archive:
            return _Archive(archive, max(MIN_ARRAY_LIMIT, MAX_INFLATION * size)).arrays()
    except _UNREADABLE as error:
        reason = str(error) or type(error).__name__
        raise kind.error(f"{where}: not an .npz file of plain arrays ({reason}).") from None


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
            raise ValueError("an array is not of numbers (no pickles, records or texts)")
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
_DESCR = re.compile(r"""['"]descr['"]\s*:\s*['"]([<>|=]?[biuf][0-9]{1,2})['"]""")
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


def _require_regular(path: Path, mode: int, kind: Kind) -> None:
    if not stat.S_ISREG(mode):
        what = _FILE_TYPES.get(stat.S_IFMT(mode), "a special file")
        raise kind.error(f"{path}: not a regular file ({what}).")


def _require_size(path: Path, stream: BinaryIO, kind: Kind) -> None:
    status = os.fstat(stream.fileno())
    _require_regular(path, status.st_mode, kind)
    if status.st_size > kind.limit:
        raise kind.error(
            f"{path}: {status.st_size:,} bytes; {kind.name} has at most {kind.limit:,}."
        )
    if status.st_size == 0 and stream.read(1):
        if os.fstat(stream.fileno()).st_size == 0:  # nor has anybody just written to it
            raise kind.error(f"{path}: not a regular file (the system generates its content).")
        stream.seek(0)


def _cannot_be_read(path: Path, error: OSError, kind: Kind) -> FgbenchError:
    return kind.error(f"{path}: cannot be read ({error.strerror or error}).")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("an object has the same key twice")
    return value


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is out of range")
    return value


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
