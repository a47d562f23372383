"""Who is measured: every complete checkpoint of a run, or one model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from teacherlm.engines.openai import OpenaiSettings, identity_of
from teacherlm.engines.vllm import VllmOptions
from teacherlm.errors import UserError
from teacherlm.evaluation.measured import checkpoint_content, model_content
from teacherlm.hosted.settings import ApiSettings
from teacherlm.hosted.student import settings_of
from teacherlm.prompts import ANY, covers, short_name
from teacherlm.store.checkpoints import BEST, COMPLETE, Checkpoint, find_checkpoints, is_model_folder, read_checkpoint
from teacherlm.store.files import read_json
from teacherlm.store.manifest import require_finished

if TYPE_CHECKING:
    from teacherlm.evaluation.loading import LoadedTask


Protocol = Literal["lm_eval", "teacherlm"]
"""How a question and a letter weighed behind it become tokens: as plain lm-eval does, or apart and without a BOS as TeacherLM did."""


@dataclass(frozen=True)
class Student:
    name: str
    """`checkpoint-120`, the name of a model folder, or the hub id."""
    path: str
    """What `from_pretrained` is given."""
    content: str
    """Names weights, config and tokenizer."""
    step: int | None = None
    epoch: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What training recorded: template, train_on, seed, ..."""
    api: OpenaiSettings | None = None
    """How it is asked, where it lives behind an API."""

    @property
    def template(self) -> str | None:
        """For people; of several all, joined by `+`."""
        found = self.facts.get("template")
        return short_name(str(found)) if found else None

    @property
    def is_encoder_decoder(self) -> bool:
        """By the config of a folder; not known of a hub id before it is loaded."""
        config = Path(self.path) / "config.json"
        return config.is_file() and bool(read_json(config).get("is_encoder_decoder"))

    @property
    def prefix(self) -> str:
        """What stands before every prompt of it: `predict: ` where it was taught several tasks."""
        return str(self.facts.get("prompt_prefix", ""))

    @property
    def taught(self) -> Mapping[str, Any]:
        """What a task has to know to ask it: its template and column; of a regression the words, columns and the range of the targets."""
        if told := self.facts.get("regression"):
            return {**told, "target": self.facts["train_on"]}
        words = {"taught_by": self.templates[0]} if len(self.templates) == 1 and not self.templates[0].endswith(ANY) else {}
        return {**words, **({"train_on": self.facts["train_on"]} if self.facts.get("train_on") else {})}

    @property
    def templates(self) -> tuple[str, ...]:
        """What it was taught by; none where nobody says."""
        found = self.facts.get("templates") or [self.facts.get("template")]
        return tuple(str(spec) for spec in found if spec)


@dataclass(frozen=True)
class LoadOptions:
    """How a student is brought into memory."""

    revision: str = "main"
    dtype: str = "auto"
    device: str = "auto"
    batch_size: int = 32
    seed: int = 0
    trust_remote_code: bool = False
    protocol: Protocol = "lm_eval"
    vllm: VllmOptions | None = None
    """How vLLM runs it, where vLLM writes the answers."""


def find_students(model: str, revision: str, which: Literal["all", "last", "best"], api: ApiSettings | None = None) -> list[Student]:
    """The students behind a setting, by step: an output of `finetune`, one checkpoint, a model folder, a hub id, or `openai:MODEL`.

    `api`: how to ask one that lives behind an API, where model.json does not say.
    Raises: UserError for a folder without a model, a torn checkpoint, and a run that is not finished.
    """
    path = Path(model)
    if hosted := settings_of(model, api):
        if path.exists():
            require_finished(path)
        settings, facts = hosted
        return [Student(settings.model, model, identity_of(settings, 0), facts=facts, api=settings)]
    if api is not None:
        raise UserError(f"api: is for a student behind an API (openai:MODEL, or an output with model.json), and {model} is none.")
    if not path.exists():
        return [Student(model, model, model_content(model, revision))]
    if (path / COMPLETE).is_file():
        return [_one_checkpoint(path)]
    if is_model_folder(path):
        return [Student(path.resolve().name, model, model_content(model, revision))]
    require_finished(path)
    found = find_checkpoints(path) if path.is_dir() else []
    if not found:
        raise UserError(f"{path}: holds no model (no config.json) and no complete checkpoint-<step> folder.")
    if which == "best":
        found = [_best(path, found)]
    return [student_of(checkpoint) for checkpoint in (found[-1:] if which == "last" else found)]


def damaged_checkpoints(model: str) -> list[Path]:
    """Those of a run that were complete once, and whose files are no longer those that were written."""
    sealed = [folder for folder in sorted(Path(model).glob("checkpoint-*")) if (folder / COMPLETE).is_file()]
    return [folder for folder in sealed if read_checkpoint(folder) is None]


def _best(run: Path, found: Sequence[Checkpoint]) -> Checkpoint:
    name = best_of(run)
    for checkpoint in found:
        if checkpoint.path.name == name:
            return checkpoint
    lost = "torn (not all of its files are there)" if (run / name).exists() else "not there"
    raise UserError(f"{run / name}: this checkpoint, which {BEST} names, is {lost}; measure the checkpoints `last` or `all`.")


def best_of(run: Path) -> str:
    """The name of the checkpoint that the training marked. Raises: UserError where it marked none."""
    if not (run / BEST).is_file():
        raise UserError(f"{run}: has no {BEST}; set `best` in finetune (such as held_out_loss), or measure the checkpoints `last`.")
    return str(read_json(run / BEST)["checkpoint"])


def _one_checkpoint(path: Path) -> Student:
    checkpoint = read_checkpoint(path)
    if checkpoint is None:
        raise UserError(f"{path}: this checkpoint is torn (not all of its files are there).")
    return student_of(checkpoint)


def student_of(checkpoint: Checkpoint) -> Student:
    folder = checkpoint.path
    return Student(folder.name, str(folder), checkpoint_content(checkpoint), checkpoint.step, checkpoint.epoch, checkpoint.facts)


def refuse_mismatch(student: Student, task: "LoadedTask", allowed: bool) -> None:
    """Raises: UserError where both say which template they follow, and the student was not taught by the task's."""
    if student.templates and task.templates and not covers(student.templates, task.templates) and not allowed:
        raise UserError(
            f"task '{task.name}' asks by the template '{task.template}', {student.path} was taught by '{student.template}': "
            f"its score would not count what it learnt. Choose another task, or allow_template_mismatch."
        )
