"""A stage that writes something else for the same settings must raise its version: what is done would otherwise be taken for done.

A file here is named by stage and version. To renew: raise the version in the stage's file, then run with TEACHERLM_RENEW_GOLDEN=1.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from teacherlm.catalog import find
from teacherlm.parsing import parse_config
from teacherlm.store.hf import read_dataset

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def perform(stage: str, **settings: object) -> None:
    found = find("stages", stage)
    found.run(parse_config(found.config, settings))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("golden")
    perform("prepare", dataset="jsonl", source=str(GOLDEN / "source.jsonl"), output=str(run / "prepare"))
    perform("enhance", input=str(run / "prepare"), teacher="scripted", max_new_tokens=8, output=str(run / "enhance"))
    perform("postprocess", input=[str(run / "enhance")], output=str(run / "postprocess"))
    return run


def rows_of(run: Path, stage: str) -> Iterator[bytes]:
    if stage == "postprocess":
        yield from (orjson.dumps(row) for row in read_dataset(run / stage))
    else:
        [file] = (path for path in (run / stage).glob("*.jsonl") if path.name != "dropped.jsonl")
        yield from file.read_bytes().splitlines()


@pytest.mark.parametrize("stage", ["prepare", "enhance", "postprocess"])
def test_a_stage_writes_what_its_version_wrote(chain: Path, stage: str) -> None:
    golden = GOLDEN / f"{stage}.v{find('stages', stage).version}.jsonl"
    written = b"\n".join(rows_of(chain, stage)) + b"\n"
    if os.environ.get("TEACHERLM_RENEW_GOLDEN"):
        golden.write_bytes(written)
    assert written == golden.read_bytes(), f"{stage} writes something else than version {golden.stem} did: raise its version"
