"""What a real Slurm refuses, and what a run folder that its nodes cannot see looks like: one clear line each."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from slurm_cluster import Cluster

from teacherlm.errors import UserError
from teacherlm.launch.status import read_status
from teacherlm.launch.submit import submit_pipeline

PLUGINS = Path(__file__).parent.parent / "plugins"
pytestmark = [pytest.mark.real, pytest.mark.slow]


def submit(folder: Path, steps: list[Any], **slurm: Any) -> list[str]:
    (folder / "p.yaml").write_text(yaml.safe_dump({"run_dir": str(folder / "run"), "slurm": slurm, "steps": steps}, sort_keys=False))
    return submit_pipeline(str(folder / "p.yaml"), [], [PLUGINS], dry_run=False)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"partition": "mian"}, r"number.slurm.partition: No partition named 'mian'. Did you mean 'main'\? Known: main, one.$"),
        ({"gpus": 8}, r"number.slurm.gpus: 8: no node of partition main has GPUs; no partition of this cluster has any.$"),
        ({"cpus": 64}, r"number.slurm.cpus: 64: partition main has 4 on a node.$"),
        ({"mem": "9000T"}, r"^number: sbatch: .*not available$"),
    ],
)
def test_resources_that_the_cluster_lacks(slurm: Cluster, tmp_path: Path, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        submit(tmp_path, [{"number": {"value": 1}}], **asked)
    assert slurm.ask("squeue", "--noheader") == ""


def test_an_array_that_is_refused_leaves_those_before_it_and_says_so(slurm: Cluster, tmp_path: Path) -> None:
    steps = [{"number": {"value": 1}}, {"add": {"slurm": {"mem": "9000T"}}}]
    with pytest.raises(UserError, match=r"^add: sbatch: .* \(1 of 2 arrays are submitted\)$"):
        submit(tmp_path, steps)
    slurm.wait_idle()
    assert [(row.step, row.done, row.to_do) for row in read_status(tmp_path / "run")[0]] == [("number", 1, 0), ("add", 0, 1)]
    assert len(submit(tmp_path, [steps[0], {"add": {}}])) == 1
    slurm.wait_idle()
    assert (tmp_path / "run/add/number.txt").read_text() == "2"


def test_a_run_folder_that_the_nodes_do_not_see(slurm: Cluster, tmp_path: Path) -> None:
    submit(tmp_path, [{"number": {"value": 1}}], options={"hold": True})
    shutil.move(tmp_path / "run", tmp_path / "elsewhere")
    slurm.ask("scontrol", "release", *slurm.ask("squeue", "--noheader", "--format=%F").split())
    slurm.wait_idle()
    shutil.move(tmp_path / "elsewhere", tmp_path / "run")
    _, problems = read_status(tmp_path / "run")
    assert f"is {tmp_path / 'run'} on a file system that all nodes share?" in problems["number"]
