"""Installed plugins are those that `importlib.metadata` finds."""

import sys
from importlib import metadata

from fgbench.plugins.discovery import _by_library, installed_plugins


def test_entry_points_match_standard_library():
    groups = metadata.entry_points().groups
    assert "fgbench" in groups
    for group in groups:
        found = {(each.name, each.target) for each in installed_plugins(group)}
        expected = {
            (e.name, e.value.partition("[")[0].strip()) for e in metadata.entry_points(group=group)
        }
        assert found == expected, group


def test_first_distribution_on_path_wins(tmp_path, monkeypatch):
    for folder, value in (("one", "first"), ("two", "second")):
        info = tmp_path / folder / "My_Plugin-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: My_Plugin\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "[console_scripts]\nx = y:z\n\n# a comment\n"
            f"[fgbench]\nmine = json.{value}:a.b [extra]\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    found = [each for each in installed_plugins("fgbench") if each.name == "mine"]
    assert found == [("mine", "json.second:a.b", "my-plugin")]
    assert found == [each for each in _by_library("fgbench") if each.name == "mine"]


def test_archives_on_path_are_searched(tmp_path, monkeypatch):
    import zipfile

    with zipfile.ZipFile(tmp_path / "plugin.zip", "w") as archive:
        archive.writestr(
            "zipped-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: zipped\nVersion: 1.0\n"
        )
        archive.writestr("zipped-1.0.dist-info/entry_points.txt", "[fgbench]\nzipped = json\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "plugin.zip"), *sys.path])
    assert ("zipped", "json", "zipped") in list(installed_plugins("fgbench"))
