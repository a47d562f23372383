"""Every pipeline file plans, and what the README shows runs as it stands there."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from teacherlm.pipeline import read_pipeline
from teacherlm.plan import plan
from teacherlm.stages import ORDER as STAGES

REPOSITORY = Path(__file__).resolve().parent.parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PIPELINES = sorted((REPOSITORY / "pipelines").glob("*.yaml"))


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for name, text in fenced if name == language]


def commands(start: str) -> list[list[str]]:
    """The commands of the README's code blocks that begin with `start`, comments cut off, continued lines joined."""
    lines = "\n".join(blocks("")).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith(start)]


def teacherlm(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "teacherlm.cli", *words], capture_output=True, text=True, cwd=cwd, timeout=1500)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_every_pipeline_plans_without_network_or_models(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")
    jobs = plan(read_pipeline(path, []), str(path))
    assert len({job.place for job in jobs}) == len(jobs)


@pytest.fixture
def mine(tmp_path: Path, stories260k: Path) -> Path:
    """A folder with `my.jsonl`: the README's two rows, forty times."""
    [sample] = [block for block in blocks("json") if "choices" in block]
    rows = [json.loads(line) for line in sample.splitlines()]
    lines = [json.dumps({**row, "question": f"{row['question']} ({number})"}) for number in range(40) for row in rows]
    (tmp_path / "my.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def small(words: list[str], model: Path) -> list[str]:
    """The README's words with a model that is here in place of its placeholders."""
    return [word.replace("path/or/hub-id", str(model)).replace("facebook/opt-1.3b", str(model)) for word in words]


@pytest.mark.slow
@pytest.mark.real
def test_the_commands_for_your_own_data_run_one_after_another(mine: Path, stories260k: Path) -> None:
    shown = [words for words in commands("teacherlm ") if "runs/mine" in shlex.join(words) and words[1] in STAGES]
    assert [words[1] for words in shown] == ["prepare", "enhance", "postprocess", "finetune", "evaluate", "report"]
    for words in shown:
        extra = {"enhance": ["--max-new-tokens", "16"], "evaluate": ["--max-new-tokens", "16", "--set", "checkpoints=last"]}.get(
            words[1], []
        )
        teacherlm(*small(words[1:], stories260k), *extra, cwd=mine)
    assert (mine / "runs/mine/report/report.html").is_file()


@pytest.mark.slow
@pytest.mark.real
def test_the_pipeline_for_your_own_data_runs_and_a_second_time_does_nothing(mine: Path, stories260k: Path) -> None:
    [text] = [block for block in blocks("yaml") if "run_dir: runs/mine" in block]
    steps = yaml.safe_load(small([text], stories260k)[0])
    (mine / "mine.yaml").write_text(yaml.safe_dump(steps, sort_keys=False))
    less = ["--set", "enhance.max_new_tokens=16", "--set", "evaluate.max_new_tokens=16", "--set", "finetune.epochs=1"]
    less += ["--set", "finetune.matrix.seed=[0]", "--set", "evaluate.checkpoints=last"]
    teacherlm("run", "mine.yaml", "--jobs", "2", *less, cwd=mine)
    report = json.loads((mine / "runs/mine/report/report.json").read_text())
    assert {row["trained_on"] for row in report["rows"]} == {"text", "cot_tail", "cot_head"}
    assert "Nothing to do" in teacherlm("run", "mine.yaml", *less, cwd=mine).stderr
    assert "report" in teacherlm("status", "runs/mine", cwd=mine).stdout
