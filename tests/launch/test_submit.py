"""The words for sbatch, without a Slurm: arrays, dependencies, quoting, what is refused."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from teacherlm.catalog import use_plugins
from teacherlm.errors import UserError
from teacherlm.launch import cluster
from teacherlm.launch.cluster import Partition, parse_indices, require_possible
from teacherlm.launch.slurm import Array, arguments, arrays, script
from teacherlm.launch.submit import submit_pipeline
from teacherlm.parsing import parse_config
from teacherlm.pipeline import read_pipeline
from teacherlm.plan import Job, plan
from teacherlm.resources import Resources

PLUGINS = Path(__file__).parent.parent / "plugins"
HOSTILE = 'it\'s $(touch pwned) `touch pwned` "x"; touch pwned %j\n&'


def jobs_of(folder: Path, steps: list[Any], **more: Any) -> list[Job]:
    use_plugins([PLUGINS])
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump({"run_dir": str(folder / "run"), "steps": steps, **more}, sort_keys=False))
    return plan(read_pipeline(path, []), str(path))


def one_array(folder: Path, step: dict[str, Any], **slurm: Any) -> Array:
    [array] = arrays(jobs_of(folder, [step], slurm=slurm), most=100)
    return array


def words(folder: Path, step: dict[str, Any], **slurm: Any) -> list[str]:
    return arguments(one_array(folder, step, **slurm), folder / "run/slurm", [], folder / "x.sh", folder)


def text(folder: Path, step: dict[str, Any], **slurm: Any) -> str:
    return script(one_array(folder, step, **slurm), folder / "run/slurm/x.jsonl", folder / "run", folder)


def test_a_step_is_one_array_for_each_kind_of_resources_shards_before_the_whole(tmp_path: Path) -> None:
    sizes = {"small": {"amount": 1}, "big": {"amount": 2, "slurm": {"mem": "64G"}}}
    steps = [{"number": {"matrix": {"value": [1, 2]}}}, {"add": {"shards": 2, "matrix": {"size": sizes}}}, {"total": {}}]
    made = arrays(jobs_of(tmp_path, steps), most=100)
    assert [(array.title, len(array.jobs), array.resources.mem, array.after) for array in made] == [
        ("number", 2, None, ()),
        ("add", 4, None, (0,)),
        ("add", 4, "64G", (0,)),
        ("add", 2, None, (1,)),
        ("add", 2, "64G", (2,)),
        ("total", 1, None, (3, 4)),
    ]


def test_arrays_longer_than_the_cluster_allows_are_split(tmp_path: Path) -> None:
    made = arrays(jobs_of(tmp_path, [{"number": {"matrix": {"value": list(range(12))}}}, {"total": {}}]), most=5)
    assert [len(array.jobs) for array in made] == [5, 5, 2, 1]
    assert made[-1].after == (0, 1, 2)


def test_every_resource_is_one_argument_of_sbatch(tmp_path: Path) -> None:
    slurm = {"partition": "gpu", "account": "me too", "qos": "long", "time": "1:30:00", "gpus": "a100:8", "cpus": 16, "mem": "64G"}
    given = words(
        tmp_path, {"number": {"value": 1}}, **slurm, constraint="a|b", throttle=4, options={"reservation": "x y", "exclusive": True}
    )
    for word in ("--partition=gpu", "--account=me too", "--qos=long", "--time=1:30:00", "--gpus-per-node=a100:8", "--cpus-per-task=16"):
        assert word in given
    assert {"--mem=64G", "--constraint=a|b", "--array=0-0%4", "--reservation=x y", "--exclusive", "--nodes=1"} <= set(given)


@pytest.mark.parametrize(
    ("slurm", "message"),
    [
        ({"partiton": "x"}, "number.slurm: partiton: unknown key. Did you mean 'partition'? Known: account"),
        ({"time": 5400}, "number.slurm: time: write it in quotes"),
        ({"time": "soon"}, "number.slurm: time: expected a time as Slurm writes it"),
        ({"gpus": "many"}, "number.slurm: gpus: expected a number of GPUs, or a kind and a number such as a100:4, found 'many'."),
        ({"gpus": -1}, "number.slurm: gpus: "),
        ({"mem": "lots"}, "number.slurm: mem: "),
        ({"account": "a\nb"}, "number.slurm: account: "),
        ({"options": {"array": "0-5"}}, "number.slurm: options: 'array': is given by submit itself."),
        ({"options": {"--x y": 1}}, "number.slurm: options: '--x y': expected the long name"),
        ({"nodes": 2}, "number.slurm.nodes: 2: the stage 'number' runs on one node; cut it into shards instead."),
    ],
)
def test_resources_that_mean_nothing_are_refused(tmp_path: Path, slurm: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"pipeline.yaml: {message}")):
        jobs_of(tmp_path, [{"number": {"value": 1, "slurm": slurm}}])


def test_the_script_runs_setup_as_it_stands_and_quotes_all_else(tmp_path: Path) -> None:
    folder = tmp_path / HOSTILE
    folder.mkdir()
    written = text(folder, {"number": {"value": 1}}, setup=['module() { echo "module $*"; }', "module load x"])
    (tmp_path / "job.sh").write_text(written)
    done = subprocess.run(
        ["bash", tmp_path / "job.sh"], capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "SLURM_ARRAY_TASK_ID": "0"}
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{folder / 'run'} is not there on this node; put run_dir on a file system that all nodes share." in done.stderr
    (folder / "run/slurm").mkdir(parents=True)
    (folder / "run/slurm/x.jsonl").write_text("not json\n")
    done = subprocess.run(
        ["bash", tmp_path / "job.sh"], capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "SLURM_ARRAY_TASK_ID": "0"}
    )
    assert done.stdout == "module load x\n"
    assert f"{folder}/run/slurm/x.jsonl:1: not valid JSON" in done.stderr
    assert not list(tmp_path.rglob("pwned"))


def test_a_warning_while_setup_runs_does_not_end_the_job_and_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / "run/slurm").mkdir(parents=True)
    (tmp_path / "run/slurm/x.jsonl").write_text("not json\n")
    setup = ["kill -USR1 $$", 'echo "warned: $TEACHERLM_WARNED"']
    (tmp_path / "job.sh").write_text(text(tmp_path, {"number": {"value": 1}}, setup=setup))
    done = subprocess.run(
        ["bash", tmp_path / "job.sh"], capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "SLURM_ARRAY_TASK_ID": "0"}
    )
    assert (done.returncode, done.stdout) == (2, "warned: 1\n")


def test_setup_that_fails_ends_the_job(tmp_path: Path) -> None:
    (tmp_path / "run/slurm").mkdir(parents=True)
    (tmp_path / "run/slurm/x.jsonl").write_text("")
    (tmp_path / "job.sh").write_text(text(tmp_path, {"number": {"value": 1}}, setup=["false"]))
    assert subprocess.run(["bash", tmp_path / "job.sh"], capture_output=True).stderr == b""


def test_only_stages_of_several_processes_are_started_by_torchrun(tmp_path: Path) -> None:
    two_nodes = text(tmp_path, {"meet": {}}, nodes=2, gpus=4)
    assert '-m teacherlm.launch.torchrun --nproc-per-node 4 --nnodes 2 --rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID"' in two_nodes
    assert f"exec srun {shlex.quote(sys.executable)} -m" in two_nodes
    one_node = text(tmp_path, {"meet": {}}, gpus=4)
    assert "--nproc-per-node 4 --standalone" in one_node
    assert "srun" not in one_node
    assert "torch.distributed" not in text(tmp_path, {"meet": {}}, gpus=1)
    assert "torch.distributed" not in text(tmp_path, {"number": {"value": 1}}, gpus=4)


def test_a_container_is_an_image_of_srun_or_words_before_the_command(tmp_path: Path) -> None:
    folder = shlex.quote(f"--container-mounts={tmp_path}:{tmp_path},{tmp_path}/run:{tmp_path}/run")
    image = text(tmp_path, {"number": {"value": 1}}, container="nvcr.io/x y")
    assert f"exec srun '--container-image=nvcr.io/x y' {folder} --container-workdir={tmp_path} python -m teacherlm.cli job" in image
    before = text(tmp_path, {"number": {"value": 1}}, container=["apptainer", "exec", "--nv", "my image.sif"])
    assert "exec apptainer exec --nv 'my image.sif' python -m teacherlm.cli job" in before


def test_a_dry_run_prints_the_words_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    steps = [{"number": {"matrix": {"value": [1, 2]}}}, {"total": {}}]
    jobs_of(tmp_path, steps, slurm={"partition": "gpu"})
    assert submit_pipeline(str(tmp_path / "pipeline.yaml"), [], [PLUGINS], dry_run=True) == []
    said = capsys.readouterr()
    assert "3 jobs, 3 to do:" in said.err
    assert "So what follows is not checked against a cluster." in said.err
    commands = [shlex.split(line) for line in said.out.splitlines() if line.startswith("sbatch")]
    assert ["--array=0-1" in commands[0], "--partition=gpu" in commands[0], "--dependency=afterany:ARRAY1" in commands[1]] == [True] * 3
    assert said.out.count("#!/bin/bash") == 2
    assert not (tmp_path / "run").exists()


def test_a_slurm_that_does_not_answer_holds_up_a_submit_and_no_dry_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sbatch", "squeue", "scontrol"):
        (tmp_path / name).write_text(
            "#!/bin/sh\necho 'slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)' >&2\nexit 1\n"
        )
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    jobs_of(tmp_path, [{"number": {"value": 1}}])
    with pytest.raises(UserError, match=r"^scontrol: .*Unable to contact slurm controller \(connect failure\)$"):
        submit_pipeline(str(tmp_path / "pipeline.yaml"), [], [PLUGINS], dry_run=False)
    assert submit_pipeline(str(tmp_path / "pipeline.yaml"), [], [PLUGINS], dry_run=True) == []


def test_without_slurm_it_says_what_would_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    jobs_of(tmp_path, [{"number": {"value": 1}}])
    with pytest.raises(
        UserError, match=r"^there is no `sbatch` on PATH: this is no login node of a Slurm cluster. `teacherlm run` does the same"
    ):
        submit_pipeline(str(tmp_path / "pipeline.yaml"), [], [PLUGINS], dry_run=False)
    assert not (tmp_path / "run").exists()


PARTITIONS = {"main": Partition("main", gpus=False, nodes=2, cpus=8), "gpu": Partition("gpu", gpus=True, nodes=1, cpus=64)}


@pytest.mark.parametrize(
    ("slurm", "message"),
    [
        ({"partition": "gpus"}, "x.slurm.partition: No partition named 'gpus'. Did you mean 'gpu'? Known: gpu, main."),
        ({"gpus": 2}, "x.slurm.gpus: 2: no node of partition main has GPUs; partitions with GPUs: gpu."),
        ({"nodes": 3}, "x.slurm.nodes: 3: partition main has 2."),
        ({"cpus": 64}, "x.slurm.cpus: 64: partition main has 8 on a node."),
        ({"partition": "gpu", "nodes": 2}, "x.slurm.nodes: 2: partition gpu has 1."),
    ],
)
def test_what_the_cluster_does_not_have_is_refused(slurm: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        require_possible(parse_config(Resources, slurm), PARTITIONS, "main", "x.slurm")
    require_possible(parse_config(Resources, {"partition": "main,gpu", "gpus": 8, "nodes": 2}), PARTITIONS, "main", "x.slurm")


def test_slurms_refusals_become_one_line() -> None:
    words = "sbatch: error: Batch job submission failed: Invalid account\nsbatch: error: Batch job submission failed: Invalid account\n"
    assert cluster.one_line(words) == "Batch job submission failed: Invalid account"


def test_the_indices_of_an_array_as_slurm_writes_them() -> None:
    assert parse_indices("3,7-9,10-14:2%4") == [3, 7, 8, 9, 10, 12, 14]


def test_many_jobs_are_counted_step_by_step(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    jobs_of(tmp_path, [{"number": {"matrix": {"value": list(range(300))}}}, {"total": {}}])
    submit_pipeline(str(tmp_path / "pipeline.yaml"), [], [PLUGINS], dry_run=True)
    said = capsys.readouterr()
    assert said.err.splitlines()[1:] == ["301 jobs, 301 to do:", "  number: 300 jobs: not there yet", "  total: 1 jobs: not there yet"]
    assert "number, 300 jobs: number/0, number/1, number/2, number/3, number/4 and 295 more" in said.out
