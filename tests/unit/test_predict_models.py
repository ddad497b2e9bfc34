"""`models.json` of a run folder that somebody else may have made."""

import json
import os

import pytest

from fgbench.errors import FgbenchError
from fgbench.runs.predict import read_models

KEY = "ab" * 32


def test_models_are_read(tmp_path):
    value = {"entry": {"0": KEY, "1": KEY}, "other": {}}
    (tmp_path / "models.json").write_text(json.dumps(value))
    assert read_models(tmp_path / "models.json") == value


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "7",
        "null",
        '"text"',
        '{"entry": null}',
        '{"entry": []}',
        f'{{"entry": "{KEY}"}}',
        '{"entry": {"0": null}}',
        '{"entry": {"0": 7}}',
        '{"entry": {"0": ["x"]}}',
        f'{{"entry": {{"0": "{KEY}/../../victim"}}}}',
        f'{{"entry": {{"0": "{KEY}\\n"}}}}',
        f'{{"entry": {{"0": "{KEY.upper()}"}}}}',
        "[" * 200_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        '{"entry": {"0": 1' + "0" * 5000 + "}}",
        b"\xff\xfe",
        b'{"entry": {"0": "\xed\xa0\x80"}}',
    ],
    ids=lambda content: repr(content)[:30],
)
def test_anything_else_is_one_error(tmp_path, content):
    path = tmp_path / "models.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(FgbenchError) as caught:
        read_models(path)
    assert caught.value.exit_code == 2
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_special_files_are_refused(tmp_path):
    with pytest.raises(FgbenchError, match="no such file"):
        read_models(tmp_path / "models.json")
    with pytest.raises(FgbenchError, match="not a regular file"):
        read_models(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FgbenchError, match="not a regular file"):
        read_models(tmp_path / "fifo")
