"""Build what a release publishes: distributions, a list of dependencies (SBOM), and their audit.

`tox run -e release` runs it. It leaves in dist/ the sdist, the wheel, `fgbench-VERSION.cdx.json`
(CycloneDX: what the wheel installs, in the versions of tests/constraints.txt) and `audit.json` (the
report of pip-audit on these). It publishes nothing. The exit code is 1 if a step fails, a
vulnerability is known, or the advisory service does not answer for every package; `--no-audit`
builds without asking it.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"


class ReleaseError(Exception):
    """A step of the release failed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and check everything, and print the outcome of each step."""
    parser = argparse.ArgumentParser(description="Build and check the files of a release.")
    parser.add_argument("--no-audit", action="store_true", help="do not ask for known advisories")
    options = parser.parse_args(arguments)
    try:
        wheel = build()
        with tempfile.TemporaryDirectory() as folder:
            python = install(wheel, Path(folder))
            packages = write_sbom(python, wheel)
            if options.no_audit:
                print("audit: skipped (--no-audit)")
            else:
                print(f"audit: {audit(python, packages)}")
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


def build() -> Path:
    """Build sdist and wheel into an empty dist/, check their metadata, and return the wheel."""
    shutil.rmtree(DIST, ignore_errors=True)
    call("uv", "build", "--quiet", "--out-dir", DIST, ROOT)
    built = sorted([*DIST.glob("*.tar.gz"), *DIST.glob("*.whl")])
    call("twine", "check", "--strict", *built)
    print("built:", ", ".join(path.name for path in built))
    return next(path for path in built if path.suffix == ".whl")


def install(wheel: Path, folder: Path) -> Path:
    """Install the wheel as tested, and nothing else; return the environment's Python."""
    environment = folder / "environment"
    call("uv", "venv", "--quiet", "--python", sys.executable, environment)
    python = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    constraints = ROOT / "tests" / "constraints.txt"
    call("uv", "pip", "install", "--quiet", "--python", python, "-c", constraints, wheel)
    return python


def write_sbom(python: Path, wheel: Path) -> list[str]:
    """Write the environment's packages as CycloneDX, and return their normalized names."""
    version = wheel.name.split("-")[1]
    path = DIST / f"fgbench-{version}.cdx.json"
    command = ["cyclonedx-py", "environment", "--output-reproducible", "--output-file", path]
    call(*command, "--pyproject", ROOT / "pyproject.toml", python)
    bom = json.loads(path.read_text(encoding="utf-8"))
    # pyproject.toml leaves the version to the build.
    bom["metadata"]["component"]["version"] = version
    path.write_text(json.dumps(bom, indent=2) + "\n", encoding="utf-8")
    names = [normalized(component["name"]) for component in bom["components"]]
    print(f"SBOM: {path.name}, {len(names)} packages")
    return names


def audit(python: Path, packages: Sequence[str]) -> str:
    """Return a line about known vulnerabilities, if there are none."""
    (site,) = python.parent.parent.glob("[Ll]ib/**/site-packages")
    path = DIST / "audit.json"
    command = ["pip-audit", "--path", site, "--format", "json", "--output", path]
    result = run(*command, "--progress-spinner", "off")
    if not path.exists():
        reason = (result.stderr.strip() or f"exit code {result.returncode}").splitlines()[-1]
        raise ReleaseError(
            f"not audited: pip-audit got no answer from the advisory service ({reason}). Run it "
            "again where the service can be reached, or build with --no-audit."
        )
    return judged(json.loads(path.read_text(encoding="utf-8")), packages)


def judged(report: dict[str, Any], packages: Sequence[str]) -> str:
    """Return the summary of a report of pip-audit on these packages.

    Raises `ReleaseError` for a known vulnerability, and for a package that was not audited:
    pip-audit itself calls a report without any audited package free of vulnerabilities.
    """
    audited = {
        normalized(item["name"]): item["vulns"]
        for item in report["dependencies"]
        if "skip_reason" not in item
    }
    vulnerable = [
        f"{name} ({', '.join(found['id'] for found in vulnerabilities)})"
        for name, vulnerabilities in sorted(audited.items())
        if vulnerabilities
    ]
    if vulnerable:
        raise ReleaseError(f"known vulnerabilities: {'; '.join(vulnerable)}.")
    missing = sorted(set(packages) - set(audited))
    if missing:
        raise ReleaseError(
            f"not audited: the advisory service knows nothing of {len(missing)} of "
            f"{len(packages)} packages ({', '.join(missing[:3])}, …). Is it a mirror without "
            "advisories? Run it again where the service can be reached, or build with --no-audit."
        )
    return f"no known vulnerability in {len(packages)} packages"


def normalized(name: str) -> str:
    """Return a distribution's normalized name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def call(*command: str | Path) -> None:
    """Run a command; its output appears only if it fails."""
    result = run(*command)
    if result.returncode:
        name = " ".join(map(str, command[:2]))
        raise ReleaseError(f"{name} failed:\n{result.stdout}{result.stderr}")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command, and return its exit code and output."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ReleaseError(f"{command[0]} is not installed: use `tox run -e release`.") from None


if __name__ == "__main__":
    sys.exit(main())
