"""Distillation: the student's next-token distribution is trained towards a teacher's, on the dataset's own targets.

Teacher and student have one vocabulary. `top_k` keeps of the teacher its k most likely tokens p_1..p_k and one bucket for the rest,
1 - (p_1 + ... + p_k); the divergence is that of these k + 1 categories against the student's probabilities of the same.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from teacherlm.errors import UserError
from teacherlm.stage import Input, Model, Plugin
from teacherlm.training.settings import ObjectiveSettings

BETAS = {"forward_kl": 0.0, "reverse_kl": 1.0}
DEFAULT_BETA = 0.5

TeacherDtype = Literal["auto", "float32", "bfloat16", "float16", "int8", "nf4"]


def as_list(value: Any) -> Any:
    return [value] if isinstance(value, (str, Path)) else value


class DistillSettings(ObjectiveSettings):
    name: Literal["distill"] = "distill"
    teacher: Model | None = None
    """Model folder, output of finetune or hub id; of the student's vocabulary."""
    logprobs: Annotated[list[Input], BeforeValidator(as_list)] = []
    """Instead of a teacher: outputs of `enhance` with top_logprobs, whose ledgers hold what it thought likely as it wrote the rationales.
    Forward KL at temperature 1; where the teacher wrote nothing (a stated answer) the dataset's token alone."""
    divergence: Literal["forward_kl", "reverse_kl", "jsd"] = "forward_kl"
    """KL(teacher || student), KL(student || teacher), or beta KL(teacher || M) + (1 - beta) KL(student || M) with M = beta teacher + (1 -
    beta) student."""
    beta: Annotated[float, Field(ge=0, le=1)] = DEFAULT_BETA
    """For jsd, as in GKD: 0 is the forward KL, 1 the reverse."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Divides the logits of both; the divergence is multiplied by its square (Hinton et al. 2015)."""
    sft_weight: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Weight of the dataset's targets (cross-entropy); the divergence has the rest."""
    teacher_dtype: TeacherDtype = "auto"
    """How the teacher's weights are held; auto: as they are stored. int8 and nf4 need the extra `quantized`."""
    top_k: Annotated[int, Field(gt=0)] | None = None
    """Compare only the teacher's most likely tokens, so many, and all others together."""
    cache_teacher: bool = False
    """Compute these once before training, into this user's cache; the teacher is then not in memory, and other students find them."""

    @model_validator(mode="after")
    def _one_teacher(self) -> "DistillSettings":
        if (self.teacher is None) == (not self.logprobs):
            raise UserError("set one of teacher (a model) and logprobs (outputs of enhance with top_logprobs).")
        if self.logprobs and (self.divergence != "forward_kl" or self.temperature != 1):
            raise UserError("logprobs: they are a part of a distribution at temperature 1, of use to forward_kl at temperature 1 alone.")
        if self.logprobs and self.cache_teacher:
            raise UserError("cache_teacher: logprobs are kept already; leave it out.")
        return self

    @model_validator(mode="after")
    def _agreeing(self) -> "DistillSettings":
        if self.divergence in BETAS and self.beta != DEFAULT_BETA:
            raise UserError(f"beta {self.beta} is for divergence jsd; {self.divergence} has none.")
        if self.cache_teacher and self.top_k is None:
            raise UserError("cache_teacher: what it keeps are the teacher's most likely tokens; set top_k too (64 is usual).")
        return self

    def facts(self, column: str, templates: Sequence[str]) -> Mapping[str, Any]:
        return {"objective": self.name, "divergence": self.divergence, "sft_weight": self.sft_weight}


def build(settings: DistillSettings, family: Any, tools: Any) -> Any:
    """Raises: UserError for a teacher of another kind or vocabulary than the student."""
    from teacherlm.store.fingerprint import cache_folder, content_on_disk, digest
    from teacherlm.training.distill import Distill, Mixture
    from teacherlm.training.teacher import build_teacher

    if settings.logprobs:
        return _recorded(settings, family, tools)
    assert settings.teacher is not None
    teacher = build_teacher(settings.teacher, tools.tokenizer, family, settings.teacher_dtype, tools.trust_remote_code)
    beta = BETAS.get(settings.divergence, settings.beta)
    mixture = Mixture(beta, settings.temperature, settings.sft_weight, settings.top_k)
    folder = None
    if settings.cache_teacher:
        content = content_on_disk(settings.teacher, "model")
        folder = cache_folder("teachers") / digest(content, settings.teacher_dtype, settings.temperature, settings.top_k, 1)
    return Distill(family, teacher, mixture, folder, tools.tokenizer.pad_token_id)


def _recorded(settings: DistillSettings, family: Any, tools: Any) -> Any:
    from teacherlm.store.fingerprint import cache_folder
    from teacherlm.training.distill import Distill, Mixture
    from teacherlm.training.recorded import build_recorded

    teacher = build_recorded(settings.logprobs, tools.table, tools.column, tools.tokenizer, settings.top_k)
    mixture = Mixture(0.0, 1.0, settings.sft_weight, settings.top_k)
    return Distill(family, teacher, mixture, cache_folder("teachers") / teacher.name, tools.tokenizer.pad_token_id)


OBJECTIVE = Plugin(DistillSettings, build)
