"""The registry: loading plugins, lazy parts, name clashes and reported failures."""

import subprocess
import sys
import textwrap
from importlib.util import find_spec

import pytest

from fgbench.errors import ConfigurationError, PluginError
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import PLUGINS_VARIABLE, Registry

GOOD = """
from typing import Annotated
from pydantic import Field
from fgbench import Calibrator, hookimpl

class Shrink(Calibrator):
    by: Annotated[float, Field(gt=0)] = 2.0
    names: list[str] = []
    needs = frozenset({"logits"})
    def fit(self, held_out): ...
    def transform(self, predictions):
        return predictions.with_logits(predictions.logits / self.by)

class NotAPart: ...

@hookimpl
def fgbench_calibrators(register):
    register("shrink", "%(module)s:Shrink", "Divide the logits")
    register("bad-class", "%(module)s:NotAPart", "")
    register("missing", "%(module)s:Nowhere", "")
    register("heavy", "no_such_library.parts:X", "", extra="fgbench[heavy]")
"""


def plugin(folder, name, text=GOOD):
    path = folder / f"{name}.py"
    path.write_text(
        textwrap.dedent(text) % {"module": name} if "%(" in text else textwrap.dedent(text)
    )
    return str(path)


@pytest.fixture(autouse=True)
def _forget_local_modules():
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("local_"):
            del sys.modules[name]


def test_local_plugin_parts_have_validated_parameters(tmp_path):
    registry = Registry.load([plugin(tmp_path, "local_good")])
    assert registry.failures == []
    part = registry.create("calibrator", PartReference.parse("shrink:by=4,names=[a,b]"))
    assert (part.by, part.names) == (4.0, ["a", "b"])
    assert part.parameters() == {"by": 4.0, "names": ["a", "b"]}
    assert registry.find("calibrator", "shrink").code_digest is not None


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("shrimk", r"unknown calibrator 'shrimk'\. Did you mean 'shrink'\?"),
        ("shrink:bx=4", r"calibrator 'shrink' has no parameter 'bx'\. Did you mean 'by'\?"),
        ("shrink:by=four", r"calibrator 'shrink': parameter by = 'four': .*number"),
        ("shrink:by=-1", r"parameter by = '-1': .*greater than 0"),
    ],
)
def test_unknown_name_or_parameter_suggests_nearest(tmp_path, reference, message):
    registry = Registry.load([plugin(tmp_path, "local_wrong")])
    with pytest.raises(ConfigurationError, match=message):
        registry.create("calibrator", PartReference.parse(reference))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bad-class", "is not a subclass of fgbench.Calibrator"),
        ("missing", "cannot be imported"),
        (
            "heavy",
            r"needs 'no_such_library', which is not installed: pip install 'fgbench\[heavy\]'",
        ),
    ],
)
def test_unavailable_part_error_has_reason(tmp_path, name, message):
    registry = Registry.load([plugin(tmp_path, "local_parts")])
    with pytest.raises(PluginError, match=message):
        registry.part_class("calibrator", name)


RAISES_ON_IMPORT = "raise RuntimeError('boom')"
EXITS_ON_IMPORT = "import sys; sys.exit('boom')"
RAISES_ON_REGISTRATION = """
from fgbench import hookimpl

@hookimpl
def fgbench_calibrators(register):
    register("half", "local_half:X", "")
    raise RuntimeError("boom")
"""


RAISES_LATER = """
from fgbench import hookimpl

@hookimpl
def fgbench_calibrators(register):
    register("half", "local_half:X", "")

@hookimpl
def fgbench_metrics(register):
    raise RuntimeError("boom")
"""


@pytest.mark.parametrize(
    "text", [RAISES_ON_IMPORT, EXITS_ON_IMPORT, RAISES_ON_REGISTRATION, RAISES_LATER]
)
def test_broken_plugin_is_reported_and_skipped(tmp_path, text):
    broken = plugin(tmp_path, "local_half", text)
    registry = Registry.load([broken, plugin(tmp_path, "local_fine")])
    assert len(registry.failures) == 1
    assert "local_half.py" in registry.failures[0].plugin
    assert "boom" in registry.failures[0].reason
    assert "shrink" in registry.names("calibrator")
    assert "half" not in registry.names("calibrator")
    with pytest.raises(ConfigurationError, match=r"unknown calibrator 'half'.*local_half\.py"):
        registry.find("calibrator", "half")


def test_name_clash_error_names_both_plugins(tmp_path):
    registry = Registry.load([plugin(tmp_path, "local_one"), plugin(tmp_path, "local_two")])
    with pytest.raises(
        PluginError, match=r"'shrink' is registered by local_one\.py .* local_two\.py"
    ):
        registry.find("calibrator", "shrink")
    assert any("is registered by" in failure.reason for failure in registry.failures)
    assert registry.find("calibrator", "none").plugin.startswith("builtin")


def test_built_in_name_cannot_be_overridden(tmp_path):
    thief = plugin(tmp_path, "local_thief", GOOD.replace('"shrink"', '"none"'))
    with pytest.raises(PluginError, match=r"'none' is registered by builtin .* and local_thief"):
        Registry.load([thief]).find("calibrator", "none")


