"""What a score has to beat: guessing, always the same answer, copying, the teacher itself."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from teacherlm.answers.numbers import is_number, plain_number
from teacherlm.reporting.groups import Groups
from teacherlm.reporting.history import Job
from teacherlm.reporting.predictions import SHARES, Predictions

SHOWN_THE_ANSWER = ("rationalise", "template")
"""Ways in which the teacher reads the gold answer, or may: what it then says is no measure of it."""


def find_baselines(groups: Groups, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Per task {task, name, value, n}: where answers are right or wrong, and where the task itself scored what is no model's.

    With the `answer` that is always given, where it is one.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    solved = solved_by_teacher(jobs)
    for (_, task), members in groups.items():
        first = next(iter(members.values()))[0]
        for row in copying(first.answers, first.result.metric):
            found[task, row["name"]] = {"task": task, **row}
        if first.result.metric.split(",")[0] in SHARES:
            for row in [*guessing(first.answers), *always(first.answers), *solved]:
                found[task, row["name"]] = {"task": task, **row}
    return list(found.values())


def guessing(answers: Predictions) -> Iterable[dict[str, Any]]:
    """The mean of 1 / choices, where every question has some."""
    if choices := answers.known_choices:
        yield {"name": "random choice", "value": sum(1 / count for count in choices) / len(choices), "n": len(choices)}


def always(answers: Predictions) -> Iterable[dict[str, Any]]:
    """The most frequent gold answer, where questions share their few answers, or all are numbers."""
    from teacherlm.reporting.statistics import majority

    golds, numbers = answers.golds, [plain_number(gold) for gold in answers.golds]
    few = all(len(gold) == 1 and gold.isalpha() for gold in golds) or 1 < len(set(golds)) <= max(answers.choices, default=0)
    if few or all(map(is_number, numbers)):
        answer, share = majority(golds if few else numbers)
        yield {"name": f"always “{answer}”", "answer": answer, "value": share, "n": len(golds)}


def copying(answers: Predictions, metric: str) -> Iterable[dict[str, Any]]:
    """What the task scored beside every answer: `rougeL_of_copy_input` is what the input is worth as an answer."""
    for name in answers.values:
        _, found, what = name.partition(f"{metric}_of_")
        if found and name.startswith(found):
            scores = answers.scores(name)
            yield {"name": what.replace("_", " "), "value": float(scores.mean()), "n": scores.size}


def solved_by_teacher(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """How often a teacher that did not see the answer reached it, on the training questions; by the gate `agreement`."""
    by_path = {str(job.path): job for job in jobs}
    found = []
    for job in jobs:
        judged: Mapping[str, int] = (job.manifest.facts.get("funnel") or {}).get("agreement") or {}
        sources = [by_path[path] for path in job.manifest.inputs if path in by_path]
        asked = [source for source in sources if source.manifest.stage == "enhance"]
        n = sum(judged.values())
        if n and asked and all(_way(one) not in SHOWN_THE_ANSWER for one in asked):
            row = {"name": f"teacher, on {n:,} training questions", "value": judged.get("right", 0) / n, "n": n}
            found.append(row)
    return found


def teachers_of(jobs: Iterable[Job]) -> list[str]:
    """Models that wrote rationales, as the configs spell them."""
    written = [job.manifest.config.get("teacher") for job in jobs if job.manifest.stage == "enhance"]
    return list(dict.fromkeys(str(one.get("model") or "") for one in written if isinstance(one, Mapping)))


def _way(job: Job) -> str:
    way = job.manifest.config.get("way")
    return str(way.get("name") if isinstance(way, Mapping) else way or SHOWN_THE_ANSWER[0])
