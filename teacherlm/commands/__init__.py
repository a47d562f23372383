"""Commands beside the stages. One file each: the first line of its docstring is its line in `--help`."""

RUNS = ("run", "submit", "status", "logs", "cancel")
ORDER = (
    *RUNS,
    "list",
    "init",
    "new_task",
    "show",
    "trace",
    "score",
    "export",
    "import",
    "push",
    "merge",
    "generate",
    "serve",
    "wandb_sync",
    "doctor",
    "job",
)
