"""The store: every artifact of every stage, by key, written once and verified when used."""

from fgbench.store.artifacts import (
    Artifact,
    Product,
    Store,
    default_store,
    existing_store,
    open_store,
)

__all__ = ["Artifact", "Product", "Store", "default_store", "existing_store", "open_store"]
