"""What a received file would use is found before a part is created, and is decided as promised."""

import json
import stat
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import AnyUrl, BaseModel, DirectoryPath, Field

from fgbench import Access, Calibrator, HostUrl, KeyVariable, host_of
from fgbench.coordinates import PartRecord
from fgbench.digests import digest_file
from fgbench.errors import ConfigurationError, LeaderboardError
from fgbench.leaderboard.recompute import Recomputed
from fgbench.plan.suite import Suite
from fgbench.plugins.registry import Registry
from fgbench.runs.consent import Allow, Consent, ConsentFile, accesses, parts_of_suite


class Nested(BaseModel):
    where: Path = Path("nested.csv")


class Declared(Calibrator):
    """A part whose types and markers say what its parameters are."""

    file: Path | None = None
    folders: list[DirectoryPath] = []  # noqa: RUF012 - each part gets its own copy
    by_name: dict[str, Path] = {}  # noqa: RUF012
    nested: Nested | None = None
    url: AnyUrl | None = None
    base_url: Annotated[str, HostUrl()] = "https://default.example/v1"
    key: Annotated[str, KeyVariable("ACME_KEY")] | None = None
    old_style: str = ""
    paths = frozenset({"old_style"})


class Undeclared(Calibrator):
    """A part that says nothing about its parameters."""

    text: str = "https://never-shown.example"
    anything: Any = None
    table: dict[str, Any] = {}  # noqa: RUF012
    mode: Literal["auto", "fast"] = "auto"
    count: Annotated[int, Field(ge=0)] = 0
    check: object = None


def used(part, **parameters):
    return {(item.kind, item.name) for item in part.accesses(parameters)}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"file": "a.csv"}, {("path", "a.csv")}),
        ({"folders": ["a", "b"]}, {("path", "a"), ("path", "b")}),
        ({"by_name": {"x": "a.csv"}}, {("path", "x"), ("path", "a.csv")}),
        ({"nested": {"where": "a.csv"}}, {("path", "where"), ("path", "a.csv")}),
        ({"old_style": "a.txt"}, {("path", "a.txt")}),
        ({"url": "http://evil.example:81/x"}, {("host", "evil.example:81")}),
        ({"key": "ACME_KEY"}, {("variable", "ACME_KEY")}),
        ({}, set()),
    ],
)
def test_declared_parameters_are_found_by_type(tmp_path, parameters, expected):
    resolved = {(kind, str(tmp_path / name) if kind == "path" else name) for kind, name in expected}
    assert used(Declared, **parameters) == resolved | {("host", "default.example")}


class WithDefaults(Calibrator):
    """Defaults of declared parameters count, however they are given."""

    hosts: list[Annotated[str, HostUrl()]] = ["http://of-list.example"]  # noqa: RUF012
    made: Path = field(default_factory=lambda: Path("/made"))
    aliased: Annotated[Path, Field(alias="other")] = Path("/aliased")
    call: Callable[[], int] = len
    amount: complex = 1j


def test_defaults_and_types_without_a_schema():
    assert used(WithDefaults) == {
        ("host", "of-list.example"),
        ("path", "/made"),
        ("path", "/aliased"),
    }
    assert ("host", "c.example") in used(WithDefaults, call="http://c.example", aliased="/x")


