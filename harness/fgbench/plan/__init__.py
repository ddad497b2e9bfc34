"""From a suite to its cells and the graph of their stages."""
