"""Suites: the keys of a TOML file, and errors that name the file and the key."""

import tomllib

import numpy as np
import pytest

from fgbench.cards import DataFolder
from fgbench.errors import ConfigurationError
from fgbench.loop.arms import DEFAULT_ARMS
from fgbench.plan.plan import make_plan
from fgbench.plan.resolve import resolve
from fgbench.plan.suite import Suite
from fgbench.plugins.registry import Registry


def read(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return Suite.build(Suite.read(path), where="suite")


def test_suite_expands_to_matrix(tmp_path):
    suite = read(
        tmp_path,
        """
        datasets = ["tc", {name = "banking77", intents = ["age_limit", "atm_support"]}]
        generator = "ngram:candidates=2"
        bins = [10, 15]
        seed = 7
        """,
    )
    assert suite.name == "mine"
    assert suite.datasets[1] == {"name": "banking77", "intents": ["age_limit", "atm_support"]}
    assert suite.generators == [{"name": "ngram", "candidates": "2"}]
    assert suite.seeds == [7]
    assert suite.arms == list(DEFAULT_ARMS)
    assert (suite.doses, suite.reserve) == ([1.0], 0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'dataset = ["tc"]\ndatasets = ["tc"]',
            "both 'datasets' and 'dataset' are given: use 'datasets'",
        ),
        ('datsets = ["tc"]', "unknown key 'datsets'. Did you mean 'datasets'"),
        ('arms = ["sinthesis"]', "arms[0] = 'sinthesis'"),
        ("bins = [1]", "bins[0] = 1"),
        ("bins = []", "bins is empty"),
        ("dose = 0", "dose[0] = 0"),
        ("doses = [1, 1.0]", "doses lists a value twice"),
        ("reserve = 1", "reserve = 1"),
        ("seeds = [0, 0]", "seeds lists a value twice"),
        ("threshold = 2", "threshold = 2"),
        ('protocol = "loose"', "protocol = 'loose'"),
        ("datasets = [3]", "mine.toml: a part must be a name or a table"),
        ("datasets = [{intents = []}]", "needs a name"),
        ("datasets = [", "not valid TOML"),
        (f"seeds = {[*range(1001)]}", "seeds: List should have at most 1000 items"),
        ("replicates = 10001", "replicates = 10001"),
        (
            f"seeds = {[*range(1000)]}\nbins = {[*range(2, 203)]}",
            "the matrix has 1,407,000 combinations, at most 100,000 are run at once",
        ),
    ],
)
def test_invalid_suite_error_names_file_and_key(tmp_path, text, message):
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value).strip() or "TOML" in message


def test_missing_suite_file_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="no such file"):
        Suite.read(tmp_path / "none.toml")


def test_resolved_suite_round_trips(tmp_path):
    suite = Suite.build({"dataset": "csv:path='a b.csv',text=t", "limit": 5})
    path = tmp_path / "suite.toml"
    path.write_text(suite.to_toml())
    assert tomllib.loads(path.read_text())["limit"] == 5
    assert Suite.build(Suite.read(path)) == suite


def test_suite_without_parts_has_the_defaults_of_the_registry():
    folder = DataFolder.from_environment()
    resolved = resolve(Suite.build({}), Registry.load(), folder).suite
    assert [part["name"] for part in resolved.datasets] == ["known-posterior"]
    assert [part["name"] for part in resolved.losses] == ["cross-entropy"]
    assert [part["name"] for part in resolved.calibrators] == ["none", "temperature"]
    paper = resolve(Suite.build({"protocol": "paper"}), Registry.load(), folder).suite
    assert [part["name"] for part in paper.calibrators] == ["none"]


def test_plugin_replaces_the_defaults_of_a_kind(tmp_path):
    plugin = tmp_path / "isotonic_first.py"
    plugin.write_text(
        "from fgbench import hookimpl\n"
        "@hookimpl\n"
        "def fgbench_defaults(default):\n"
        '    default("calibrator", "isotonic")\n'
    )
    registry = Registry.load([str(plugin)])
    assert registry.defaults("calibrator") == ["isotonic"]
    assert registry.defaults("dataset") == ["known-posterior"]
    with pytest.raises(ConfigurationError, match="no default metric"):
        registry.defaults("metric")


def test_failing_defaults_are_reported_and_left_out(tmp_path):
    plugin = tmp_path / "broken_defaults.py"
    plugin.write_text(
        "from fgbench import hookimpl\n"
        "@hookimpl\n"
        "def fgbench_defaults(default):\n"
        "    default('loss', 'focal')\n"
        "    raise RuntimeError('no defaults today')\n"
    )
    registry = Registry.load([str(plugin)])
    assert registry.defaults("loss") == ["cross-entropy"]
    assert any("no defaults today" in failure.reason for failure in registry.failures)


def plan_of(**values):
    suite = Suite.build({"dataset": "known-posterior", "seeds": [0], **values})
    return make_plan(suite, Registry.load(), DataFolder.from_environment())


def test_primary_contrast_enters_the_run_id_only_when_declared():
    plain = plan_of()
    assert plan_of(primary=None).run_id == plain.run_id
    declared = plan_of(primary={"margin": 0.02})
    assert declared.run_id != plain.run_id
    assert plan_of(primary={"margin": 0.03}).run_id != declared.run_id
    assert declared.resolved.margins["ece"] == 0.02
    assert plain.resolved.margins["ece"] == 0.01
    assert [node.id for node in declared.graph.nodes.values()] == [
        node.id for node in plain.graph.nodes.values()
    ]


def test_alternative_is_declared_or_the_usual_one_in_any_order():
    some = ["isotonic", "none", "temperature"]
    for calibrators in (some, some[::-1]):
        assert plan_of(calibrators=calibrators).resolved.primary.calibrator == "temperature"
        declared = plan_of(calibrators=calibrators, primary={"calibrator": "isotonic"})
        assert declared.resolved.primary.calibrator == "isotonic"
    assert plan_of(calibrators=["none"]).resolved.primary.calibrator is None


@pytest.mark.parametrize(
    ("primary", "message"),
    [
        ({"metric": "ecee"}, r"primary\.metric: the suite does not run the metric 'ecee'.*'ece'"),
        ({"contrast": "reversed"}, r"primary\.contrast: the suite does not run the arm 'reversed'"),
        ({"calibrator": "platt"}, r"primary\.calibrator: .*'platt'\. Add it"),
        ({"margin": 0}, r"primary\.margin"),
        ({"margins": 1}, r"primary\.margins"),
    ],
)
def test_primary_contrast_that_does_not_run_is_refused(primary, message):
    with pytest.raises(ConfigurationError, match=message) as error:
        plan_of(primary=primary)
    assert "\n" not in str(error.value)


def test_suite_with_primary_contrast_round_trips_as_toml(tmp_path):
    suite = Suite.build({"primary": {"metric": "ece", "margin": 0.02}})
    (tmp_path / "suite.toml").write_text(suite.to_toml(), encoding="utf-8")
    assert Suite.build(Suite.read(tmp_path / "suite.toml")).primary == suite.primary


def test_iterables_stand_for_lists():
    bins = Suite.build({"bins": np.array([10, 15]), "seeds": range(2), "arms": iter(["baseline"])})
    assert bins == Suite.build({"bins": [10, 15], "seeds": [0, 1], "arms": ["baseline"]})
    assert Suite.build({"seed": np.int64(3)}).seeds == [3]
    assert Suite.build({"seeds": (number for number in np.arange(2))}).seeds == [0, 1]