def test_key_variable_is_documented_only_if_its_part_names_it():
    (documented,) = [item for item in Declared.accesses({"key": "ACME_KEY"}) if item.documented
                     and item.kind == "variable"]  # fmt: skip
    assert documented == Access("variable", "ACME_KEY", "key")
    (other,) = [item for item in Declared.accesses({"key": "GITHUB_TOKEN"}) if not item.documented]
    assert other.name == "GITHUB_TOKEN"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://evil.example/v1", {("host", "evil.example")}),
        ("engine=openai,base_url=http://evil.example:8,x=1", {("host", "evil.example:8")}),
        ("evil.example:8080", {("host", "evil.example:8080")}),
        ("localhost:80/v1", {("host", "localhost:80")}),
        ("/no/such/file", {("path", "/no/such/file")}),
        ("file:///etc/hostname", {("path", "/etc/hostname")}),
        ("~nobody-of-this-name/x", {("path", "~nobody-of-this-name/x")}),
        ("../outside", {("path", "../outside")}),
        ("here.csv", {("path", "here.csv")}),
        ("model=./here.csv", {("path", "here.csv")}),
        (["x", {"y": "here.csv"}], {("path", "here.csv")}),
        ("CANARY_OF_TEST", {("variable", "CANARY_OF_TEST")}),
        ("key=CANARY_OF_TEST,x=1", {("variable", "CANARY_OF_TEST")}),
        ("${CANARY_OF_TEST}", {("variable", "CANARY_OF_TEST")}),
        ("a text about taxes and/or fees, 12:30", set()),
        ("google-bert/bert-base-uncased", set()),
        ("NOT_SET_IN_THIS_TEST", set()),
        ("x\0y", set()),
        (None, set()),
        (7, set()),
    ],
)
@pytest.mark.parametrize("name", ["text", "anything", "table", "check"])
def test_undeclared_texts_count_by_what_they_look_like(
    tmp_path, monkeypatch, name, value, expected
):
    monkeypatch.setenv("CANARY_OF_TEST", "secret")
    (tmp_path / "here.csv").touch()
    given = {"key": value} if name == "table" else value
    resolved = {
        (kind, str(Path(tmp_path, item).resolve()) if kind == "path" else item)
        for kind, item in expected
    }
    assert used(Undeclared, **{name: given}) == resolved


def test_choices_and_numbers_are_not_paths(tmp_path):
    (tmp_path / "auto").mkdir()
    assert used(Undeclared, mode="auto", count="auto") == set()


def test_path_of_a_link_is_that_of_its_target(tmp_path):
    (tmp_path / "link").symlink_to("/etc/hostname")
    assert used(Undeclared, text="link") == {("path", "/etc/hostname")}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://Evil.example/v1", "evil.example"),
        ("https://evil.example:8443", "evil.example:8443"),
        ("http://[::1]:8000/v1", "[::1]:8000"),
        ("http://good.example@evil.example/", "http://good.example@evil.example/"),
        ("http://evil.example\\@good.example/", "http://evil.example\\@good.example/"),
        ("http://evil.exämple/", "http://evil.exämple/"),
        ("http://[bad", "http://[bad"),
        ("evil.example/v1", "evil.example/v1"),
        ("", ""),
    ],
)
def test_host_that_is_unclear_is_shown_as_its_whole_url(url, host):
    assert host_of(url) == host


def of_suite(**values):
    suite, registry = Suite.build(values), Registry.load()
    return accesses(parts_of_suite(suite, suite.model_fields_set, registry), registry)


def test_places_name_the_key_of_the_suite(tmp_path):
    (found,) = of_suite(datasets=["logistic-1d", "csv:path=a.csv,text=t,label=l"])
    assert found == Access("path", str(tmp_path / "a.csv"), "datasets[1].path")


def test_suite_of_embedded_parts_uses_nothing():
    assert of_suite(datasets=["known-posterior", "logistic-1d"], metrics=["ece"]) == []


def test_default_endpoint_and_key_are_listed():
    assert {(item.kind, item.name) for item in of_suite(generators=["openai:model=m"])} == {
        ("host", "api.openai.com"),
        ("variable", "OPENAI_API_KEY"),
    }


@pytest.mark.parametrize(
    "reference",
    [
        "openai:model=m,base_url=http://evil.example/v1,api_key_env=OPENAI_API_KEY",
        "openai:model=m,base_url=http://evil.example/v1,api_key_env=GITHUB_TOKEN",
    ],
)
def test_key_for_another_host_is_not_documented(reference):
    found = of_suite(generators=[reference])
    assert [item.documented for item in found if item.kind == "variable"] == [False]


