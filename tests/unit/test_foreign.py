"""The readers of files that somebody else may have written."""

import io
import os
import socket
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fgbench import foreign
from fgbench.errors import DataError
from fgbench.foreign import (
    ARRAYS,
    DATA,
    Kind,
    parse_arrays,
    parse_json,
    parse_toml,
    read_bytes,
    read_json,
)
from support.archives import HOSTILE, ONE, npy

SMALL = Kind("a small file", 100, DataError)


def test_reads_a_regular_file_and_a_link_to_it(tmp_path):
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "empty").touch()
    assert read_bytes(tmp_path / "link", SMALL) == b"text"
    assert read_bytes(tmp_path / "empty", SMALL) == b""


def test_refuses_what_is_not_a_regular_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    os.mkfifo("fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for name, what in (("fifo", "FIFO"), ("socket", "socket"), (".", "folder")):
            with pytest.raises(DataError, match=rf"^{name}: not a regular file \(a {what}\)\.$"):
                read_bytes(Path(name), SMALL)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_refuses_files_that_the_system_generates():
    with pytest.raises(DataError, match="not a regular file"):
        read_bytes(Path("/proc/self/environ"), SMALL)


@pytest.mark.parametrize(
    ("path", "problem"),
    [("none", "no such file"), ("a\0b", "not a valid path"), ("\ud800", "not a valid path")],
)
def test_names_a_path_that_cannot_be_opened(path, problem):
    with pytest.raises(DataError, match=problem):
        read_bytes(Path(path), SMALL)


def test_refuses_a_file_that_is_too_large_before_it_is_read(tmp_path):
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(1 << 40)  # sparse
    with pytest.raises(DataError, match="1,099,511,627,776 bytes; a small file has at most 100"):
        read_bytes(tmp_path / "large", SMALL)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 200_000, "nested too deeply"),
        ('{"a":' * 200_000, "nested too deeply"),
        ('{"a": 1, "a": 2}', "the same key twice"),
        ("NaN", "NaN is not a number"),
        ("-Infinity", "-Infinity is not a number"),
        ("1" * 301, "more than 300 digits"),
        ("1" * 10_000, "more than 300 digits"),
        (r'{"a": ["\ud800"]}', "surrogate"),
        (r'{"\udc00": 1}', "surrogate"),
        (b'{"a": "\xff"}', r"not UTF-8 text \(byte 7\)"),
        ("", "Expecting value: line 1 column 1"),
        ('{"a": ', "Expecting value"),
    ],
)
def test_json_says_what_is_wrong(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


def test_json_of_any_kind_is_read():
    text = r'{"a": [1, -2.5, true, null, "\ud83d\ude00", "\u0000"], "b": {"a": 1e300}}'
    value = {"a": [1, -2.5, True, None, "\N{GRINNING FACE}", "\0"], "b": {"a": 1e300}}
    assert parse_json(text) == parse_json(text.encode()) == value
    assert parse_json(r'"\ud800"', lone_surrogates=True) == "\ud800"


def test_json_error_names_the_file(tmp_path):
    (tmp_path / "file").write_text("[1,")
    with pytest.raises(DataError, match=rf"^{tmp_path}/file: not JSON \(Expecting value"):
        read_json(tmp_path / "file", SMALL)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1\n" + "a." * 20_000 + "a = 1", r"a key of more than 32 parts \(line 2\)"),
        ("[" + ".".join(['"a"'] * 40) + "]", r"a key of more than 32 parts \(line 1\)"),
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("a = " + "{b=" * 100_000, "nested too deeply"),
        ("a = " + "1" * 10_000, "out of range"),
        ("a = 1\na = 2", "Cannot overwrite a value"),
    ],
)
def test_toml_says_what_is_wrong(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_toml(text)


def test_toml_text_may_have_many_dots():
    text = ".".join(["word"] * 20) + "… " + "." * 1000
    assert parse_toml(f'a.b = "{text}"') == {"a": {"b": text}}


def test_toml_error_shows_no_content():
    with pytest.raises(ValueError) as caught:
        parse_toml("[section_with_secret]\n[section_with_secret]\n")
    assert "secret" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_npz_with_two_members_of_a_name():
    stream = io.BytesIO(ONE)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("a.npy", b"")
    with pytest.raises(DataError, match="same name"):
        parse_arrays(stream.getvalue(), "file", DATA)


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_npz_that_is_not_what_it_claims_is_one_sentence(content):
    with pytest.raises(DataError, match=r"^file: not an \.npz file of plain arrays \(.+\)\.$"):
        parse_arrays(content, "file", ARRAYS)


def test_npz_bomb_is_refused_before_it_is_inflated(monkeypatch):
    """300 MB of zeros in 300 kB: only the header is inflated."""
    size = 300_000_000
    header = npy(f"{{'descr': '|i1', 'fortran_order': False, 'shape': ({size},), }}")
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w") as member,
    ):
        member.write(header)
        for _ in range(300):
            member.write(bytes(1_000_000))
    assert len(stream.getvalue()) < 400_000
    monkeypatch.setattr(foreign._Archive, "_array", None)
    with pytest.raises(DataError, match="need 2,400,000,000 bytes; at most"):
        parse_arrays(stream.getvalue(), "file", DATA)


def test_npz_arrays_of_numbers_are_read_in_either_order_of_bytes_and_axes():
    arrays = {
        "c": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "half": np.ones((2, 1), dtype=np.float16),
        "boolean": np.array([True, False]),
        "scalar": np.array(3),
        "texts": np.array(["text", "é"]),
        "bytes": np.array([b"text"]),
        "none": np.zeros((0, 2)),
    }
    for save in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        save(stream, **arrays)
        loaded = parse_arrays(stream, "file", DATA)
        assert list(loaded) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(loaded[name], array, strict=True)
            assert loaded[name].flags.writeable
