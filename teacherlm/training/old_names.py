"""What others call our settings: names of precisions, and arguments that transformers' TrainingArguments no longer has.

Light: read while settings are validated.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from teacherlm.errors import UserError, unknown
from teacherlm.log import say

PRECISIONS: Mapping[str, str] = {
    "32": "fp32",
    "32-true": "fp32",
    "float32": "fp32",
    "no": "fp32",
    "16": "fp16",
    "16-mixed": "fp16",
    "fp16-mixed": "fp16",
    "bf16-mixed": "bf16",
    "16-true": "fp16-true",
    "float16": "fp16-true",
    "bfloat16": "bf16-true",
    "64": "fp64",
    "64-true": "fp64",
    "float64": "fp64",
}
"""Lightning's names, accelerate's `mixed_precision`, and the data types in which weights are loaded -> ours."""
KNOWN = ("fp32", "bf16", "fp16", "bf16-true", "fp16-true", "fp64")

STRATEGIES: Mapping[str, str | None] = {
    **dict.fromkeys(("auto", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false")),
    "deepspeed_stage_1": "zero1",
    "deepspeed_stage_2": "zero2",
    "deepspeed": "zero2",
    "deepspeed_stage_3": "zero3",
    "deepspeed_stage_3_offload": "zero3_offload",
}
"""Lightning's strategies -> our ds_config; several processes need no setting."""


def parse_precision(value: Any) -> Any:
    """Raises: UserError for one that does not exist here, with what comes next to it."""
    name = str(value)
    if name == "transformer-engine" or name.startswith("transformer-engine-"):
        raise UserError("transformer-engine (fp8) is not supported; bf16 is what comes next to it.")
    found = PRECISIONS.get(name, name)
    if found not in KNOWN:
        raise unknown("precision", name, [*KNOWN, *PRECISIONS])
    return found


def parse_strategy(value: Any) -> Any:
    return STRATEGIES.get(value, value) if isinstance(value, str) else value


def parse_devices(value: Any) -> Any:
    """How many: `2`, or the cards' numbers `0,1`."""
    words = value.strip("[] ").replace(",", " ").split() if isinstance(value, str) else value
    if isinstance(words, (list, tuple)):
        return len(words) if len(words) > 1 else words[0] if words else value
    return value


MODELS: Mapping[str, str] = {
    **{f"gpt2_{size}": f"gpt2-{size}" for size in ("medium", "large", "xl")},
    **{f"t5_{size}": f"t5-{size}" for size in ("small", "base", "large")},
    **{f"flan_t5_{size}": f"google/flan-t5-{size}" for size in ("small", "base", "large", "xl", "xxl")},
}
"""Fine-tune-CoT's model keys -> hub ids."""


def parse_model(value: Any) -> Any:
    return MODELS.get(value, value) if isinstance(value, str) else value


Moved = Callable[[Any], Mapping[str, Any]]


def _to(name: str) -> Moved:
    return lambda value: {name: value}


def _to_argument(name: str) -> Moved:
    return lambda value: {"training_args": {name: value}}


def _grouped(value: Any) -> Mapping[str, Any]:
    return {"group_by_length": value not in (False, "False", "false")}


def _strategy(value: Any) -> Mapping[str, Any]:
    return {} if value == "no" else {"eval": {"strategy": value}}


def _adafactor(value: Any) -> Mapping[str, Any]:
    return {"training_args": {"optim": "adafactor"}} if value else {}


def _nothing(value: Any) -> Mapping[str, Any]:
    return {}


