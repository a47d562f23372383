"""Train a student on one column of a dataset, from a model or from scratch."""

import itertools
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from teacherlm.catalog import chosen, find
from teacherlm.errors import UserError
from teacherlm.hosted.unused import require_only_used
from teacherlm.log import say
from teacherlm.prompts import find_template, gathered, short_name
from teacherlm.stage import Outcome, Stage
from teacherlm.store.checkpoints import find_checkpoints
from teacherlm.store.manifest import Manifest, require_finished
from teacherlm.together import is_main
from teacherlm.training.material import Training
from teacherlm.training.subsample import subsampled

if TYPE_CHECKING:
    from teacherlm.training.texts import Table

WORDS = ("model", "input", "micro_batch", "accumulation", "learning_rate", "epochs", "train_on", "run_name", "store_dir", "wandb_project")
"""The ten words of the original's finetune.sh."""


class FinetuneConfig(Training):
    """All settings, and which of them go together."""

    @model_validator(mode="before")
    @classmethod
    def _as_the_original_was_called(cls, values: Any) -> Any:
        """With a store_dir: the output lies there under the run's name, the batch is so many rows for each process, wandb is told."""
        if not isinstance(values, dict) or "store_dir" not in values:
            return values
        given = {key: value for key, value in values.items() if key != "store_dir"}
        sizes = [str(given.get("micro_batch", "")), str(given.get("accumulation", "")), os.environ.get("WORLD_SIZE", "1")]
        whole = {"batch_size": math.prod(map(int, sizes))} if all(size.isdigit() for size in sizes) else {}
        return {"output": Path(str(values["store_dir"]), str(given.get("run_name", ""))), "report_to": "wandb", **whole, **given}

    @model_validator(mode="before")
    @classmethod
    def _as_the_objective_is_taught(cls, values: Any) -> Any:
        """An objective may train on another column than most do."""
        if not isinstance(values, dict) or "train_on" in values or "objective" not in values:
            return values
        objective = chosen("objectives", default="sft")(values["objective"])
        return {**values, "objective": objective, **({"train_on": objective.column} if objective.column else {})}

    @model_validator(mode="after")
    def _one_student(self) -> "FinetuneConfig":
        if self.backend.name != "local":
            require_only_used(self)
            return self
        if (self.model is None) == (self.scratch is None):
            raise UserError("set exactly one of model (a folder or hub id) and scratch (e.g. {hidden_size: 64, layers: 3}).")
        if self.adapter.name != "full" and (self.scratch or self.tensor_parallel > 1):
            other = "scratch: fresh weights that nothing trains stay noise" if self.scratch else "tensor_parallel; use ds_config zero2"
            raise UserError(f"adapter {self.adapter.name} does not go with {other}.")
        if self.adapter.name != "full" and self.head_first:
            raise UserError(f"head_first: adapter {self.adapter.name} never trains the output head; leave one of them out.")
        if self.adapter.name == "qlora" and self.precision in ("bf16-true", "fp16-true", "fp64"):
            raise UserError(f"precision: {self.precision} does not go with qlora, whose weights are in 4 bits; bf16 does.")
        if self.tensor_parallel > 1 and (self.scratch or self.ds_config):
            other = (
                "scratch: a student that small fits every card" if self.scratch else f"ds_config {self.ds_config}: choose one of the two"
            )
            raise UserError(f"tensor_parallel {self.tensor_parallel} does not go with {other}.")
        return self


def finetune(config: FinetuneConfig) -> Outcome:
    """Writes checkpoint-<step> folders and metrics.jsonl into `config.output`; of a student behind an API model.json."""
    from teacherlm.reporting.model_card import write_model_card

    if config.backend.name == "local":
        outcome = _train_here(config)
    else:
        from teacherlm.hosted.tune import tune

        outcome = tune(config, _template_facts)
    if is_main():
        inputs = {str(config.input): ""}
        given = config.model_dump(mode="json")
        write_model_card(config.output, Manifest("finetune", 1, "", given, inputs, {}, outcome.counts, outcome.metrics, outcome.facts))
    return outcome


