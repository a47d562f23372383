"""Sum numbers (a stage of the tests: gathers)."""

from teacherlm.stage import Input, Outcome, Stage, StageConfig


class TotalConfig(StageConfig):
    input: list[Input]
    """Folders of numbers."""


def total(config: TotalConfig) -> Outcome:
    config.output.mkdir(parents=True, exist_ok=True)
    (config.output / "number.txt").write_text(str(sum(int((folder / "number.txt").read_text()) for folder in config.input)))
    return Outcome(counts={"rows": len(config.input)})


STAGE = Stage(total, TotalConfig)
