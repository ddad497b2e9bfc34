"""The release script says what was audited, and fails if it was not."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location(
    "release", Path(__file__).parents[2] / "tools" / "release.py"
)
release = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(release)

CLEAN = {"name": "typing_extensions", "version": "4.16.0", "vulns": []}
VULNERABLE = {"name": "h11", "version": "0.14.0", "vulns": [{"id": "CVE-2025-43859"}]}
SKIPPED = {"name": "idna", "skip_reason": "Dependency not found on PyPI"}


@pytest.fixture
def pip_audit(tmp_path, monkeypatch):
    """Put a program on the path that ends like pip-audit does: with a report, or without one."""
    monkeypatch.setattr(release, "DIST", tmp_path)
    (tmp_path / "environment/lib/python3/site-packages").mkdir(parents=True)

    def program(dependencies=None, *, code=0):
        lines = [f"#!{sys.executable}", "import sys"]
        if dependencies is None:
            lines.append("sys.exit('ConnectionError: no route to the service')")
        else:
            report = json.dumps({"dependencies": dependencies})
            lines.append("path = sys.argv[sys.argv.index('--output') + 1]")
            lines.append(f"open(path, 'w', encoding='utf-8').write({report!r})")
            lines.append(f"sys.exit({code})")
        file = tmp_path / "pip-audit"
        file.write_text("\n".join(lines), encoding="utf-8")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        return tmp_path / "environment/bin/python"

    return program


def test_audit_reports_that_all_packages_are_clean(pip_audit):
    python = pip_audit([CLEAN, SKIPPED])
    assert release.audit(python, ["typing-extensions"]) == "no known vulnerability in 1 packages"


def test_audit_fails_with_the_id_of_a_known_vulnerability(pip_audit):
    python = pip_audit([CLEAN, VULNERABLE], code=1)
    with pytest.raises(release.ReleaseError, match=r"h11 \(CVE-2025-43859\)"):
        release.audit(python, ["typing-extensions", "h11"])


def test_audit_fails_if_the_service_does_not_answer(pip_audit):
    with pytest.raises(release.ReleaseError, match=r"not audited: .*no route to the service"):
        release.audit(pip_audit(), ["h11"])


def test_audit_fails_if_the_service_does_not_know_a_package(pip_audit):
    python = pip_audit([CLEAN, SKIPPED])
    with pytest.raises(release.ReleaseError, match=r"not audited: .* 1 of 2 packages"):
        release.audit(python, ["typing-extensions", "idna"])


def test_failed_step_ends_the_release_with_its_output(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(release, "DIST", tmp_path / "dist")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert release.main(["--no-audit"]) == 1
    assert "uv is not installed: use `tox run -e release`" in capsys.readouterr().err