def _train_here(config: FinetuneConfig) -> Outcome:
    from transformers import set_seed

    from teacherlm.observing import Observed, build_watch, trained_texts
    from teacherlm.training.objective import Tools
    from teacherlm.training.run import Job, look, train
    from teacherlm.training.student import family_of, name_of, row_limit
    from teacherlm.training.texts import Reader, read_table, specs_of
    from teacherlm.training.tokens import read_tokens

    if config.model is not None and Path(config.model).exists():
        require_finished(Path(config.model))
    everything = read_table(config.input, config.limit)
    tokenizer = _build_tokenizer(config, everything)
    table = subsampled(everything, config.subsample, config.seed)
    specs = specs_of(table)
    if own := _chat_text(specs):
        tokenizer.chat_template = own  # goes into every checkpoint
    family = family_of(config, tokenizer)
    tools = Tools(tokenizer, config.seed, config.trust_remote_code, table, config.train_on)
    objective = find("objectives", config.objective.name).build(config.objective, family, tools)
    limit = row_limit(config)
    reader = Reader(tokenizer, name_of(config))
    tokens = read_tokens(config, table, reader, objective, family, limit, specs)
    if tokens.trained.truncated:
        say(tokens.trained.about_truncation(row_limit(config), family))
    facts = {
        **_template_facts(gathered(specs)),
        "train_on": config.train_on,
        "loss_on": config.loss_on,
        "seed": config.seed,
        "student": name_of(config),
        **config.objective.facts(config.train_on, specs),
        **_adapter_facts(config),
    }
    adapter = find("adapters", config.adapter.name).build(config.adapter, str(config.model))
    watch = build_watch(config, Observed(tokenizer, family, objective, facts, table, reader))
    texts = trained_texts(config, table, reader)
    job = Job(config, tokenizer, family, objective, tokens.trained.rows, tokens.held_out.rows, facts, config.output, adapter, watch, texts)

    def build(start: Path | None) -> Any:
        set_seed(config.seed)
        return _build_model(config, tokenizer, start, adapter)

    rows = {"trained": len(tokens.trained.rows), "held_out": len(tokens.held_out.rows)}
    counts = {**tokens.texts, **rows, **tokens.trained.counts()}
    if config.no_train:
        return Outcome({**counts, "trained": 0}, look(job, build), facts)
    metrics = train(job, build)
    return Outcome(counts, metrics, {**facts, "trained_tokens": metrics["trained_tokens"], **_sizes(config.output)})


def _chat_text(specs: Sequence[str]) -> str:
    """The chat template that the rows bring; "" where they bring none. Raises: UserError where they bring several."""
    found = {chat.text for spec in specs if (chosen := find_template(spec)) and (chat := chosen.chat)}
    if len(found) > 1:
        raise UserError("the rows follow several chat templates, but a student has one; train them apart.")
    return found.pop() if found else ""


def _template_facts(templates: Sequence[str]) -> dict[str, Any]:
    """`template` is the rows' own, or for people the short names of several, which then stand in `templates`."""
    if len(templates) < 2:
        return {"template": next(iter(templates), None)}
    return {"template": "+".join(map(short_name, templates)), "templates": list(templates)}


def _build_tokenizer(config: FinetuneConfig, table: "Table") -> Any:
    if config.model is not None:
        from teacherlm.training.pretrained import read_tokenizer

        return read_tokenizer(config.model, config.trust_remote_code)
    from teacherlm.training.scratch import build_tokenizer
    from teacherlm.training.texts import tokenizer_texts

    assert config.scratch is not None
    texts = itertools.chain(tokenizer_texts(table, config.scratch.tokenizer_columns), config.objective.known_words())
    return build_tokenizer(config.scratch, texts)


def _build_model(config: FinetuneConfig, tokenizer: Any, start: Path | None, adapter: Any) -> Any:
    """`start`: the checkpoint whose weights will be read into it. Cut over processes they have to be read while it is built."""
    from teacherlm.training.kernels import weights_dtype

    dtype = weights_dtype(config.precision)
    if config.model is not None:
        from teacherlm.training.pretrained import read_model

        if config.tensor_parallel > 1:
            return read_model(str(start or config.model), config.trust_remote_code, config.tensor_parallel, dtype=dtype)
        model = read_model(config.model, config.trust_remote_code, quantised=adapter is not None and adapter.quantised, dtype=dtype)
        if adapter is not None:
            from teacherlm.training.adapting import say_share

            adapter.attach(model, config.gradient_checkpointing)
            say_share(config.adapter.name, model)
        return model
    from teacherlm.training.scratch import build_model

    assert config.scratch is not None
    return build_model(config.scratch, tokenizer).to(dtype)


def _adapter_facts(config: FinetuneConfig) -> dict[str, Any]:
    """Of the base beneath an adapter, in every checkpoint."""
    if config.adapter.name == "full":
        return {}
    from teacherlm.training.adapting import facts_of

    return facts_of(config.adapter, str(config.model), config.output)


def _sizes(run: Path) -> dict[str, Any]:
    """{trainable, parameters} of the last checkpoint: as it notes them, or counted from its files."""
    from teacherlm.training.pretrained import count_parameters

    noted = find_checkpoints(run)[-1].facts
    if "trainable" in noted:
        return {name: noted[name] for name in ("trainable", "parameters")}
    return dict.fromkeys(("trainable", "parameters"), count_parameters(str(run)))


STAGE = Stage(finetune, FinetuneConfig, version=2, distributed=True, words=WORDS)
