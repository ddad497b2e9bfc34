"""Bundled leaderboards, one folder per board, and the JSON Schema of the format."""

from pathlib import Path

BOARDS = Path(__file__).parent
