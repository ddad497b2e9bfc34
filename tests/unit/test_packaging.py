"""What the package claims about Pythons and dependencies is what tox tests."""

import configparser
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CLASSIFIERS = PROJECT["project"]["classifiers"]
CLAIMED = sorted(
    int(match[1])
    for classifier in CLASSIFIERS
    if (match := re.fullmatch(r"Programming Language :: Python :: 3\.(\d+)", classifier))
)


@pytest.fixture(scope="module")
def tox():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "tox.ini", encoding="utf-8")
    return parser


def requirements(*extras):
    project = PROJECT["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][name] for name in extras)]
    return [Requirement(text) for texts in lists for text in texts]


def locked():
    lines = (ROOT / "tests/constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(item.name): item for item in found}


def test_tox_tests_each_claimed_python_and_at_most_the_next(tox):
    (environments,) = re.findall(r"py3\{([\d,]+)\}", tox["tox"]["env_list"])
    tested = [int(minor) for minor in environments.split(",")]
    assert tested in (CLAIMED, [*CLAIMED, CLAIMED[-1] + 1])
    assert f"testenv:py3{{{environments}}}" in tox


def test_oldest_python_is_the_same_everywhere(tox):
    oldest = f"3.{CLAIMED[0]}"
    assert PROJECT["project"]["requires-python"] == f">={oldest}"
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    assert PROJECT["tool"]["mypy"]["python_version"] == oldest
    assert tox["testenv:lowest"]["base_python"] == f"python{oldest}"
    assert f"--python-version {oldest} " in tox["testenv:lock"]["commands"]


def test_each_requirement_has_a_lower_bound_and_allows_the_locked_version():
    versions = locked()
    for requirement in requirements("probmetrics", "tests", "transformers", "types"):
        assert ">=" in {clause.operator for clause in requirement.specifier}, requirement
        (pin,) = versions[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(pin.version), (str(requirement), pin.version)


def test_lock_file_pins_versions_and_names_no_index():
    for requirement in locked().values():
        assert requirement.url is None
        assert [clause.operator for clause in requirement.specifier] == ["=="], requirement
        assert "+" not in str(requirement.specifier), requirement
    text = (ROOT / "tests/constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert "--" not in text


def test_contributing_gives_a_reason_for_each_upper_bound():
    capped = {
        requirement.name
        for requirement in requirements("tests", "transformers", "types", "vllm")
        if "<" in {clause.operator for clause in requirement.specifier}
    }
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Dependencies")[1]
    rows = re.findall(r"^\| `([\w-]+)` \| \S", section.split("\n## ")[0], re.MULTILINE)
    assert sorted(rows) == sorted(capped)
