"""The built-in commands: where each one is, and its line in `fgbench --help`."""

COMMANDS = {
    "run": ("fgbench.cli.run:run", "Run a matrix of cells and write its leaderboard."),
    "plan": ("fgbench.cli.plan:plan", "Show what a run would do; runs nothing."),
    "list": ("fgbench.cli.list:list_parts", "List data sets, classifiers and all other parts."),
    "show": ("fgbench.cli.show:show", "Show one part: its parameters, needs and card."),
    "data": ("fgbench.cli.data:data", "Fetch, verify and describe data sets."),
    "cache": ("fgbench.cli.cache:cache", "Count, export and import language models' answers."),
    "store": ("fgbench.cli.store:store", "Show, free and check the disk space of stored stages."),
    "report": ("fgbench.cli.report:report", "Write the HTML report of a run."),
    "evaluate": ("fgbench.cli.evaluate:evaluate", "Evaluate anyone's predictions, without a run."),
    "compare": ("fgbench.cli.compare:compare", "Compare two sets of predictions."),
    "predict": ("fgbench.cli.predict:predict", "Classify new texts with the model of a run."),
    "leaderboard": ("fgbench.cli.leaderboard:leaderboard", "Build, compare, verify, rerun boards."),
    "doctor": ("fgbench.cli.doctor:doctor", "Check the installation, the plugins and the folders."),
}
