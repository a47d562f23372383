"""A finished pipeline run, written file by file as the stages write it, with students of a known accuracy."""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from teacherlm.stages.report import STAGE, ReportConfig
from teacherlm.store.files import read_json, read_jsonl, write_json, write_jsonl
from teacherlm.store.manifest import Manifest, write_manifest

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>"
SIX = {"text": 0.42, "cot_tail": 0.5, "error_tail": 0.45, "fundamental_tail": 0.47, "all": 0.55, "cot_head": 0.71}
"""Students that differ in the kind of text they were trained on, for an ablation."""


def make(outputs: list[Path], to: Path, **settings: Any) -> dict[str, Any]:
    """What `report.json` holds of a report over them."""
    STAGE.run(ReportConfig(input=outputs, output=to, **settings))
    found: dict[str, Any] = read_json(to / "report.json")
    return found


def rewrite(path: Path, change: Any) -> None:
    """Each row of a file as `change` makes it; None leaves it out."""
    write_jsonl(path, [new for _, row in read_jsonl(path) if (new := change(row)) is not None])


@dataclass(frozen=True)
class Run:
    """What to pretend was done."""

    root: Path
    accuracy: dict[str, float] = field(default_factory=lambda: {"text": 0.22, "cot_tail": 0.31, "cot_head": 0.93})
    seeds: tuple[int, ...] = (0, 1)
    questions: int = 500
    tasks: tuple[str, ...] = ("word_problems",)
    students: tuple[str, ...] = ("tiny",)
    held_out: bool = True
    lettered: bool = False
    last_only: bool = False
    """Only the last checkpoint was evaluated."""
    subsamples: tuple[str, ...] = ()
    """Parts of the rows that students were trained on; fewer rows make them worse."""

    def write(self) -> list[Path]:
        """Returns the `evaluate` outputs, an untrained one first."""
        self._manifest("prepare", {}, [], {"rows": 800}, seconds=1.3)
        self._manifest("enhance", {}, ["prepare"], {"in": 800, "out": 796, "dropped": 4}, seconds=48.2)
        self._write_postprocess()
        outputs = [self._write_untrained()]
        for student in self.students:
            for trained_on in self.accuracy:
                for part in self.subsamples or ("",):
                    outputs += [self._write_student(student, trained_on, seed, part) for seed in self.seeds]
        return outputs

    def _write_postprocess(self) -> None:
        funnel = {"questions in": 796, "agreement": {"right": 741, "wrong": 43, "unparsed": 12}, "kept": 753}
        self._manifest("postprocess", {}, ["enhance"], {"in": 796, "out": 753, "dropped": 43}, {"funnel": funnel}, 2.1)
        question, rationale = "Q: Tom has 3 apples and buys 4. How many has he? A:", f"3 + 4 = 7. {ATTACK}"
        rejected = {"id": "r1", "prompt": question, "cot": "3 + 4 = 8. The answer is 8.", "reason": "agreement: said 8, gold 7"}
        write_jsonl(self.root / "postprocess" / "rejected.jsonl", [rejected])
        from datasets import Dataset

        row = {
            "id": f"{self.tasks[0]}_3",
            "prompt": question,
            "text": f"{question} The answer is 7.",
            "cot": rationale,
            "cot_verdict": "right",
        }
        row |= {"cot_tail": f"{row['text']} {rationale}", "cot_head": f"{question} {rationale} The answer is 7."}
        Dataset.from_list([row, {**row, "id": "other"}]).save_to_disk(str(self.root / "postprocess"))

    def _write_student(self, label: str, trained_on: str, seed: int, subsample: str) -> Path:
        name = "-".join(filter(None, (label, trained_on, subsample.rstrip("%"), str(seed))))
        entry = {"student": label, "train_on": trained_on, "seed": str(seed), **({"subsample": subsample} if subsample else {})}
        part = float(subsample.rstrip("%") or 100) / 100
        config = {"input": str(self.root / "postprocess"), "train_on": trained_on, "seed": seed, "model": "base/model"}
        config["subsample"] = subsample or "all"
        self._manifest(
            f"finetune/{name}", entry, ["postprocess"], {"trained": round(753 * part)}, seconds=31.7 * part + seed, config=config
        )
        longer = 3 if trained_on == "text" else 4
        luck = random.Random(seed)
        rows = [
            {"step": step, "epoch": step / 100, "loss": 3 * 0.985**step + 0.02 * luck.random(), "tokens": step * 420 * longer}
            for step in range(8, 601, 8)
        ]
        write_jsonl(self.root / "finetune" / name / "metrics.jsonl", rows)
        for step in (200, 400, 600):
            facts: dict[str, Any] = {"template": "teacherlm", "train_on": trained_on, "seed": seed, "trained_tokens": step * 420 * longer}
            facts |= {"held_out_loss": {200: 0.9, 400: 0.3, 600: 0.5}[step]} if self.held_out else {}
            seal = {"step": step, "epoch": step / 100, "facts": facts, "files": {}}
            write_json(self.root / "finetune" / name / f"checkpoint-{step}" / "complete.json", seal)
        steps = {600: 1.0} if self.last_only else {200: 0.35, 400: 0.8, 600: 1.0}
        values = {f"checkpoint-{step}": (step, self.accuracy[trained_on] * share * part**0.3) for step, share in steps.items()}
        return self._write_evaluation(f"evaluate/{name}", entry, f"finetune/{name}", values, trained_on, seed)

    def _write_untrained(self) -> Path:
        self_input = {"input": "base/model"}
        return self._write_evaluation("untrained/base", {"input": "base/model"}, None, {"model": (0, 0.04)}, "untrained", 99, self_input)

    def _write_evaluation(
        self,
        place: str,
        entry: dict[str, str],
        source: str | None,
        accuracy: dict[str, tuple[int, float]],
        trained_on: str,
        seed: int,
        config: dict[str, Any] | None = None,
    ) -> Path:
        folder, results = self.root / place, []
        for checkpoint, (step, share) in accuracy.items():
            for task in self.tasks:
                file = f"measured/{checkpoint}-{task}/predictions.jsonl"
                rows = [self._prediction(task, i, trained_on, seed, share) for i in range(self.questions)]
                write_jsonl(folder / file, rows)
                value = sum(row["correct"]["acc"] for row in rows) / len(rows)
                row = {"checkpoint": checkpoint, "step": step, "epoch": step / 100, "task": task, "metric": "acc", "value": value}
                row |= {"stderr": (value * (1 - value) / len(rows)) ** 0.5, "n": len(rows), "shots": 0, "template": "teacherlm"}
                row |= {"tokens": sum(one["tokens"] for one in rows), "seconds": 2.5 + seed}
                results.append({**row, "task_hash": f"{task}-hash", "predictions": file})
        write_jsonl(folder / "results.jsonl", results)
        config = config or {"input": str(self.root / str(source))}
        self._manifest(place, entry, [source] if source else [], {"items": len(results)}, seconds=9.4, config=config)
        return folder

    def _prediction(self, task: str, i: int, trained_on: str, seed: int, share: float) -> dict[str, Any]:
        hard = random.Random(f"{task}{i}").random()  # how hard the question is, for every student alike
        luck = random.Random(f"{task}{i}{trained_on}{seed}")
        right = (hard if luck.random() < 0.7 else luck.random()) < share
        have, more = 12 + i % 83, 3 + i % 9
        gold, other = ("AB"[i % 5 > 1], "BA"[i % 5 > 1]) if self.lettered else (str(have + more), str(have + more + 1 + i % 3))
        said = gold if right else other
        name, thing = ("Mia", "Tom", "Ada", "Noor")[i % 4], ("marbles", "stamps", "shells", "books", "coins")[i % 5]
        story = f"Let's think step by step. {name} starts with {have} {thing} and gets {more} more.\n{have} + {more} = {said}. {ATTACK} "
        output = f"{story if 'cot' in trained_on else ''}The answer is {said}."
        prompt = f"Q: {name} has {have} {thing} & wins {more} more <b>today</b>. How many {thing} has {name} then? A:"
        row = {"item": f"{task}_{i}", "doc_id": i, "prompt": prompt, "gold": gold, "answer": said if i % 11 else None, "output": output}
        choices = {"choices": ["A", "B"]} if self.lettered else {}
        return {**row, "correct": {"acc": int(right)}, "tokens": len(output.split()), **choices}

    def _manifest(
        self,
        place: str,
        entry: dict[str, str],
        inputs: list[str],
        counts: dict[str, int],
        facts: dict[str, Any] | None = None,
        seconds: float = 1.0,
        config: dict[str, Any] | None = None,
    ) -> None:
        stage = place.split("/")[0].replace("untrained", "evaluate")
        manifest = Manifest(
            stage=stage,
            version=1,
            fingerprint=f"print of {place}",
            config=config or {},
            inputs={str(self.root / name): f"print of {name}" for name in inputs},
            entry=entry,
            counts=counts,
            facts=facts or {},
            started=f"2025-01-01T00:0{['prepare', 'enhance', 'postprocess', 'finetune', 'evaluate'].index(stage)}:00+00:00",
            seconds=seconds,
            host="laptop",
            versions={"python": "3.11.7", "torch": "2.13.0", "transformers": "5.23.0"},
            git_commit="0123abc",
            command="teacherlm run pipelines/quickstart.yaml --set seed=1",
        )
        write_manifest(self.root / place, manifest)
