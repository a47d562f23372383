"""What a user may set about the training of a student (read without importing torch)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from teacherlm.catalog import ChosenSettings, chosen
from teacherlm.stage import Alias, Runtime, Settings
from teacherlm.training.old_names import number_as_rate, parse_devices, parse_precision, parse_strategy, translated, with_numbers


class ObjectiveSettings(ChosenSettings):
    """Settings of a file in `training/objectives/`, and what of a dataset it trains on."""

    column: ClassVar[str] = ""
    """What `train_on` is where it is not set; "" leaves it to `finetune`."""

    row_by_row: ClassVar[bool] = True
    """Whether `texts` of a row hang on that row alone, so that a large table is read slice by slice."""

    def texts(self, table: Any, column: str, completion_only: bool, reader: Any) -> Any:
        """The training texts of a table, of a row one for each column; an objective with other needs overrides this.

        Raises: UserError naming the row that cannot be trained on.
        """
        from teacherlm.training.columns import columns_of
        from teacherlm.training.texts import build_texts

        parts = [build_texts(table, one, completion_only, reader) for one in columns_of(column, table.columns, table.path)]
        return parts[0] if len(parts) == 1 else [text for row in zip(*parts, strict=True) for text in row]

    def known_words(self) -> Sequence[str]:
        """Texts that the tokenizer of a student from scratch has to know, beside those of the data."""
        return ()

    def facts(self, column: str, templates: Sequence[str]) -> Mapping[str, Any]:
        """What whoever asks the student has to know; goes into every checkpoint. `column`: as in `texts`; `templates`: of the rows.

        `prompt_prefix` is put before every prompt of the student, by `evaluate` too.
        """
        return {}


class AdapterSettings(ChosenSettings):
    """Settings of a file in `training/adapters/`: which weights are trained."""


AdapterChoice = Annotated[SerializeAsAny[AdapterSettings], BeforeValidator(chosen("adapters", default="lora"))]
ObjectiveChoice = Annotated[SerializeAsAny[ObjectiveSettings], BeforeValidator(chosen("objectives", default="sft"))]


class Scratch(Settings):
    """A small model with fresh weights and a tokenizer made from the data."""

    architecture: Literal["llama", "gpt2", "t5"] = "llama"
    """llama and gpt2 are decoders; t5 is an encoder-decoder with relative positions."""
    hidden_size: Annotated[int, Field(gt=0)] = 64
    """Width; a multiple of `heads`."""
    layers: Annotated[int, Field(gt=0)] = 3
    """Number of transformer blocks; a t5 has as many in its encoder and in its decoder."""
    heads: Annotated[int, Field(gt=0)] = 4
    """Attention heads."""
    intermediate: Annotated[int, Field(gt=0)] | None = None
    """Width of the feed-forward part; by default 8/3 of hidden_size, rounded up to a multiple of 8 (gpt2, t5: 4 times hidden_size)."""
    context: Annotated[int, Field(gt=1)] = 512
    """Longest text in tokens; of a t5 longest prompt and longest completion."""
    tokenizer: Literal["word", "bpe"] = "word"
    """`word`: one token per word of the data, unknown words fall apart into known pieces; `bpe`: byte-level BPE."""
    vocab_size: Annotated[int, Field(gt=3)] = 8192
    """Most tokens the tokenizer may have."""
    tokenizer_columns: list[str] = []
    """Columns the tokenizer is made from; by default all columns of text, so that all students of one dataset share it."""


class Recipe(Settings):
    """How a student is trained. Defaults are those of TeacherLM, except that prompts carry no loss and texts end in EOS."""

    learning_rate: Annotated[float, Alias("--learning_rate"), Field(gt=0)] = 6e-6
    """Peak learning rate of AdamW."""
    lr_scheduler: Annotated[str, Alias("--lr"), Alias("--lr_scheduler_type")] = "constant"
    """A schedule of transformers: constant, linear, cosine, constant_with_warmup, ..."""
    warmup: Annotated[float, Alias("--warmup_steps"), Alias("--warmup_ratio"), Field(ge=0)] = 0.0
    """Warm-up: a share of all steps if below 1, else a number of steps. `constant` ignores it."""
    epochs: Annotated[float, Alias("--num_train_epochs"), Alias("--num_epochs"), Field(gt=0)] = 10.0
    """Passes over the training rows."""
    max_steps: Annotated[int | None, Field(gt=0)] = None
    """Optimizer steps of the whole training, instead of `epochs`."""
    head_first: Annotated[int, Alias("--ft_head_first", value="1000"), Field(ge=0)] = 0
    """So many first steps train the output head alone (where it is tied to the embeddings, both); the rest begins to learn after them."""
    batch_size: Annotated[int, Alias("--batch_size"), Alias("--train_batch_size"), Field(gt=0)] = 64
    """Rows per optimizer step, over all processes and accumulation steps together."""
    micro_batch: Annotated[Runtime[int | None], Alias("--per_device_train_batch_size"), Field(gt=0)] = None
    """Rows that one process holds at once; by default its share of the batch, at most 16. Does not change the result."""
    accumulation: Annotated[Runtime[int | None], Alias("--gradient_accumulation_steps"), Alias("--accumulate"), Field(gt=0)] = None
    """Micro-batches per optimizer step. Follows from batch_size; when given, it is checked against it."""
    group_by_length: bool = True
    """Put rows of like length into a batch: little padding. Off: a plain shuffle."""
    packing: Runtime[bool] = False
    """Give the student the rows of a micro-batch end to end, without padding; none sees another. Does not change the result."""
    cache: Runtime[bool] = True
    """Keep the tokenised rows for the next start (in $TEACHERLM_CACHE/tokens, else ~/.cache/teacherlm/tokens; the oldest go)."""
    save_strategy: Annotated[Literal["epoch", "steps", "no"], Alias("--save_strategy"), Alias("--disable_checkpointing", value="no")] = (
        "epoch"
    )
    """When to write checkpoints; the last step always has one."""
    save_every: Annotated[int, Field(gt=0)] = 1
    """With save_strategy epoch: a checkpoint every so many epochs."""
    save_steps: Annotated[int, Alias("--save_steps"), Field(gt=0)] = 500
    """With save_strategy steps: a checkpoint every so many steps."""
    seed: Annotated[int, Alias("--random_seed")] = 0
    """Decides fresh weights, dropout, the order of the rows and which rows are held out."""
    precision: Annotated[
        Literal["fp32", "bf16", "fp16", "bf16-true", "fp16-true", "fp64"],
        BeforeValidator(parse_precision),
        Alias("--bf16", value="bf16"),
        Alias("--fp16", value="fp16"),
    ] = "fp32"
    """fp32, or mixed: weights in fp32, sums in bf16 or fp16 (which needs a GPU). bf16-true and fp16-true hold the weights so too: half the
    memory, but small updates are lost. Also Lightning's names: 32-true, bf16-mixed, ..."""
    attention: Runtime[Literal["sdpa", "eager", "flash_attention_2"] | None] = None
    """How attention is computed; by default torch's SDPA where the model has it. flash_attention_2 needs a GPU and the extra `kernels`."""
    liger: Runtime[bool] = False
    """Liger's fused kernels, for a GPU; extra `kernels`."""
    torch_compile: Annotated[Runtime[bool], Alias("--torch_compile")] = False
    """Compile the student (torch.compile): minutes at the start, faster steps where batches are alike."""
    gradient_checkpointing: Annotated[Runtime[bool], Alias("--gradient_checkpointing")] = False
    """Compute activations twice instead of keeping them: less memory, 20-30% slower."""
    ds_config: Annotated[Runtime[str | None], Alias("--deepspeed"), Alias("--strategy"), BeforeValidator(parse_strategy)] = None
    """DeepSpeed: a name in ds_configs/ (zero1, zero2, zero3, zero3_offload) or a path."""
    processes: Annotated[Runtime[int | None], Alias("--devices"), Field(gt=0), BeforeValidator(parse_devices)] = None
    """Processes on this machine, started by torchrun; by default one for each GPU that `slurm: gpus` asks for and that is here. Does not
    change the result."""
    tensor_parallel: Annotated[Runtime[int], Field(gt=0)] = 1
    """Processes over which every weight of the student is cut, for one too large for a card: all of the job's. Another way is
    ds_config zero3."""
    logging_steps: Annotated[Runtime[int], Alias("--logging_steps"), Field(gt=0)] = 8
    """A row in metrics.jsonl every so many steps."""
    max_minutes: Annotated[Runtime[float | None], Field(gt=0)] = None
    """Write a checkpoint and end after so many minutes (of the Slurm allocation, where there is one, whose own end counts too); the same
    command goes on from there."""
    report_to: Annotated[Runtime[Literal["wandb", "none"]], Alias("--report_to")] = "none"
    """wandb writes offline where the environment holds no key."""
    run_name: Annotated[Runtime[str | None], Alias("--run_name"), Alias("--wandb_run_name"), Alias("--training_run_name")] = None
    """Name of the run in wandb; by default the output folder's."""
    wandb_project: Annotated[Runtime[str], Alias("--wandb_project")] = "teacherlm"
    """Project in wandb, unless WANDB_PROJECT is set."""
    training_args: Annotated[
        dict[str, Any], BeforeValidator(with_numbers), Alias("--weight_decay", "weight_decay"), Alias("--optim", "optim")
    ] = {}
    """Passed to transformers' TrainingArguments: weight_decay, max_grad_norm, optim, ... Names that it once had are translated."""

    @model_validator(mode="before")
    @classmethod
    def _in_our_words(cls, values: Any) -> Any:
        return number_as_rate(translated(values)) if isinstance(values, Mapping) else values
