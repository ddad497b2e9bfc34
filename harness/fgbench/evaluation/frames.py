"""Results as pandas frames; pandas is imported when one is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fgbench.errors import ConfigurationError


def frame(rows: Iterable[Mapping[str, Any]]) -> Any:
    """Return rows as a pandas frame. Raises `ConfigurationError` if pandas is not installed."""
    try:
        import pandas as pd  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise ConfigurationError("to_frame() needs pandas: pip install pandas") from None
    return pd.DataFrame(list(rows))
