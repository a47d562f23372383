"""A real Slurm for the tests that ask for one; started once."""

import os
from collections.abc import Iterator

import pytest
from slurm_cluster import Cluster, find_obstacle, running_cluster


@pytest.fixture(scope="session")
def cluster_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if obstacle := find_obstacle():
        pytest.skip(obstacle)
    with running_cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture
def slurm(cluster_of_tests: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """An empty queue; its commands answer in this process and its children."""
    monkeypatch.setenv("SLURM_CONF", str(cluster_of_tests.conf))
    for name in [name for name in os.environ if name.startswith(("SBATCH_", "SLURM_")) and name != "SLURM_CONF"]:
        monkeypatch.delenv(name)
    yield cluster_of_tests
    cluster_of_tests.ask("scancel", "--user=root")
    cluster_of_tests.wait_idle()
