"""On-policy distillation (GKD): at a share of the steps the student answers the prompts itself, and learns from its teacher's distribution
at each token it wrote; at the others at the dataset's tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from teacherlm.errors import UserError
from teacherlm.stage import Model, Plugin
from teacherlm.training.objectives.distill import DEFAULT_BETA, TeacherDtype
from teacherlm.training.settings import ObjectiveSettings


class OnPolicySettings(ObjectiveSettings):
    name: Literal["on_policy"] = "on_policy"
    teacher: Model
    """Model folder, output of finetune or hub id; of the student's vocabulary."""
    lmbda: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the steps at which the student's own answers are trained on (`lambda` is understood too)."""
    beta: Annotated[float, Field(ge=0, le=1)] = DEFAULT_BETA
    """Divergence beta KL(teacher || M) + (1 - beta) KL(student || M), M = beta teacher + (1 - beta) student; 0 is the forward KL(teacher ||
    student), 1 the reverse. Taken at temperature 1."""
    temperature: Annotated[float, Field(gt=0)] = 0.9
    """At which the student's answers are drawn."""
    max_new_tokens: Annotated[int, Field(gt=0)] = 128
    """Longest answer in tokens; those after it are not asked for, and no end is learnt."""
    teacher_dtype: TeacherDtype = "auto"
    """How the teacher's weights are held; auto: as they are stored. int8 and nf4 need the extra `quantized`."""

    @model_validator(mode="before")
    @classmethod
    def _lambda(cls, values: Any) -> Any:
        """The field's own name is a word of Python."""
        if not isinstance(values, Mapping) or "lambda" not in values:
            return values
        if "lmbda" in values:
            raise UserError("lambda and lmbda are the same; give one.")
        return {("lmbda" if key == "lambda" else key): value for key, value in values.items()}

    def texts(self, table: Any, column: str, completion_only: bool, reader: Any) -> Any:
        """Raises: UserError with loss on the whole text: a student can only go on from a prompt."""
        if not completion_only:
            raise UserError("loss_on: all does not go with on_policy, which needs a prompt to answer; leave it at completion.")
        return super().texts(table, column, completion_only, reader)

    def facts(self, column: str, templates: Sequence[str]) -> Mapping[str, Any]:
        return {"objective": self.name, "lambda": self.lmbda, "beta": self.beta}


def build(settings: OnPolicySettings, family: Any, tools: Any) -> Any:
    """Raises: UserError for a teacher of another kind or vocabulary than the student."""
    from teacherlm.training.distill import Mixture
    from teacherlm.training.on_policy import OnPolicy, Policy
    from teacherlm.training.teacher import build_teacher

    tokenizer = tools.tokenizer
    teacher = build_teacher(settings.teacher, tokenizer, family, settings.teacher_dtype, tools.trust_remote_code)
    policy = Policy(settings.lmbda, settings.temperature, settings.max_new_tokens, tokenizer.eos_token_id, tools.seed)
    return OnPolicy(family, teacher, Mixture(settings.beta), pad=tokenizer.pad_token_id, policy=policy)


OBJECTIVE = Plugin(OnPolicySettings, build)
