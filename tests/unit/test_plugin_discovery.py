"""Plugins of installed distributions are discovered through their entry points."""

import pytest

from fgbench.plugins.registry import Registry

PLUGIN = """
from fgbench import hookimpl

@hookimpl
def fgbench_calibrators(register):
    register("{name}", "no.such.module:Part", "Never imported")
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution with one entry point in the group `fgbench` on the path."""

    def distribution(name, code, *, module=None, folder=None):
        site = tmp_path / (folder or name)
        metadata = site / f"{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        module = module or f"installed_{name}"
        (metadata / "entry_points.txt").write_text(
            f"[console_scripts]\nx = y:z\n\n[fgbench]\nparts = {module}\n"
        )
        (site / f"{module}.py").write_text(code)
        monkeypatch.syspath_prepend(str(site))

    return distribution


def test_entry_points_of_two_distributions_are_loaded(install):
    install("first", PLUGIN.format(name="one"))
    install("second", PLUGIN.format(name="two"))
    registry = Registry.load()
    assert registry.failures == []
    assert registry.find("calibrator", "one").plugin == "parts (first)"
    assert registry.find("calibrator", "two").plugin == "parts (second)"
    assert registry.find("calibrator", "none").plugin == "builtin (fgbench)"


def test_first_distribution_on_path_wins(install):
    install("twin", PLUGIN.format(name="hidden"), module="installed_hidden", folder="last")
    install("twin", PLUGIN.format(name="visible"), module="installed_visible", folder="first")
    names = Registry.load().names("calibrator")
    assert "visible" in names
    assert "hidden" not in names


def test_broken_distribution_is_reported_and_skipped(install):
    install("broken", "raise RuntimeError('boom')")
    install("sound", PLUGIN.format(name="sound"))
    registry = Registry.load()
    (failure,) = registry.failures
    assert failure.plugin == "parts (broken)"
    assert "boom" in failure.reason
    assert "sound" in registry.names("calibrator")


def test_missing_module_of_entry_point_is_reported(install, tmp_path):
    install("gone", "", module="installed_gone")
    (tmp_path / "gone" / "installed_gone.py").unlink()
    (failure,) = Registry.load().failures
    assert failure.plugin == "parts (gone)"
    assert "No module named 'installed_gone'" in failure.reason
