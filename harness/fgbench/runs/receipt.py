"""The receipt of a finished run: what its folder was written from, and the digest of each file.

A rerun whose stages all lead to the same artifacts, with the same fgbench and packages, finds its
folder up to date and writes nothing.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgbench.digests import digest, digest_file
from fgbench.errors import StoreError
from fgbench.foreign import RECEIPT, read_json
from fgbench.store.atomic import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fgbench.engine.scheduler import NodeResult
    from fgbench.leaderboard.models import Provenance

_FILE = ".receipt.json"
_OUTPUTS = ("*.json", "*.html", "samples/*.jsonl", "predictions/*.npz")
_INPUTS = {"plan.json", _FILE}
"""Files that are written before the run, or as the receipt."""


def is_current(folder: Path, results: Mapping[str, NodeResult], facts: Provenance) -> bool:
    """Return whether the files of a run's folder are intact and were written from `results`.

    False if a stage failed.
    """
    try:
        receipt = read_json(folder / _FILE, RECEIPT)
        return (
            all(result.ok for result in results.values())
            and isinstance(receipt, dict)
            and receipt.get("written_from") == _written_from(results, facts)
            and receipt.get("files") == _digests(folder)
        )
    except (OSError, StoreError):
        return False


def write_receipt(folder: Path, results: Mapping[str, NodeResult], facts: Provenance) -> None:
    """Write the receipt of a folder that was just written from `results`."""
    receipt: dict[str, Any] = {
        "written_from": _written_from(results, facts),
        "files": _digests(folder),
    }
    write_atomically(folder / _FILE, json.dumps(receipt, indent=1, sort_keys=True) + "\n")


def _written_from(results: Mapping[str, NodeResult], facts: Provenance) -> str:
    stages = {node: [result.key, result.digest] for node, result in results.items()}
    return digest([stages, facts.model_dump(mode="json", exclude={"started"}), _code()])


@lru_cache(maxsize=1)
def _code() -> str:
    """Identify the code that writes a folder by the size and time of each of its files."""
    package = Path(__file__).resolve().parents[1]
    files = [path for path in sorted(package.rglob("*")) if path.suffix != ".pyc"]
    status = [(path, path.stat()) for path in files if path.is_file()]
    return digest([[str(path), item.st_size, item.st_mtime_ns] for path, item in status])


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): digest_file(path)
        for pattern in _OUTPUTS
        for path in folder.glob(pattern)
        if path.name not in _INPUTS and path.is_file()
    }
