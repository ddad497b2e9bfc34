"""The method: split, target bins, generate and relabel inputs, compose arms, influence."""
