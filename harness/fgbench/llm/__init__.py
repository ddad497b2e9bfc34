"""Language models: what parts ask, what is answered, and where answers and budgets are kept."""
