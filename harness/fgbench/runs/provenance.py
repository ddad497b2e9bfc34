"""Provenance of results: versions, platform, commit and start time."""

from __future__ import annotations

import platform
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from fgbench._version import __version__
from fgbench.leaderboard.models import Provenance

_PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "transformers", "vllm", "openai")


def provenance(started: str) -> Provenance:
    """Return the provenance of results of this process; `started` is the time of their start."""
    commit, dirty = _git()
    return Provenance(
        fgbench=__version__,
        python=platform.python_version(),
        packages=_versions(),
        platform=f"{platform.system()} {platform.machine()}",
        git_commit=commit,
        git_dirty=dirty,
        started=started,
    )


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@lru_cache(maxsize=1)
def _git() -> tuple[str | None, bool | None]:
    """Return the commit of the checkout that fgbench runs from, and whether it is modified.

    Both are None if fgbench does not run from a checkout.
    """
    folder = Path(__file__).resolve().parent
    if not any((parent / ".git").exists() for parent in folder.parents):
        return None, None
    try:
        # fgbench may be installed inside another repository, which does not track this file.
        _run_git(folder, "ls-files", "--error-unmatch", Path(__file__).name)
        commit = _run_git(folder, "rev-parse", "HEAD")
        return commit, bool(_run_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _run_git(folder: Path, *arguments: str) -> str:
    process = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return process.stdout.strip()