@pytest.mark.parametrize(
    ("axis", "reference"),
    [
        ("generators", "openai:model=m,base_url=http://evil.example/v1"),
        ("generators", "ngram-of-nobody"),
        ("generators", {"name": "vllm", "model": "m",
                        "relabeler": "openai:model=m,base_url=http://evil.example/v1"}),
        ("classifiers", "llm:model=m,base_url=http://evil.example/v1"),
        ("classifiers", {"name": "llm", "model": "/models/m", "engine": "hf", "confidence": "lvu",
                         "judge": "engine=openai,model=m,base_url=http://evil.example/v1"}),
    ],
)  # fmt: skip
def test_hosts_of_engines_judges_and_relabelers_are_found(axis, reference):
    hosts = {item.name for item in of_suite(**{axis: [reference]}) if item.kind == "host"}
    expected = set() if reference == "ngram-of-nobody" else {"evil.example"}
    assert hosts >= expected
    assert hosts <= expected | {"huggingface.co"}


def test_models_are_folders_or_come_from_the_hub(tmp_path):
    (tmp_path / "model").mkdir()
    for name, expected in (
        ("model", ("path", str(tmp_path / "model"))),
        ("org/model", ("host", "huggingface.co")),
    ):
        for axis, part in (("generators", "hf"), ("classifiers", "hf"), ("generators", "vllm")):
            found = of_suite(**{axis: [{"name": part, "model": name}]})
            assert [(item.kind, item.name) for item in found] == [expected]


def test_default_classifier_of_a_data_set_counts():
    (found,) = of_suite(datasets=["tc"])
    assert (found.kind, found.name) == ("host", "huggingface.co")
    assert found.place.startswith("datasets[0], its default classifier")
    assert of_suite(datasets=["tc"], classifiers=["tfidf-logreg"]) == []


def test_what_options_replace_does_not_count():
    suite = Suite.build({"datasets": ["logistic-1d"], "generators": ["openai:model=m"]})
    registry = Registry.load()
    assert accesses(parts_of_suite(suite, {"datasets"}, registry), registry) == []


HOST = "openai:model=m,base_url=http://evil.example:8000/v1"


@pytest.fixture
def decide(tmp_path):
    """Return a function that decides about a suite file; `asked` counts the questions."""
    file = tmp_path / "suite.toml"
    registry = Registry.load()

    def require(*generators, allow=None, answer=None, content="x"):
        file.write_text(content)
        suite = Suite.build({"generators": list(generators)})
        consent = Consent(
            allow or Allow(),
            ask=None if answer is None else lambda *_: asked.append(answer) or answer,
            memory=ConsentFile.of_user(),
        )
        consent.require(file, parts_of_suite(suite, {"generators"}, registry), registry)

    asked = []
    require.asked = asked
    return require


@pytest.mark.parametrize(
    "allow",
    [
        Allow(hosts=["evil.example"]),
        Allow(hosts=["evil.example:8000"]),
        Allow(hosts=["EVIL.example"]),
        Allow(hosts=["http://evil.example:8000/v1"]),
        Allow(everything=True),
    ],
)
def test_options_allow_a_host_without_a_question(decide, allow):
    decide(HOST, allow=allow, answer=False)
    assert decide.asked == []


@pytest.mark.parametrize(
    "allow",
    [
        Allow(),
        Allow(hosts=["example"]),
        Allow(hosts=["evil.example:80"]),
        Allow(hosts=["other.example"]),
        Allow(variables=["evil.example:8000"]),
    ],
)
def test_without_question_and_option_a_file_is_refused(decide, allow):
    with pytest.raises(ConfigurationError, match=r"would use host evil\.example:8000 \(generators"):
        decide(HOST, allow=allow)
    assert not ConsentFile.of_user().path.exists()


@pytest.mark.parametrize("answer", [None, True])
@pytest.mark.parametrize("variable", ["GITHUB_TOKEN", "OPENAI_API_KEY"])
def test_undocumented_variable_must_be_named(decide, variable, answer):
    reference = f"{HOST},api_key_env={variable}"
    for allow in (Allow(everything=True), Allow(hosts=["evil.example"], variables=["OTHER"])):
        with pytest.raises(ConfigurationError, match=variable):
            decide(reference, allow=allow, answer=answer)
    assert decide.asked == []
    decide(reference, allow=Allow(variables=[variable], everything=True))