def test_plugins_are_loaded_from_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(PLUGINS_VARIABLE, plugin(tmp_path, "local_environment"))
    assert "shrink" in Registry.load().names("calibrator")


def test_missing_plugin_file_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="no such file"):
        Registry.load([str(tmp_path / "nothing.py")])


def test_raising_lifecycle_hook_is_reported_and_disabled(tmp_path):
    watcher = plugin(
        tmp_path,
        "local_watcher",
        """
        from fgbench import hookimpl
        seen = []

        @hookimpl
        def fgbench_stage_finished(stage):
            seen.append(stage["key"])
            raise ValueError("tracker is down")
        """,
    )
    registry = Registry.load([watcher])
    for key in ("a", "b"):
        registry.notify("fgbench_stage_finished", stage={"key": key})
    assert sys.modules["local_watcher"].seen == ["a"]
    assert "tracker is down" in registry.failures[0].reason


ORDERED = """
from fgbench import hookimpl
import local_calls

@hookimpl(%(options)s)
def fgbench_run_started(run):
    local_calls.calls.append("%(module)s")
"""

WRAPPER = """
from fgbench import hookimpl
import local_calls

@hookimpl(wrapper=True)
def fgbench_run_started(run):
    local_calls.calls.append("before")
    result = yield
    local_calls.calls.append("after")
    return result
"""


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """The list that the plugins of a test append to."""
    (tmp_path / "local_calls.py").write_text("calls = []\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import local_calls

    return local_calls.calls


def ordered(folder, name, options=""):
    text = ORDERED.replace("%(options)s", options)
    return plugin(folder, name, text)


def test_tryfirst_and_trylast_order_plugins(tmp_path, calls):
    options = {"local_last": "trylast=True", "local_middle": "", "local_first": "tryfirst=True"}
    Registry.load([ordered(tmp_path, *item) for item in options.items()]).notify(
        "fgbench_run_started", run={}
    )
    assert calls == ["local_first", "local_middle", "local_last"]


def test_hook_wrapper_runs_once_around_other_plugins(tmp_path, calls):
    wrapper = plugin(tmp_path, "local_wrapper", WRAPPER)
    inner = [ordered(tmp_path, "local_one"), ordered(tmp_path, "local_two")]
    registry = Registry.load([wrapper, *inner])
    registry.notify("fgbench_run_started", run={})
    assert calls == ["before", "local_two", "local_one", "after"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_raising_hook_wrapper_is_skipped(tmp_path, calls, moment):
    text = WRAPPER.replace(f'append("{moment}")', 'append("boom" / 1)')
    registry = Registry.load(
        [plugin(tmp_path, "local_wrapper", text), ordered(tmp_path, "local_one")]
    )
    for _ in range(2):
        registry.notify("fgbench_run_started", run={})
    assert calls.count("local_one") == 2
    (failure,) = registry.failures
    assert failure.plugin.startswith("local_wrapper.py")
    assert failure.reason.startswith("fgbench_run_started raised TypeError")


def test_other_plugins_are_called_after_one_raises(tmp_path, calls):
    broken = plugin(tmp_path, "local_broken", ORDERED.replace("%(options)s", "") + "    1 / 0\n")
    registry = Registry.load([ordered(tmp_path, "local_one"), broken])
    registry.notify("fgbench_run_started", run={})
    registry.notify("fgbench_run_started", run={})
    assert calls == ["local_broken", "local_one", "local_one"]
    assert "ZeroDivisionError" in registry.failures[0].reason


UNKNOWN_HOOK = """
from fgbench import hookimpl

@hookimpl(%s)
def fgbench_calibratrs(register): ...
"""


def test_unknown_hook_is_reported_unless_optional(tmp_path):
    registry = Registry.load(
        [
            plugin(tmp_path, "local_typo", UNKNOWN_HOOK.replace("(%s)", "")),
            plugin(tmp_path, "local_optional", UNKNOWN_HOOK.replace("%s", "optionalhook=True")),
        ]
    )
    (failure,) = registry.failures
    assert failure.plugin.startswith("local_typo.py")
    assert "unknown hook 'fgbench_calibratrs'" in failure.reason


def test_every_built_in_part_imports_and_conforms():
    registry = Registry.load()
    for item in registry.registrations():
        assert item.summary
        if item.name == "probmetrics" and find_spec("probmetrics") is None:
            continue  # an extra: without it the import says so
        part = registry.part_class(item.kind, item.name)
        assert part.__doc__


HEAVY = "numpy scipy torch sklearn pandas transformers openai vllm matplotlib pydantic rich"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list"],
        ["list", "datasets"],
        ["--version"],
        ["run", "--help"],
        ["grid", "--help"],
        ["ablation", "--help"],
    ],
)
def test_help_and_list_import_nothing_heavy(arguments):
    script = (
        "import sys\nfrom fgbench.cli import run_command\n"
        f"assert run_command({arguments!r}) == 0\n"
        f"print(sorted(set({HEAVY!r}.split()) & set(sys.modules)), file=sys.stderr)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert answer.stderr.strip() == "[]"
    assert answer.stdout.strip()
