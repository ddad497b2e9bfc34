"""With what, where and when results were made."""

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
    """Return the provenance of results that are made here and now."""
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
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@lru_cache(maxsize=1)
def _git() -> tuple[str | None, bool | None]:
    """Return commit and dirtiness of the checkout that fgbench runs from, if it runs from one."""
    here = Path(__file__).resolve().parent
    if not any((folder / ".git").exists() for folder in here.parents):
        return None, None
    try:
        # An installation inside somebody's repository is not a checkout of fgbench.
        _ask_git(here, "ls-files", "--error-unmatch", Path(__file__).name)
        commit = _ask_git(here, "rev-parse", "HEAD")
        return commit, bool(_ask_git(here, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _ask_git(folder: Path, *arguments: str) -> str:
    answer = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return answer.stdout.strip()
