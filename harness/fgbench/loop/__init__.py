"""The method: target bins, generate and relabel, compose arms, train, calibrate, evaluate."""
