"""Run a graph of stages: reuse stored results, isolate failures."""
