"""Checkpoints: only complete ones are used."""

from pathlib import Path

import pytest

from teacherlm.errors import UserError
from teacherlm.store.checkpoints import find_checkpoints, resolve_model, seal_checkpoint


def write_checkpoint(run: Path, step: int) -> Path:
    folder = run / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    seal_checkpoint(folder, step, step / 10, {"template": "teacherlm"})
    return folder


def test_checkpoints_are_found_in_order_of_their_steps(tmp_path: Path) -> None:
    for step in (100, 20, 3):
        write_checkpoint(tmp_path, step)
    found = find_checkpoints(tmp_path)
    assert [(c.step, c.epoch, c.facts) for c in found] == [(step, step / 10, {"template": "teacherlm"}) for step in (3, 20, 100)]
    assert resolve_model(str(tmp_path)) == str(tmp_path / "checkpoint-100")


def test_a_torn_checkpoint_is_never_used_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkpoint(tmp_path, 1)
    (write_checkpoint(tmp_path, 2) / "model.safetensors").write_bytes(b"wei")
    (write_checkpoint(tmp_path, 3) / "complete.json").unlink()
    (write_checkpoint(tmp_path, 4) / "model.safetensors").unlink()
    assert [c.step for c in find_checkpoints(tmp_path)] == [1]
    assert capsys.readouterr().err.count("is torn") == 3


def test_a_model_is_a_model_folder_a_hub_id_or_the_last_checkpoint(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "run", 7)
    assert resolve_model(str(folder)) == str(folder)
    assert resolve_model("facebook/opt-1.3b") == "facebook/opt-1.3b"
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no model"):
        resolve_model(str(tmp_path / "empty"))
