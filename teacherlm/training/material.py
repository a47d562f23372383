"""All that a user may set about a training, for `finetune` and its parts (read without importing torch)."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from teacherlm.hosted.settings import Backend, LocalBackend
from teacherlm.stage import Alias, Input, Model, StageConfig
from teacherlm.training.adapters.full import FullSettings
from teacherlm.training.objectives.sft import SftSettings
from teacherlm.training.old_names import parse_model
from teacherlm.training.settings import AdapterChoice, ObjectiveChoice, Recipe, Scratch
from teacherlm.training.subsample import EVERYTHING, as_size
from teacherlm.training.watched import Watched


class Material(StageConfig):
    """What is trained, on what."""

    input: Annotated[Input, Alias("--dataset_name")]
    """Dataset folder (of a DatasetDict its `train` split), or a .jsonl with the columns."""
    model: Annotated[
        Model | None,
        Alias("--model_name_or_path"),
        Alias("--model_key"),
        Alias("--model_init_path"),
        Alias("--model_pretrain_name"),
        Alias("--load_model_dir"),
        BeforeValidator(parse_model),
    ] = None
    """Student to start from: a model folder, the output of another finetune, or a hub id."""
    scratch: Scratch | None = None
    """Instead of a model: a small one with fresh weights, e.g. {hidden_size: 64, layers: 3, heads: 4, context: 256}."""
    train_on: Annotated[str, Alias("--task_type"), Alias("--task-type")] = "cot_tail"
    """Column of text to train on: text, cot_tail (answer first), cot_head (rationale first), all, or any other. `cot_tail+error_tail` gives
    two examples of each row, `all_kinds` one for each kind of rationale (also all_kinds_head, all_kinds_think). An objective may have
    another default: step_by_step text, regression target."""
    objective: ObjectiveChoice = SftSettings()
    """A file in teacherlm/training/objectives/ and its settings."""
    adapter: Annotated[
        AdapterChoice,
        Alias("--train_lora", "name", "lora"),
        Alias("--use_qlora", "name", "qlora"),
        Alias("--lora_rank", "rank"),
        Alias("--lora_alpha", "alpha"),
    ] = FullSettings()
    """Which weights are trained: full, lora, qlora or bottleneck (files in teacherlm/training/adapters/) and its settings."""
    loss_on: Literal["completion", "all", "answer"] = "completion"
    """What carries loss: what follows the row's prompt, the whole text (as the original did), or only what follows </think> (thoughts are
    read, not learnt)."""
    max_source_length: Annotated[int, Alias("--max_source_length"), Alias("--max_length"), Field(gt=1)] = 2048
    """Longest row in tokens; longer ones lose a part of their prompt, never the beginning of their completion. Of an encoder-decoder:
    longest prompt."""
    max_target_length: Annotated[int, Alias("--max_target_length"), Field(gt=0)] = 2048
    """Longest completion in tokens of an encoder-decoder, whose decoder has a length of its own; decoder-only students have
    max_source_length for both."""
    truncation_side: Literal["left", "right"] = "left"
    """Where a prompt that is too long loses tokens: at its beginning (left) or its end."""
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the rows kept out of training; the loss on them stands in every checkpoint (held_out_loss)."""
    backend: Backend = LocalBackend()
    """local, or openai: rows are uploaded and the student is trained and lives behind an API; `model` is its name for the base. Settings:
    {name: openai, base_url: ..., suffix: ..., epochs: 3}."""
    trust_remote_code: bool = False
    """Run code that a hub model brings along."""
    limit: Annotated[int | None, Field(gt=0)] = None
    """Only the first rows."""
    subsample: Annotated[str, BeforeValidator(as_size)] = EVERYTHING
    """Only a part of the questions, for curves of score against data: 12.5%, 1000, all. Drawn by the seed; a smaller part lies within a
    larger one, and a student from scratch has the words of all."""


class Training(Watched, Recipe, Material):
    """Bases in this order: pydantic lists the fields of the last base first, and so does the help."""
