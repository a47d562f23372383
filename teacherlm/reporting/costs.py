"""What it took: of each student the training and the answers, of each teacher its rationales."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from teacherlm.reporting import history
from teacherlm.reporting.groups import Measurement
from teacherlm.reporting.history import Job


def cost_of(
    members: Sequence[Measurement], jobs: Mapping[str, Job], score: float, shared: Mapping[str, history.Training | None]
) -> dict[str, Any]:
    """Means over the seeds of one student on one task; None where nobody noted it.

    `score_per_hour` is the score over the hours of training, `score_per_1k_tokens` over thousands of tokens written for an answer.
    """
    costs = [history.cost(m.result.student, m.result.checkpoint, m.result.step, shared.get(m.result.student.run)) for m in members]
    runs = [jobs[m.result.student.run].manifest.seconds for m in members if m.result.student.run in jobs]
    written = [count for m in members for count in m.answers.tokens if count is not None]
    tokens, hours = _mean(written), (_mean(runs) or 0.0) / 3600
    return {
        "answer_tokens": tokens,
        "answer_seconds": _mean([m.result.seconds for m in members]),
        "trained_tokens": _mean([one["trained_tokens"] for one in costs]),
        "train_loss": _mean([one["train_loss"] for one in costs]),
        "train_seconds": _mean(runs),
        "score_per_hour": score / hours if hours else None,
        "score_per_1k_tokens": score / (tokens / 1000) if tokens else None,
    }


def teacher_costs(jobs: Iterable[Job]) -> list[dict[str, Any]]:
    """One row per `enhance` job: rows written, tokens, seconds."""
    rows = []
    for job in jobs:
        if job.manifest.stage == "enhance":
            facts, counts = job.manifest.facts, job.manifest.counts
            tokens = facts.get("tokens") or facts.get("tokens_asked")
            engine = str(facts.get("engine") or "")
            rows.append(
                {
                    "job": job.name,
                    "engine": engine,
                    "rows": counts.get("rows", counts.get("out")),
                    "tokens": tokens,
                    "seconds": job.manifest.seconds,
                }
            )
    return rows


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
