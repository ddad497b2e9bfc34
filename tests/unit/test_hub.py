"""Models of the hub that cannot be fetched: the reason that the error names."""

import pytest

from fgbench import ConfigurationError

hub = pytest.importorskip("huggingface_hub")
errors = pytest.importorskip("huggingface_hub.errors")

from fgbench_plugins.hub import find_model  # noqa: E402


class Response:
    """The part of a response that the hub's errors read."""

    headers: dict = {}  # noqa: RUF012
    request = None

    def __init__(self, status):
        self.status_code = status


@pytest.mark.parametrize(
    ("status", "token", "words"),
    [
        (401, "hf_wrong", "refuses the token of HF_TOKEN"),
        (401, None, "no such public model"),
        (404, "hf_right", "no such public model"),
    ],
)
def test_refused_token_is_named(monkeypatch, status, token, words):
    def fetch(*arguments, local_files_only, **options):
        if local_files_only:
            raise errors.LocalEntryNotFoundError("not cached")
        error = errors.RepositoryNotFoundError.__new__(errors.RepositoryNotFoundError)
        error.response = Response(status)
        error.args = ("not found",)
        raise error

    monkeypatch.setattr(hub, "snapshot_download", fetch)
    monkeypatch.setattr(hub, "get_token", lambda: token)
    monkeypatch.setattr(hub.constants, "is_offline_mode", lambda: False)
    with pytest.raises(ConfigurationError, match=words) as caught:
        find_model("somebody/model", "main")
    assert "hf_" not in str(caught.value)
