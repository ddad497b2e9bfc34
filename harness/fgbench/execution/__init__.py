"""Run a graph of stages: what is stored is not run again, what fails takes only its users along."""
