"""Properties and effects of synthetic inputs, computed from what a run has stored."""
