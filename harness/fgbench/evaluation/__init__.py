"""Evaluation without a run: metrics, comparison and reliability diagram of anyone's predictions.

`shapes` reads arrays and `files` reads files, `assessment` evaluates one set of predictions and
`comparison` compares two. `tables`, `diagram` and `page` are what people see.
"""
