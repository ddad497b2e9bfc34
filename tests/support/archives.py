"""Archives (`.npz`) that are not what they claim to be."""

import io
import zipfile

import numpy as np


def npz(**arrays) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def member(content: bytes, name: str = "a.npy", method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def npy(header: str, content: bytes = b"", version: bytes = b"\1\0") -> bytes:
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + content


def flipped(archive: bytes, offset: int, value: bytes) -> bytes:
    """Change a field of the local header (at 0) and of the central directory alike."""
    directory = archive.rindex(b"PK\1\2")
    changed = bytearray(archive)
    changed[offset : offset + len(value)] = value
    changed[directory + offset + 2 : directory + offset + 2 + len(value)] = value
    return bytes(changed)


ONE = member(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", b"\0" * 8))
_DEFLATED = member(bytes(10_000), method=zipfile.ZIP_DEFLATED)
HOSTILE = {
    "empty": b"",
    "text": b"not a zip file",
    "plain .npy": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }"),
    "truncated": npz(a=np.zeros(100))[:-200],
    "not an array": member(b"text"),
    "huge shape": member(
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }")
    ),
    "huge dimensions": member(
        npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({'9' * 18}, {'9' * 18}), }}")
    ),
    "huge empty dimension": member(
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 0), }")
    ),
    "negative shape": member(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }")),
    "deep header": member(npy("(" * 4000)),
    "no shape": member(npy("{'descr': '<f8', 'fortran_order': False}")),
    "two shapes": member(
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'shape': (2,), }")
    ),
    "unknown width": member(npy("{'descr': '<f7', 'fortran_order': False, 'shape': (1,), }")),
    "version 3": member(
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }", version=b"\3\0")
    ),
    "more than declared": member(
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", b"\0" * 16)
    ),
    "objects": npz(a=np.array([{}], dtype=object)),
    "records": npz(a=np.zeros(1, dtype=[("x", "f8")])),
    "times": npz(a=np.zeros(1, dtype="M8[s]")),
    "complex": npz(a=np.zeros(1, dtype=complex)),
    "many": npz(**{f"a{i}": np.zeros(1) for i in range(100)}),
    "encrypted": flipped(ONE, 6, b"\1\0"),
    "method 99": flipped(ONE, 8, b"\x63\0"),
    "wrong sum": flipped(ONE, 14, b"\0\0\0\0"),
    "not deflated": flipped(ONE, 8, b"\x08\0"),
    "zlib error": _DEFLATED[:45] + b"\xff" * 5 + _DEFLATED[50:],
}
