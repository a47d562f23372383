"""Which settings of `finetune` mean something behind an API."""

from teacherlm.errors import UserError
from teacherlm.stage import RuntimeMark, StageConfig

USED = ("input", "output", "model", "train_on", "seed", "limit", "backend")
INSTEAD = {"epochs": "backend.epochs", "batch_size": "backend.batch_size", "learning_rate": "backend.learning_rate_multiplier"}


def require_only_used(config: StageConfig) -> None:
    """Raises: UserError for a setting that would be ignored, and without the name of a base.

    Settings that change no result anywhere (processes, logging) are let be.
    """
    if not getattr(config, "model", None):
        raise UserError("model: is the name by which the server knows the base, such as gpt-4o-mini-2024-07-18; it is missing.")
    for name, field in type(config).model_fields.items():
        is_runtime = any(isinstance(mark, RuntimeMark) for mark in field.metadata)
        if name in USED or is_runtime or getattr(config, name) == field.get_default(call_default_factory=True):
            continue
        advice = f"set {INSTEAD[name]}" if name in INSTEAD else "leave it out"
        raise UserError(f"{name}: is not decided here where the student is trained behind an API (backend: openai); {advice}.")
