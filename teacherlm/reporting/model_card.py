"""The card of a student: README.md with front matter for a hub, from the manifests behind it and what was measured of it."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.prompts import ANY, find_template
from teacherlm.records import Question
from teacherlm.reporting import cards
from teacherlm.reporting.base_licence import base_licence
from teacherlm.reporting.dataset_card import funnel, licences, short
from teacherlm.reporting.scores import Score
from teacherlm.store.adapters import base_place, is_adapter_folder
from teacherlm.store.checkpoints import Checkpoint, find_checkpoints
from teacherlm.store.files import read_json, writing
from teacherlm.store.fingerprint import is_hub_id
from teacherlm.store.manifest import Manifest

SHOWN = ("objective", "adapter", "train_on", "loss_on", "epochs", "max_steps", "batch_size", "learning_rate", "precision", "seed")
FACTS = ("student", "trained_tokens", "trainable", "parameters", "template")
HUB_METRICS = {"acc": "accuracy", "acc_norm": "accuracy"}
EXAMPLE = Question("How many legs has a spider?", "8")


def write_model_card(output: Path, own: Manifest) -> None:
    """Into a `finetune` output; `own` is its manifest, or what is known of it by now. Nothing where there is no student yet."""
    checkpoints = find_checkpoints(output)
    if not checkpoints and own.config.get("backend", {}).get("name", "local") == "local":
        return
    with writing(output / cards.CARD) as file:
        file.write(model_card(checkpoints[-1] if checkpoints else None, own, label_of(output, own)).encode())


def label_of(output: Path, own: Manifest) -> str:
    """The labels of its matrix, else its folder's name."""
    return "-".join(map(str, own.entry.values())) or output.resolve().name


def model_card(checkpoint: Checkpoint | None, own: Manifest, label: str, dataset: str = "", results: Sequence[Score] = ()) -> str:
    """`checkpoint`: None of a student behind an API. `dataset`: the name under which what it was trained on is uploaded."""
    model = own.config.get("model")
    base = cards.name_of(model or own.facts.get("student") or "a model from scratch")
    before = cards.history([Path(path) for path in own.inputs])
    is_seq2seq = checkpoint is not None and _is_encoder_decoder(checkpoint)
    licence = base_licence(str(model)) if model else ""
    words: dict[str, Any] = {
        "title": label,
        "base": base,
        "dataset": dataset,
        "train_on": own.config.get("train_on", "text"),
        "teachers": _teachers(before),
        "where": "" if checkpoint else f"It lives behind an API, where it is called {own.facts.get('model')}.",
        "step": checkpoint.step if checkpoint else 0,
        "version": version("teacherlm"),
        "results": results,
        "settings": list(_settings(own)),
        "funnel": list(funnel(before)),
        "base_licence": licence or "none: its weights were fresh",
        "data_licence": ", ".join(dict.fromkeys(licences(before))) or "its source states none that is known here",
        "prompt": _prompt(own),
        "snippet": _snippet(checkpoint, is_seq2seq) if checkpoint else "",
        "usage": shlex.join(["teacherlm", "generate", "--model", "FOLDER", "--prompt", EXAMPLE.question]),
        "commands": list(filter(None, map(cards.command_of, (*before, own)))),
    }
    front = _front(label, own, dataset, is_seq2seq, licence, results)
    return cards.card_template("model_card.md").render(front=front, **words)


def _is_encoder_decoder(checkpoint: Checkpoint) -> bool:
    try:
        config = Path(base_place(str(checkpoint.path))) / "config.json"
    except UserError:  # the base of an adapter is gone; what was measured of it stays true
        return False
    return config.is_file() and bool(read_json(config).get("is_encoder_decoder"))


def _front(label: str, own: Manifest, dataset: str, is_seq2seq: bool, licence: str, results: Sequence[Score]) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    model = own.config.get("model")
    is_local = own.config.get("backend", {}).get("name", "local") == "local"
    is_on_hub = is_local and isinstance(model, str) and not Path(model).exists() and is_hub_id(model)
    task = "text2text-generation" if is_seq2seq else "text-generation"
    found = [
        EvalResult(
            task_type=task,
            dataset_type=row.task,
            dataset_name=row.task,
            metric_type=HUB_METRICS.get(row.metric, row.metric),
            metric_name=row.metric,
            metric_value=row.value,
        )
        for row in results
    ]
    return ModelCardData(
        model_name=label if found else None,
        eval_results=found or None,
        library_name="transformers" if is_local else None,
        pipeline_tag=task,
        tags=["teacherlm", "distillation", "rationales"],
        license=licence or None,
        datasets=[dataset] if dataset else None,
        base_model=str(model) if is_on_hub else None,
    ).to_yaml()


def _teachers(before: Sequence[Manifest]) -> list[str]:
    """Names of the models that wrote the rationales."""
    said = [one.config.get("teacher") for one in before if one.stage == "enhance"]
    names = [one.get("model") or one.get("name", "") if isinstance(one, Mapping) else one for one in said if one]
    return list(dict.fromkeys(cards.public(cards.name_of(name)) for name in names))


def _settings(own: Manifest) -> Iterator[tuple[str, str]]:
    for name in SHOWN:
        if name == "epochs" and own.config.get("max_steps"):  # which stands in its place
            continue
        if own.config.get(name) not in (None, ""):
            yield name.replace("_", " "), cards.said(short(own.config[name]))
    for name in FACTS:
        if own.facts.get(name) not in (None, ""):
            yield name.replace("_", " "), cards.said(own.facts[name])
    for name, count in own.counts.items():
        yield name.replace("_", " "), str(count)
    for name, value in own.metrics.items():
        if name not in own.facts:
            yield name.replace("_", " "), f"{value:.6g}"


def _prompt(own: Manifest) -> str:
    """A question in the words that it was taught; "" where nobody says."""
    specs = own.facts.get("templates") or [own.facts.get("template")]
    chosen = find_template(str(specs[0]).removesuffix(ANY)) if len(specs) == 1 and specs[0] else None
    return f"{own.facts.get('prompt_prefix', '')}{chosen.prompt(EXAMPLE)}" if chosen else ""


def _snippet(checkpoint: Checkpoint, is_seq2seq: bool) -> str:
    """How transformers loads it, or peft; "" of an adapter that only we can read."""
    is_adapter = is_adapter_folder(checkpoint.path)
    if is_adapter and (checkpoint.facts.get("adapter") or {}).get("name") == "bottleneck":
        return ""
    loader = f"Auto{'Peft' if is_adapter else ''}ModelFor{'Seq2SeqLM' if is_seq2seq else 'CausalLM'}"
    names = (
        ["from peft import " + loader, "from transformers import AutoTokenizer"]
        if is_adapter
        else [f"from transformers import {loader}, AutoTokenizer"]
    )
    place = f'"{cards.REPOSITORY}"'
    return "\n".join([*names, "", f"tokenizer = AutoTokenizer.from_pretrained({place})", f"model = {loader}.from_pretrained({place})"])
