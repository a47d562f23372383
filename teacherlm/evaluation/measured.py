"""What was measured stays measured: one folder per (model content, task content, settings), written whole or not at all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from teacherlm.store.adapters import CONFIG as ADAPTER
from teacherlm.store.adapters import is_adapter_folder
from teacherlm.store.checkpoints import Checkpoint
from teacherlm.store.files import read_json, write_json, write_jsonl
from teacherlm.store.fingerprint import content_on_disk, digest, sha256_of, weights_content

FOLDER = "measured"
PREDICTIONS = "predictions.jsonl"
EXAMPLES = "predicted_examples.jsonl"
RESULT = "result.json"
MODEL_FILES = (".safetensors", ".json", ".model", ".txt", ".jinja")
NOT_THE_MODEL = ("complete.json", "trainer_state.json")


@dataclass(frozen=True)
class Metric:
    name: str
    value: float
    stderr: float | None
    """Standard error of the mean over items; None where lm-eval knows none for the metric."""
    n: int
    scale: int = 1
    """100 for a metric in percent; the scores of its items are fractions all the same."""
    higher_is_better: bool | None = None
    """As the task says; None where it does not."""


@dataclass(frozen=True)
class Result:
    """What one model scored on one task."""

    metrics: tuple[Metric, ...]
    tokens: int
    """Tokens generated; 0 for letters."""
    seconds: float
    begun: str = ""
    """What an encoder-decoder's answers were begun with, where they were: ` The answer is (`."""
    encoding: str = ""
    """How questions and the answers weighed behind them became tokens (`together, BOS`); "" where none were weighed, or nobody noted it."""
    shots_shown: float | None = None
    """Shots before a question on average, where these were fewer than were asked for."""


@dataclass(frozen=True)
class Measured:
    """The folder of one measurement; complete once `result.json` is there."""

    folder: Path

    @property
    def predictions(self) -> Path:
        return self.folder / PREDICTIONS

    def read(self) -> Result | None:
        """None while nothing, or only a part, was written."""
        path = self.folder / RESULT
        if not path.is_file():
            return None
        found = read_json(path)
        return Result(**{**found, "metrics": tuple(Metric(**metric) for metric in found["metrics"])})

    def write(self, predictions: Iterable[Mapping[str, Any]], examples: Sequence[Mapping[str, Any]], result: Result) -> None:
        """`examples` are the task's rows with what was written for them; none for a task where nothing is written."""
        write_jsonl(self.predictions, predictions)
        if examples:
            write_jsonl(self.folder / EXAMPLES, examples)
        write_json(self.folder / RESULT, asdict(result))


def measured(output: Path, model: str, task: str, settings: Mapping[str, Any]) -> Measured:
    """Where the measurement of these contents lies, or will lie."""
    return Measured(output / FOLDER / digest(model, task, settings))


def checkpoint_content(checkpoint: Checkpoint) -> str:
    """Names weights, config and tokenizer, and the base beneath an adapter; two copies of a checkpoint are one content."""
    adapted = is_adapter_folder(checkpoint.path)
    apart = (*NOT_THE_MODEL, ADAPTER) if adapted else NOT_THE_MODEL  # an adapter's config holds a path, which is no content
    files = [p for p in checkpoint.path.rglob("*") if p.suffix in MODEL_FILES and p.name not in apart]
    beneath = [("base", weights_content(str(checkpoint.path)))] if adapted else []
    return digest([*((str(p.relative_to(checkpoint.path)), sha256_of(p)) for p in sorted(files)), *beneath])


def model_content(model: str, revision: str) -> str:
    """Of a model folder its files' names, sizes and times; of a hub model its id and revision."""
    found = content_on_disk(model, "model")
    return f"{found}@{revision}" if found.startswith("hub:") else found