OLD: Mapping[str, tuple[Moved, str]] = {
    "evaluation_strategy": (_strategy, "eval.every"),
    "warmup_ratio": (_to("warmup"), "warmup"),
    "group_by_length": (_grouped, "group_by_length"),
    "per_gpu_train_batch_size": (_to("micro_batch"), "micro_batch"),
    "per_gpu_eval_batch_size": (lambda value: {"eval": {"batch_size": value}}, "eval.batch_size"),
    "no_cuda": (_to_argument("use_cpu"), "training_args.use_cpu"),
    "use_mps_device": (_nothing, "nothing: a GPU is used where there is one"),
    "adafactor": (_adafactor, "training_args.optim"),
    "save_safetensors": (_nothing, "nothing: checkpoints are safetensors"),
    "logging_dir": (_nothing, "nothing: wandb's files and metrics.jsonl lie in the output"),
    "overwrite_output_dir": (_nothing, "nothing: --overwrite redoes an output"),
    "do_train": (lambda value: {} if value else {"no_train": True}, "no_train"),
    "do_eval": (_nothing, "nothing: `eval` says what is measured"),
    "do_predict": (_nothing, "nothing: `evaluate` writes predictions"),
    "predict_with_generate": (_nothing, "nothing: tasks say whether the student writes"),
    "half_precision_backend": (_nothing, "nothing: torch's own is used"),
    "fp16_backend": (_nothing, "nothing: torch's own is used"),
    "tpu_num_cores": (_nothing, "nothing: there are no TPUs here"),
    "include_tokens_per_second": (_nothing, "nothing: metrics.jsonl has tokens_per_second"),
    "use_legacy_prediction_loop": (_nothing, "nothing: there is one way of predicting"),
    "dispatch_batches": (_nothing, "nothing: each process reads its own rows"),
    "split_batches": (_nothing, "nothing: batch_size is the whole batch"),
    "past_index": (_nothing, "nothing: the models it was for are gone"),
}
"""Argument that TrainingArguments had once -> (what it becomes, what is said)."""

GONE: Mapping[str, str] = {
    "fp16_opt_level": "apex is gone from transformers; set precision: fp16 or bf16",
    "use_ipex": "Intel's extension is gone from transformers; leave it out",
    "sharded_ddp": "fairscale is gone from transformers; set ds_config: zero1 or zero2",
    "ray_scope": "there is no search for hyper-parameters; use a matrix in a pipeline",
    "torchdynamo": "set torch_compile: true",
    "jit_mode_eval": "set torch_compile: true",
    "mp_parameters": "SageMaker's model parallelism is gone; set tensor_parallel or ds_config: zero3",
    "generation_max_length": "set eval.max_new_tokens",
    "generation_num_beams": "tasks write greedily or sample; leave it out",
}
"""Argument that TrainingArguments had once, and nothing here stands for -> what to do."""


def translated(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of `finetune` in which `training_args` holds no name of old. What is set beside them wins.

    Raises: UserError for a name that nothing stands for any more, with what to do.
    """
    given = dict(values)
    arguments = given.get("training_args")
    if not isinstance(arguments, Mapping) or not (OLD.keys() | GONE.keys()) & arguments.keys():
        return given
    kept = dict(arguments)
    for name, value in arguments.items():
        if name in GONE:
            raise UserError(f"training_args.{name}: transformers no longer has it; {GONE[name]}.")
        if name not in OLD:
            continue
        if name == "save_safetensors" and not value:
            raise UserError("training_args.save_safetensors: checkpoints are always safetensors; leave it out.")
        del kept[name]
        moved, said = OLD[name]
        _say_once(f"training_args.{name} became {said}.")
        for key, new in moved(value).items():
            if key == "training_args":
                kept = {**new, **kept}
            elif isinstance(new, Mapping):
                given[key] = {**new, **(given.get(key) or {})}
            else:
                given.setdefault(key, new)
    return {**given, "training_args": kept}


@cache
def _say_once(text: str) -> None:
    """Settings are read several times on their way to a job."""
    say(text)


def with_numbers(arguments: Any) -> Any:
    """Numbers that came as words of a command line."""
    return {key: _number(value) for key, value in arguments.items()} if isinstance(arguments, Mapping) else arguments


def _number(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        with suppress(ValueError):
            return kind(value)
    return value


def number_as_rate(values: Mapping[str, Any]) -> dict[str, Any]:
    """`--lr` was a schedule in one original (short for --lr_scheduler_type) and the learning rate in others: a number is the latter."""
    word = values.get("lr_scheduler")
    try:
        rate = float(word)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return dict(values)
    return {"learning_rate": rate, **{key: value for key, value in values.items() if key != "lr_scheduler"}}
