"""A proposal as a pipeline file with comments; it is planned before it is written."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from teacherlm.catalog import find
from teacherlm.errors import UserError
from teacherlm.pipeline import read_pipeline
from teacherlm.plan import Job, plan
from teacherlm.proposing.proposal import Proposal

TEACHER = "bigscience/bloomz-7b1"
STUDENT = "facebook/opt-1.3b"
LONG_ANSWER = 60
"""Characters from which a free answer is a text rather than an answer."""


@dataclass(frozen=True)
class Models:
    teacher: str = TEACHER
    student: str = STUDENT


def pipeline_text(proposal: Proposal, models: Models, output: Path) -> str:
    """The whole file."""
    name = _name_of(proposal)
    steps = (_prepare(proposal), _enhance(models.teacher), _postprocess(proposal), _finetune(models.student), _evaluate(proposal, models))
    return "\n".join((*_head(proposal, output), f"run_dir: {_yaml(f'runs/{name}')}", "seed: 0", "steps:", *steps, "")).rstrip() + "\n"


def planned(text: str, output: Path) -> list[Job]:
    """Its jobs, as `run --dry-run` plans them. Raises: UserError for anything that could not run."""
    with tempfile.TemporaryDirectory(prefix="teacherlm-") as folder:
        file = Path(folder) / output.name
        file.write_text(text, encoding="utf-8")
        return plan(read_pipeline(file, []), str(output))


def _head(proposal: Proposal, output: Path) -> list[str]:
    what = f"{_title(proposal)} ({proposal.source})"
    return [
        f"# Proposed by `teacherlm init` for {what}.",
        "#",
        f"#   teacherlm show {proposal.source}",
        f"#   teacherlm run {output} --dry-run      what would be done, and why",
        f"#   teacherlm run {output}                on this machine; only what is not done yet",
        f"#   teacherlm submit {output}             on a cluster with Slurm",
        "#",
        "# A teacher explains the right answers; students learn the answers alone (text), answers with the explanation behind them",
        "# (cot_tail) and explanations that lead to the answer (cot_head); all are measured on rows that no student was taught.",
        *(f"# {note}" for note in proposal.notes),
    ]


def _prepare(proposal: Proposal) -> str:
    settings = dict(proposal.prepare)
    dataset = settings.pop("dataset")
    lines = ["  - prepare:"]
    if isinstance(dataset, str):
        lines.append(f"      dataset: {dataset}")
    else:
        lines.append("      dataset:")
        lines += [f"        {key}: {_yaml(value)}{_remark(proposal, key)}" for key, value in dataset.items()]
    lines += [f"      {key}: {_yaml(value)}{_remark(proposal, key)}" for key, value in settings.items()]
    return "\n".join(lines)


def _remark(proposal: Proposal, key: str) -> str:
    """Why a setting is there."""
    bad = proposal.tried.dropped
    remarks = {
        "columns": "ours: theirs",
        "answer_is": "how an answer names its choice",
        "leave_out": "columns whose values share no type",
        "held_out": "this part of the rows is measured, not taught",
        "split_by": "the source has one split only: the rest of it is measured",
        "on_bad_row": f"{len(bad)} of the first rows are no questions; dropped.jsonl will say why" if bad else "",
    }
    return f"    # {remarks[key]}" if remarks.get(key) else ""


def _enhance(teacher: str) -> str:
    dtype = "" if Path(teacher).exists() else ", dtype: bfloat16"
    return "\n".join(
        (
            "  - enhance:",
            "      # or {name: vllm, model: ...}, or a server: {name: openai, model: ..., base_url: http://host:8000/v1}",
            f"      teacher: {{name: transformers, model: {_yaml(teacher)}{dtype}}}",
            "      kinds: [cot]                    # also: error (common mistakes), fundamental (what one must know)",
            "      max_new_tokens: 256",
        )
    )


def _postprocess(proposal: Proposal) -> str:
    if _answers_are_texts(proposal):
        return "  - postprocess: {verify: [truncation]}    # answers are whole texts: agreement with them cannot be read off"
    return "  - postprocess: {verify: [agreement]}     # rationales that come to another answer are left out"


def _finetune(student: str) -> str:
    precision = [] if Path(student).exists() else ["      precision: bf16                 # fp32 without a GPU"]
    return "\n".join(
        (
            "  - finetune:",
            f"      model: {_yaml(student)}",
            "      epochs: 10",
            "      batch_size: 64",
            "      learning_rate: 6.0e-6           # TeacherLM's; small models take 3.0e-4 and more",
            *precision,
            "      matrix:",
            "        train_on: [text, cot_tail, cot_head]",
            "        seed: [0]                     # [0, 1, 2] tells chance from effect",
        )
    )


def _evaluate(proposal: Proposal, models: Models) -> str:
    rows = proposal.tried.all
    tasks = "[questions_letters, questions]" if all(row["choices"] for row in rows) else "[questions]"
    remark = "    # counts answers that are equal word for word: choose a task that fits your texts" if _answers_are_texts(proposal) else ""
    measured = [f"      tasks: {tasks}{remark}", "      data: $prepare", f"      split: {_yaml(proposal.measured)}"]
    untrained = ["      name: untrained", f"      input: {_yaml(models.student)}"]
    report = ["  - report:", "      input: [$evaluate, $untrained]", "      baseline: text", f"      title: {_yaml(_title(proposal))}"]
    return "\n".join(("  - evaluate:", *measured, "  - evaluate:", *untrained, *measured, *report))


def _answers_are_texts(proposal: Proposal) -> bool:
    free = [row["answer"] for row in proposal.tried.all if not row["choices"] and row["answer_rule"] == "exact"]
    return bool(free) and sum(map(len, free)) / len(free) > LONG_ANSWER


def _title(proposal: Proposal) -> str:
    return str(find("datasets", proposal.name).title) or Path(proposal.source).stem


def _name_of(proposal: Proposal) -> str:
    return re.sub(r"[^\w.-]+", "_", _title(proposal)).strip("._").lower() or "mine"


def _yaml(value: Any) -> str:
    """On one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("...").strip()


def write_pipeline(text: str, output: Path, overwrite: bool) -> None:
    """Raises: UserError for a file that is there already, and where it cannot be written."""
    refuse_existing(output, overwrite)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--output {output}: cannot be written ({error.strerror}).") from None


def refuse_existing(output: Path, overwrite: bool) -> None:
    if output.is_dir():
        raise UserError(f"--output {output}: is a folder; name a file, such as {output / 'pipeline.yaml'}.")
    if output.exists() and not overwrite:
        raise UserError(f"--output {output}: is there already; name another file, or --overwrite it.")
