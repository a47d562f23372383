"""The chain, in order. One file per stage: the first line of its docstring is its line in `--help`."""

ORDER = ("prepare", "enhance", "postprocess", "finetune", "evaluate", "report")
