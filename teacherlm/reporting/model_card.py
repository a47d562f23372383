"""The card of a student, from the manifest of its training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from teacherlm.reporting import cards
from teacherlm.store.checkpoints import Checkpoint
from teacherlm.store.files import read_json
from teacherlm.store.fingerprint import is_hub_id
from teacherlm.store.manifest import Manifest

SHOWN = ("train_on", "loss_on", "epochs", "learning_rate", "seed")


def model_card(checkpoint: Checkpoint, own: Manifest, label: str, dataset: str = "") -> str:
    """`dataset`: the name under which what it was trained on is uploaded."""
    base = cards.name_of(own.config.get("model") or own.facts.get("student") or "a model from scratch")
    jobs = [*cards.history([Path(path) for path in own.inputs]), own]
    is_seq2seq = bool(read_json(checkpoint.path / "config.json").get("is_encoder_decoder"))
    words: dict[str, Any] = {
        "title": label,
        "base": base,
        "dataset": dataset,
        "train_on": own.config.get("train_on", "text"),
        "step": checkpoint.step,
        "settings": list(_settings(own)),
        "loader": "AutoModelForSeq2SeqLM" if is_seq2seq else "AutoModelForCausalLM",
        "repository": cards.REPOSITORY,
        "commands": list(filter(None, map(cards.command_of, jobs))),
    }
    front = _front(base, own, dataset, is_seq2seq)
    return cards.card_template("model_card.md").render(front=front, **words)


def _front(base: str, own: Manifest, dataset: str, is_seq2seq: bool) -> str:
    from huggingface_hub import ModelCardData

    model = own.config.get("model")
    is_on_hub = isinstance(model, str) and not Path(model).exists() and is_hub_id(model)
    return ModelCardData(
        library_name="transformers",
        pipeline_tag="text2text-generation" if is_seq2seq else "text-generation",
        tags=["teacherlm", "distillation", "rationales"],
        datasets=[dataset] if dataset else None,
        base_model=base if is_on_hub else None,
    ).to_yaml()


def _settings(own: Manifest) -> Iterator[tuple[str, str]]:
    for name in SHOWN:
        if own.config.get(name) not in (None, ""):
            yield name.replace("_", " "), cards.said(own.config[name])
    for name, count in own.counts.items():
        yield name.replace("_", " "), str(count)
    for name, value in own.metrics.items():
        yield name.replace("_", " "), f"{value:.6g}"