def test_question_is_asked_once_per_content(decide):
    decide(HOST, answer=True)
    decide(HOST, answer=True)
    decide(HOST)
    assert decide.asked == [True]
    decide(HOST, answer=True, content="y")
    assert decide.asked == [True, True]
    with pytest.raises(ConfigurationError):
        decide(HOST, content="z")


def test_same_content_that_now_uses_more_is_asked_again(decide):
    decide(HOST, answer=True)
    with pytest.raises(ConfigurationError, match="huggingface"):
        decide(HOST, "hf:model=org/name")


def test_refused_answer_is_not_remembered(decide):
    with pytest.raises(ConfigurationError, match="nothing was run"):
        decide(HOST, answer=False)
    decide(HOST, answer=True)
    assert decide.asked == [False, True]


def test_memory_is_private_and_holds_no_values(decide, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "value-of-the-token")
    decide(f"{HOST},api_key_env=GITHUB_TOKEN", allow=Allow(["evil.example"], ["GITHUB_TOKEN"]))
    file = ConsentFile.of_user().path
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "value-of-the-token" not in file.read_text()
    (record,) = json.loads(file.read_text()).values()
    assert record["allowed"] == [["host", "evil.example:8000"], ["variable", "GITHUB_TOKEN"]]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"x": 1}', b'{"x": {"allowed": [1]}}', b"\xff", b"[" * 100_000]
)
def test_damaged_memory_is_one_error_that_names_it(decide, content):
    file = ConsentFile.of_user().path
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"consent\.json: cannot be read .* Delete it"):
        decide(HOST, answer=True)
    assert file.read_bytes() == content


def test_refusal_names_the_options_for_paths(decide, tmp_path):
    consent = Consent(spelled=lambda allow: repr(allow))
    registry = Registry.load()
    suite = Suite.build({"datasets": ["csv:path=a.csv,text=t,label=l"]})
    (tmp_path / "s.toml").write_text("x")
    with pytest.raises(ConfigurationError, match="everything=True"):
        consent.require(
            tmp_path / "s.toml", parts_of_suite(suite, {"datasets"}, registry), registry
        )


def test_file_that_comes_with_fgbench_is_not_asked_about():
    from fgbench.leaderboard.bundled import board_path

    registry = Registry.load()
    file = board_path(Path("paper-table4"), registry).with_name("suite.toml")
    suite = Suite.build(Suite.read(file))
    named = list(parts_of_suite(suite, suite.model_fields_set, registry))
    assert accesses(named, registry)
    Consent().require(file, named, registry)
    copy = Path("copy.toml")
    copy.write_bytes(file.read_bytes())
    Consent().require(copy, named, registry)
    copy.write_bytes(file.read_bytes() + b"#")
    assert digest_file(copy) != digest_file(file)
    with pytest.raises(ConfigurationError, match="huggingface"):
        Consent().require(copy, named, registry)


def test_verifying_a_board_creates_no_part_that_reads_files(tmp_path):
    plugin = tmp_path / "reading.py"
    plugin.write_text(
        "from pathlib import Path\n"
        "from fgbench import Calibrator, hookimpl\n"
        "class Reading(Calibrator):\n"
        "    file: Path = Path('own')\n"
        "    def __post_init__(self):\n"
        "        Path('created').touch()\n"
        "    def fit(self, held_out): pass\n"
        "    def transform(self, predictions): return predictions\n"
        "@hookimpl\n"
        "def fgbench_calibrators(register):\n"
        "    register('reading', f'{__name__}:Reading')\n"
    )
    recomputed = Recomputed(Registry.load([str(plugin)]), tmp_path)
    with pytest.raises(LeaderboardError, match="file names a path"):
        recomputed.is_neutral("calibrator", PartRecord(name="reading", params={"file": "/x"}))
    assert not Path("created").exists()
    assert not recomputed.is_neutral("calibrator", PartRecord(name="reading"))
    assert Path("created").exists()
