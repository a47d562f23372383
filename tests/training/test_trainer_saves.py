"""Several processes come to write one checkpoint: one of them does, and what goes wrong is not taken for something else."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from teacherlm.training.trainer import StudentTrainer


class Adapter:
    """Writes its name, or finds that it cannot."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def save(self, model: Any, folder: Path, state: Any) -> None:
        if self.error:
            raise self.error
        folder.mkdir()
        (folder / "adapter").write_text("written")


def trainer_of(first: bool, error: Exception | None = None) -> StudentTrainer:
    """As far as writing weights goes."""
    trainer = object.__new__(StudentTrainer)
    trainer.adapter = Adapter(error)  # type: ignore[assignment]
    trainer.model = None
    trainer.args = SimpleNamespace(should_save=first, output_dir="unused")
    trainer.processing_class = SimpleNamespace(save_pretrained=lambda folder: (folder / "tokenizer").write_text("written"))
    return trainer


def test_an_adapter_is_written_by_the_first_process_alone(tmp_path: Path) -> None:
    """Two wrote its config at once; one read half of it, gave up, and both waited for each other for ever."""
    trainer_of(first=False)._save(str(tmp_path / "checkpoint"), {})
    assert not (tmp_path / "checkpoint").exists()
    trainer_of(first=True)._save(str(tmp_path / "checkpoint"), {})
    assert sorted(path.name for path in (tmp_path / "checkpoint").iterdir()) == ["adapter", "tokenizer"]


def test_weights_that_cannot_be_written_are_no_weights_that_were_not_gathered(tmp_path: Path) -> None:
    torn = json.JSONDecodeError("Expecting value", "", 0)
    with pytest.raises(RuntimeError, match="the weights could not be written: Expecting value"):
        trainer_of(first=True, error=torn)._save(str(tmp_path / "checkpoint"), {})
