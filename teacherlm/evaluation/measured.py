"""What was measured stays measured: one folder per (model content, task content, settings), written whole or not at all."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from teacherlm.store.checkpoints import Checkpoint
from teacherlm.store.files import read_json, write_json, write_jsonl
from teacherlm.store.fingerprint import content_on_disk, digest, sha256_of

FOLDER = "measured"
PREDICTIONS = "predictions.jsonl"
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


@dataclass(frozen=True)
class Result:
    """What one model scored on one task."""

    metrics: tuple[Metric, ...]
    tokens: int
    """Tokens generated; 0 for letters."""
    seconds: float


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
        return Result(tuple(Metric(**metric) for metric in found["metrics"]), found["tokens"], found["seconds"])

    def write(self, predictions: Iterable[Mapping[str, Any]], result: Result) -> None:
        write_jsonl(self.predictions, predictions)
        write_json(self.folder / RESULT, asdict(result))


def measured(output: Path, model: str, task: str, settings: Mapping[str, Any]) -> Measured:
    """Where the measurement of these contents lies, or will lie."""
    return Measured(output / FOLDER / digest(model, task, settings))


def checkpoint_content(checkpoint: Checkpoint) -> str:
    """Names weights, config and tokenizer; two copies of a checkpoint are one content."""
    files = [p for p in checkpoint.path.rglob("*") if p.suffix in MODEL_FILES and p.name not in NOT_THE_MODEL]
    return digest([(str(p.relative_to(checkpoint.path)), sha256_of(p)) for p in sorted(files)])


def model_content(model: str, revision: str) -> str:
    """Of a model folder its files' names, sizes and times; of a hub model its id and revision."""
    found = content_on_disk(model, "model")
    return f"{found}@{revision}" if found.startswith("hub:") else found
