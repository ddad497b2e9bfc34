"""Compare boards entry by entry, and attribute what changed."""
