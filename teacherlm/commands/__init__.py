"""Commands beside the stages. One file each: the first line of its docstring is its line in `--help`."""

ORDER = ("run", "submit", "status", "logs", "cancel", "list", "show", "score", "export", "import", "push", "wandb_sync", "doctor", "job")
