"""Plugins: their hooks, how they are loaded, and the registry of what they register."""
