"""The JSON Schema of leaderboards: `python -m fgbench.leaderboard.schema > FILE` writes it."""

from __future__ import annotations

import json
import sys

from fgbench.leaderboard.models import json_schema


def schema_text() -> str:
    """Return the text of the committed schema file."""
    return json.dumps(json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
