"""Where the real test data lies, and the promise that tests of real parts are not skipped where they must run."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: more threads only get into each other's way
REPOSITORY = Path(__file__).resolve().parent.parent
REQUIRED = "TEACHERLM_TEST_REAL"


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


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Remembered hashes of this session go to a folder of its own."""
    before = os.environ.get("TEACHERLM_CACHE")
    os.environ["TEACHERLM_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["TEACHERLM_CACHE"]
    else:
        os.environ["TEACHERLM_CACHE"] = before


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes share the tests: a file stays in one of them, and the one Slurm serves all tests that ask for it."""
    for item in items:
        name = "slurm" if "cluster_of_tests" in getattr(item, "fixturenames", ()) else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(name))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Where TEACHERLM_TEST_REAL=required, a skipped test of a real part is a failed one."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    uses_real_part = item.get_closest_marker("real") or "test_data" in getattr(item, "fixturenames", ())
    if report.skipped and uses_real_part and os.environ.get(REQUIRED) == "required":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped, but {REQUIRED}=required: {report.longrepr}"
