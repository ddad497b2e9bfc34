"""Plugins: hooks, discovery, and the registry of parts."""
