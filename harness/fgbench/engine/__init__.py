"""Run a graph of stages, reusing stored results and isolating failures."""
