"""The scripts of `slurm/` by `sbatch`, as the originals' were called; arrays that cut enhance into shards by themselves."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from slurm_cluster import Cluster

SCRIPTS = Path(__file__).resolve().parent.parent.parent / "slurm"
TEACHER = '{name: scripted, reply: "%s", delay: 0.05}'
pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture
def here(slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder to submit from, with `teacherlm` on PATH."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    return tmp_path


def sbatch(*words: str) -> None:
    done = subprocess.run(["sbatch", "--output=log_%a.txt", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def logs(folder: Path) -> str:
    return "\n".join(f"{path.name}: {path.read_text()}" for path in sorted(folder.glob("log_*.txt")))


def questions(folder: Path, count: int = 32) -> None:
    rows = [
        {"id": f"q{n}", "prompt": f"Q: {n}? A:", "cot_text": f"Q: {n}? A: The answer is ({n}). Let's think step by step."}
        for n in range(count)
    ]
    (folder / "in put.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def enhance(array: str, *words: str) -> Sequence[str]:
    script = str(SCRIPTS / "enhance.sh")
    return (f"--array={array}", script, "scripted", "in put.jsonl", "out.jsonl", "cot_text", "--teacher", "scripted", *words)


def test_an_array_cuts_enhance_into_shards_and_the_last_one_writes_the_rows(slurm: Cluster, here: Path) -> None:
    questions(here)
    sbatch(*enhance("0-3"))
    slurm.wait_idle()
    assert (here / "out.jsonl").is_file(), logs(here)
    alone = [
        sys.executable,
        "-m",
        "teacherlm.cli",
        "enhance",
        "scripted",
        "in put.jsonl",
        "alone.jsonl",
        "cot_text",
        "--teacher",
        "scripted",
    ]
    subprocess.run(alone, check=True, capture_output=True)
    assert (here / "out.jsonl").read_bytes() == (here / "alone.jsonl").read_bytes()
    assert sorted(path.name for path in (here / "out.jsonl.work/shards").glob("*-of-*")) == [f"{i}-of-4" for i in range(4)]


def test_single_ones_are_repeated_in_the_same_cut_and_another_cut_is_refused(slurm: Cluster, here: Path) -> None:
    questions(here)
    slow = ("--set", "teacher.delay=0.2")
    sbatch("--hold", *enhance("0-5", *slow))
    [job] = slurm.ask("squeue", "--noheader", "--format=%F").split()
    slurm.ask("scancel", f"{job}_[1,4]")
    slurm.ask("scontrol", "release", job)
    slurm.wait_idle()
    assert not (here / "out.jsonl").exists()
    sbatch(*enhance("0-3", *slow))
    slurm.wait_idle()
    assert "was cut into 6 shards by --array=0-5, and --array=0-3 is another cut" in (here / "log_2.txt").read_text()
    sbatch(*enhance("1,4", *slow))
    slurm.wait_idle()
    assert len((here / "out.jsonl").read_text().splitlines()) == 32, logs(here)
    shards = (here / "out.jsonl.work/shards").glob("*-of-*/manifest.json")
    assert sum(json.loads(path.read_text())["counts"]["questions"] for path in shards) == 32


def test_a_first_array_with_holes_is_refused_in_one_line(slurm: Cluster, here: Path) -> None:
    questions(here)
    sbatch(*enhance("3,7"))
    slurm.wait_idle()
    said = (here / "log_3.txt").read_text().splitlines()
    assert said == [
        "teacherlm: out.jsonl: the first array cuts it into shards and must have no holes, such as --array=0-15; found 2 jobs from 3 to 7."
    ]


def test_finetune_takes_the_ten_words_of_the_original(slurm: Cluster, here: Path, stories260k: Path) -> None:
    rows = [{"id": str(n), "prompt": f"Q: {n}? A:", "cot_tail": f"Q: {n}? A: The answer is {n}."} for n in range(8)]
    (here / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = [str(stories260k), "data.jsonl", "2", "2", "6e-06", "1", "cot_tail", "my run", "store", "test"]
    sbatch("--array=0", "--partition=one", str(SCRIPTS / "finetune.sh"), *words, "--report-to", "none")
    slurm.wait_idle(120)
    assert (here / "store/my run/manifest.json").is_file(), logs(here)
    config = json.loads((here / "store/my run/manifest.json").read_text())["config"]
    assert (config["batch_size"], config["micro_batch"], config["accumulation"], config["learning_rate"]) == (4, 2, 2, 6e-06)
    assert (config["train_on"], config["wandb_project"], config["run_name"]) == ("cot_tail", "test", "my run")


def test_the_other_scripts_take_the_originals_words(slurm: Cluster, here: Path, stories260k: Path) -> None:
    problems = "dataset={name: word_problems, textbook: 4, practice: 8, test: 4}"
    sbatch("--array=0", str(SCRIPTS / "prepare.sh"), "word_problems", "questions", "--set", problems, "--split", "practice")
    slurm.wait_idle()
    assert (here / "questions/WORD_PROBLEMS.jsonl").is_file(), logs(here)
    words = ["scripted", "questions/WORD_PROBLEMS.jsonl", "W_cot.jsonl", "cot_text", "--teacher", "scripted"]
    sbatch("--array=0", str(SCRIPTS / "enhance.sh"), *words)
    slurm.wait_idle()
    sbatch("--array=0", str(SCRIPTS / "postprocess.sh"), "W_cot.jsonl", "examples", "--verify", "[]")
    evaluate = [str(SCRIPTS / "evaluate.sh"), str(stories260k), "questions", "--data", "questions", "--split", "test"]
    sbatch("--array=0", *evaluate, "--max-new-tokens", "4")
    slurm.wait_idle(120)
    assert (here / "examples/manifest.json").is_file(), logs(here)
    assert (here / "evaluated/stories260k-questions/results.jsonl").is_file(), logs(here)


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.sh")), ids=lambda path: path.stem)
def test_the_scripts_are_thin_and_hold_no_options(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 20
    assert '"$@"' in lines[-1]
    ours = [line for line in lines if line.startswith("exec teacherlm")]
    assert "--" not in "".join(ours)
