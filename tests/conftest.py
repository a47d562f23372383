"""Where the real test data lies."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with real datasets and models: TEACHERLM_TEST_DATA, by default `../shared` beside the repository."""
    folder = Path(os.environ.get("TEACHERLM_TEST_DATA", REPOSITORY.parent / "shared"))
    if not (folder / "data" / "creak").is_dir():
        pytest.skip(f"no real datasets in {folder}: set TEACHERLM_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def creak(test_data: Path) -> Path:
    """Folder of the published CREAK files."""
    return test_data / "data" / "creak"


@pytest.fixture(scope="session")
def stories260k(test_data: Path) -> Path:
    """A real pretrained Llama: 260K parameters, 512 tokens of vocabulary, context 512."""
    return test_data / "models" / "stories260k"
