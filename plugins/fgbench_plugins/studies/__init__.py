"""Studies of papers, as commands: the self-calibration ablation and the measurement grid."""
