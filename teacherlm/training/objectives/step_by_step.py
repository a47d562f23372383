"""Label and rationale as two tasks of one student, weighed against each other (Distilling step-by-step, Hsieh et al. 2023).

    predict: Q: ... A:    ->  The answer is (B).          `train_on`, by default the column text, behind the prompt
    explain: Q: ... A:    ->  Water flows downhill.       the column `rationale`

loss = alpha * (mean over the label's tokens) + (1 - alpha) * (mean over the rationale's tokens), each mean over the whole step. A
question gives two rows, which share a batch (but at its edge), so `batch_size` 128 is the original's 64 questions. The prefixes are
the template's.
Whoever asks the student for an answer puts `predict: ` before the prompt: its checkpoints say so, and `evaluate` does.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from teacherlm.stage import Plugin
from teacherlm.training.settings import ObjectiveSettings


class StepByStepSettings(ObjectiveSettings):
    name: Literal["step_by_step"] = "step_by_step"
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Weight of the label; the rationale has the rest."""
    rationale: str = "cot"
    """Column of the rationales: a kind (cot, error, fundamental), explanation, or any other; rows without one give only the label."""

    column: ClassVar[str] = "text"
    row_by_row: ClassVar[bool] = False

    def texts(self, table: Any, column: str, completion_only: bool, reader: Any) -> Any:
        from teacherlm.training.step_by_step import build_tasks

        return build_tasks(table, column, self.rationale, completion_only, reader)

    def facts(self, column: str, templates: Sequence[str]) -> Mapping[str, Any]:
        """Raises: UserError for rows whose templates name the tasks differently."""
        from teacherlm.training.step_by_step import label_prefix

        return {"objective": self.name, "alpha": self.alpha, "rationale": self.rationale, "prompt_prefix": label_prefix(templates)}


def build(settings: StepByStepSettings, family: Any, tools: Any) -> Any:
    from teacherlm.training.step_by_step import StepByStep

    return StepByStep(family, settings.alpha)


OBJECTIVE = Plugin(StepByStepSettings, build)
