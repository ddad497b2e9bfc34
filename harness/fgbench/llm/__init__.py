"""Language models: requests of parts, stored answers, and budgets."""
