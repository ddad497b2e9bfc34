"""The store: every artefact of every stage, by key, written once and verified when read."""

from fgbench.store.artifacts import Artifact, Product, Store, default_store

__all__ = ["Artifact", "Product", "Store", "default_store"]
