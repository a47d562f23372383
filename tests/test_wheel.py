"""What an installed wheel holds."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def test_every_folder_of_the_package_is_named_in_pyproject() -> None:
    tomllib = pytest.importorskip("tomllib", reason="comes with Python 3.11")
    named = set(tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    files = [path for pattern in ("*.py", "*.yaml") for path in (REPOSITORY / "teacherlm").rglob(pattern)]
    folders = {".".join(path.parent.relative_to(REPOSITORY).parts) for path in files}
    assert named == folders | {"teacherlm.pipelines", "teacherlm.ds_configs", "teacherlm.slurm"}


@pytest.mark.slow
def test_a_wheel_holds_pipelines_ds_configs_slurm_tasks_and_the_page(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, pattern in (
        ("pipelines", "*.yaml"),
        ("ds_configs", "*.json"),
        ("teacherlm/evaluation/tasks", "**/*.yaml"),
        ("teacherlm/reporting", "*.html"),
    ):
        for file in (REPOSITORY / folder).glob(pattern):
            inside = (
                f"teacherlm/{file.relative_to(REPOSITORY)}" if not folder.startswith("teacherlm") else str(file.relative_to(REPOSITORY))
            )
            assert inside in names
