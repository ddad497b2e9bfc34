"""Leaderboards: their format, how they are built and merged, verified and shown."""
