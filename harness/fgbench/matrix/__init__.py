"""From a suite to its cells, and from the cells to one graph of shared stages."""
