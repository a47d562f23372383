"""What is looked at while a student trains: on the model in memory, without the training noticing."""

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict
from trainings import finish

from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.stages.finetune import FinetuneConfig, finetune
from teacherlm.store.checkpoints import find_checkpoints
from teacherlm.training.watched import is_due, parse_often

TINY = {"hidden_size": 16, "layers": 1, "heads": 2, "context": 64}


def row(i: int) -> dict[str, Any]:
    prompt = f"Q: {i} plus 1? A:"
    return {
        "id": f"q{i}",
        "prompt": prompt,
        "text": f"{prompt} The answer is {i + 1}.",
        "choices": [],
        "answer": str(i + 1),
        "answer_rule": "number",
        "template": "teacherlm",
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [row(i) for i in range(32)]
    DatasetDict({"train": Dataset.from_list(rows[:24]), "validation": Dataset.from_list(rows[24:])}).save_to_disk(tmp_path / "data")
    return tmp_path / "data"


def train(data: Path, name: str = "student", **given: Any) -> Path:
    usual = {"train_on": "text", "epochs": 3, "batch_size": 8, "learning_rate": 3e-3, "seed": 1}
    student = {} if "model" in given else {"scratch": TINY}
    finetune(parse_config(FinetuneConfig, {"input": data, "output": data.parent / name, **usual, **student, **given}))
    return data.parent / name


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def asked(data: Path, **given: Any) -> dict[str, Any]:
    return {"tasks": {"questions": 1}, "data": data, "split": "validation", "max_new_tokens": 6, **given}


def weights(run: Path) -> bytes:
    return (find_checkpoints(run)[-1].path / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_looking_changes_no_weight_and_no_loss(data: Path) -> None:
    # Dropout would show a random number that is drawn while looking.
    scratch = {**TINY, "architecture": "gpt2"}
    plain = train(data, "plain", scratch=scratch, held_out=0.2)
    samples = {"every": "1 steps", "n": 2, "max_new_tokens": 4, "limit": 2}
    looked = train(data, "looked", scratch=scratch, held_out=0.2, eval=asked(data, every="2 steps"), samples=samples)
    assert weights(plain) == weights(looked)
    losses = {row["step"]: row["grad_norm"] for row in metrics(looked)}
    assert all(losses[row["step"]] == row["grad_norm"] for row in metrics(plain))


def test_tasks_are_measured_in_time_and_at_every_checkpoint(data: Path) -> None:
    run = train(data, eval=asked(data, every="2 steps"), logging_steps=100)
    rows = metrics(run)
    assert [row["step"] for row in rows] == [2, 3, 4, 6, 8, 9]
    assert all({"loss", "eval/questions/acc", "eval/questions/parsed", "tokens_per_second", "memory"} <= set(row) for row in rows)
    facts = {c.step: c.facts["eval/questions/acc"] for c in find_checkpoints(run)}
    assert facts == {row["step"]: row["eval/questions/acc"] for row in rows if row["step"] % 3 == 0}


def test_what_is_measured_in_memory_is_what_evaluate_measures(data: Path) -> None:
    run = train(data, eval=asked(data), epochs=30, learning_rate=1e-2, save_strategy="no")
    facts = find_checkpoints(run)[-1].facts
    settings = {"tasks": ["questions"], "shots": 1, "data": data, "split": "validation", "max_new_tokens": 6}
    outcome = evaluate(parse_config(EvaluateConfig, {"input": str(run), "output": data.parent / "scores", **settings}))
    assert facts["eval/questions/acc"] == outcome.metrics["checkpoint-90.questions.acc"]
    assert facts["eval/questions/parsed"] == outcome.metrics["checkpoint-90.questions.parsed"] > 0


def test_samples_have_the_original_names_and_keys(data: Path) -> None:
    run = train(data, samples={"every": "4 steps", "n": 3, "max_new_tokens": 5})
    assert sorted(p.name for p in (run / "samples").iterdir()) == [f"temperature=0.80_n=3_step={step}.json" for step in (0, 4, 8)]
    found = json.loads((run / "samples" / "temperature=0.80_n=3_step=8.json").read_text())
    assert [one["prompt"] for one in found] == [row(i)["prompt"] for i in range(24, 32)]
    assert [one["orig_d"] for one in found] == [row(i) for i in range(24, 32)]
    assert found[0]["demonstration"] == " The answer is 25."
    assert all(len(one["generations"]) == 3 for one in found)
    assert all(set(text) == {"lm_postprocess", "scores", "full_generated"} for one in found for text in one["generations"])
    assert len({text["full_generated"] for text in found[0]["generations"]}) > 1


@pytest.mark.slow
def test_at_temperature_0_texts_are_the_likeliest_ones_and_the_same_in_another_run(data: Path) -> None:
    runs = [train(data, name, samples={"temperature": 0, "n": 2, "max_new_tokens": 5}, held_out=0.2, epochs=1) for name in "ab"]
    one, two = (json.loads((run / "samples" / "temperature=0.00_n=2_step=3.json").read_text()) for run in runs)
    assert one == two and len(one) == 5
    assert all(len({text["full_generated"] for text in row["generations"]}) == 1 for row in one)


def test_rows_with_the_same_prompt_have_samples_of_their_own(data: Path, tmp_path: Path) -> None:
    twice = [row(3), row(3)]
    both = {"train": Dataset.from_list([row(i) for i in range(16)]), "validation": Dataset.from_list(twice)}
    DatasetDict(both).save_to_disk(tmp_path / "twice")
    run = train(tmp_path / "twice", samples={"n": 8, "max_new_tokens": 5}, epochs=1)
    found = json.loads((run / "samples" / "temperature=0.80_n=8_step=2.json").read_text())
    one, two = ([text["full_generated"] for text in one["generations"]] for one in found)
    assert one != two


def test_a_regression_is_sampled_with_the_logits_of_its_words(data: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"the text is {'long ' * i}", "target": i / 8} for i in range(9)]
    path = tmp_path / "scores.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"objective": "regression", "train_on": "target", "held_out": 0.3, "samples": {"n": 1, "max_new_tokens": 2}, "epochs": 1}
    run = train(path, **settings)
    found = json.loads((run / "samples" / "temperature=0.80_n=1_step=1.json").read_text())
    assert all(len(one["generations"][0]["scores"]) == 2 for one in found)


def test_the_best_checkpoint_is_marked(data: Path) -> None:
    run = train(data, held_out=0.2, best="held_out_loss")
    losses = {c.path.name: c.facts["held_out_loss"] for c in find_checkpoints(run)}
    name = min(losses, key=lambda one: losses[one])
    assert json.loads((run / "best.json").read_text()) == {"checkpoint": name, "metric": "held_out_loss", "value": losses[name]}


def test_a_training_in_which_nothing_gets_better_ends_and_is_finished(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"eval": asked(data, every="1 steps"), "best": "questions/acc", "patience": 2, "epochs": 30, "learning_rate": 1e-9}
    run = train(data, **given)
    last = find_checkpoints(run)[-1]
    assert last.step == 3 and last.facts["stopped_early"] and last.facts["of_steps"] == 3
    assert "no better eval/questions/acc than 0 for 2 measurements" in capsys.readouterr().err
    before = (run / "metrics.jsonl").read_bytes()
    train(data, **given)
    assert (run / "metrics.jsonl").read_bytes() == before


def test_without_training_the_model_is_measured_as_it_is(data: Path) -> None:
    run = train(data, held_out=0.2)
    files = {path: path.read_bytes() for path in sorted(find_checkpoints(run)[-1].path.iterdir())}
    only = train(data, "only", model=str(run), held_out=0.2, no_train=True, eval=asked(data), samples={"n": 1, "max_new_tokens": 3})
    [told] = metrics(only)
    assert told["held_out_loss"] == pytest.approx(find_checkpoints(run)[-1].facts["held_out_loss"], abs=1e-6)
    assert told["step"] == 0 and "eval/questions/acc" in told
    assert sorted(p.name for p in only.iterdir()) == ["metrics.jsonl", "samples"]
    assert {path: path.read_bytes() for path in sorted(find_checkpoints(run)[-1].path.iterdir())} == files


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"patience": 2}, "patience: of which measurement"),
        ({"best": "held_out_loss"}, "best: held_out_loss is not measured"),
        ({"best": "questions/accuracy", "eval": {"tasks": {"questions": 0}}}, "Did you mean 'questions/acc'"),
        ({"no_train": True}, "there is nothing to measure"),
        ({"samples": {"rows": "held_out"}}, "set held_out, such as 0.1"),
        ({"eval": {"tasks": {"quetsions": 0}}}, "No task named 'quetsions'"),
        ({"eval": {"tasks": ["questions"], "shots": [1, 2]}}, "1 tasks, but 2 numbers of shots"),
        ({"eval": {"tasks": {"questions": 0}, "every": "often"}}, "expected a number of steps or epochs"),
        ({"eval": {"tasks": {"questions": 0}}, "ds_config": "zero3"}, "under ZeRO-3 no process holds the whole student"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_before_training(data: Path, given: dict[str, Any], message: str) -> None:
    if "tasks" in given.get("eval", {}):
        given = {**given, "eval": {"data": data, "split": "validation", **given["eval"]}}
    with pytest.raises(UserError) as refused:
        train(data, **given)
    assert message in str(refused.value)
    assert not list((data.parent / "student").glob("checkpoint-*"))


def test_an_input_without_another_split_has_nothing_to_sample_for(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row(i)) + "\n" for i in range(8)))
    with pytest.raises(UserError, match="has no split validation"):
        train(path, samples={})


def test_tasks_as_the_originals_named_them() -> None:
    given = {"tasks": "[arc,mmlu]", "shots": "[25,5]", "strategy": "steps", "every": "40"}
    settings = parse_config(FinetuneConfig, {"input": "x", "output": "y", "scratch": TINY, "eval": given}).eval
    assert settings is not None
    assert settings.tasks == {"ai2_arc": 25, "mmlu": 5} and settings.every == "40 steps"


@pytest.mark.parametrize(
    ("word", "means"), [("500 steps", "500 steps"), (500, "500 steps"), ("epoch", "1 epochs"), ("2 epochs", "2 epochs")]
)
def test_how_often(word: Any, means: str) -> None:
    assert parse_often(word) == means


def test_an_epoch_is_due_at_its_end_alone() -> None:
    assert [is_due("1 epochs", step, step / 3) for step in range(1, 7)] == [False, False, True, False, False, True]
    assert [is_due("2 epochs", step, step / 3) for step in range(1, 7)] == [False] * 5 + [True]


@pytest.mark.slow
def test_rows_whose_loss_is_no_number_are_named_and_the_last_good_checkpoint_stays(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from teacherlm.training.sft import Sft

    sums, calls = Sft.sums, []

    def sums_that_break(self: Sft, model: Any, batch: Any) -> Any:
        calls.append(1)
        found = sums(self, model, batch)
        return {"sft": found["sft"] * float("nan")} if len(calls) == 5 else found

    monkeypatch.setattr(Sft, "sums", sums_that_break)
    with pytest.raises(UserError) as stopped:
        train(data)
    message = str(stopped.value)
    assert "\n" not in message
    assert "at step 5" in message and "checkpoint-3 is the last good checkpoint" in message
    assert message.count(": row ") == 8
    run = data.parent / "student"
    assert [c.step for c in find_checkpoints(run)] == [3]
    monkeypatch.undo()
    train(data)
    assert weights(run) == weights(train(data, "unbroken"))


def test_a_prompt_that_fills_the_context_gets_no_sample_and_one_line_says_so(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(data, scratch={**TINY, "context": 12}, samples={"n": 1, "max_new_tokens": 4, "every": "3 steps"}, epochs=1)
    assert "nothing is written for 8 rows whose prompts fill" not in capsys.readouterr().err
    tight = train(data, "tight", scratch={**TINY, "context": 6}, samples={"n": 1, "every": "3 steps"}, epochs=1)
    assert "nothing is written for 8 rows whose prompts fill the student's context" in capsys.readouterr().err
    texts = [json.loads((one / "samples" / "temperature=0.80_n=1_step=3.json").read_text())[0]["generations"][0] for one in (run, tight)]
    assert texts[0]["full_generated"] and not texts[1]["full_generated"]


def test_wandb_is_told_the_plain_names(data: Path) -> None:
    run = train(data, eval=asked(data), report_to="wandb", epochs=1)
    [file] = run.glob("wandb/offline-run-*/*.wandb")
    assert b"questions/acc" in file.read_bytes() and b"train/questions/acc" not in file.read_bytes()


def test_evaluate_measures_the_best_checkpoint_alone_where_asked(data: Path) -> None:
    run = train(data, held_out=0.2, best="held_out_loss")
    settings = {"tasks": ["questions"], "data": data, "split": "validation", "limit": 2, "max_new_tokens": 2, "checkpoints": "best"}
    outcome = evaluate(parse_config(EvaluateConfig, {"input": str(run), "output": data.parent / "scores", **settings}))
    name = json.loads((run / "best.json").read_text())["checkpoint"]
    assert set(outcome.metrics) == {f"{name}.questions.acc", f"{name}.questions.parsed"}
    with pytest.raises(UserError, match=r"has no best.json; set `best` in finetune"):
        unmarked = train(data, "unmarked", epochs=1)
        evaluate(parse_config(EvaluateConfig, {"input": str(unmarked), "output": data.parent / "none", **settings}))


@pytest.mark.slow
def test_after_a_stop_patience_goes_on_counting(data: Path) -> None:
    """What was measured before the stop stands in metrics.jsonl; a stop's own checkpoint is not measured."""
    from teacherlm import interrupt
    from teacherlm.errors import Stopped
    from teacherlm.training import trainer

    given = {"held_out": 0.2, "best": "held_out_loss", "patience": 3, "eval": {"every": "2 steps"}, "epochs": 20, "learning_rate": 1.0}
    whole = train(data, "whole", **given)
    counted = trainer.StudentTrainer.totals

    def totals(self: Any, *words: Any) -> Any:
        if self.state.global_step == 4 and not (data.parent / "cut" / "checkpoint-5").exists():
            interrupt.ask_to_stop("SIGTERM")
        return counted(self, *words)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped, match="step 5"):
        patch.setattr(trainer.StudentTrainer, "totals", totals)
        train(data, "cut", **given)
    cut = train(data, "cut", **given)
    assert find_checkpoints(whole)[-1].facts["stopped_early"]
    measured = [[(row["step"], row.get("held_out_loss")) for row in metrics(run)] for run in (whole, cut)]
    assert measured[0] == measured[1]
    assert weights(whole) == weights(cut)


@pytest.mark.slow
def test_two_processes_measure_and_sample_what_one_does(data: Path) -> None:
    samples = {"every": "6 steps", "n": 2, "max_new_tokens": 3, "limit": 3, "rows": "held_out"}
    given = {"eval": {**asked(data, every="5 steps"), "data": str(data)}, "samples": samples, "best": "held_out_loss", "epochs": 3}
    one, two = data.parent / "one", data.parent / "two"
    finish(data, one, **given)
    said = finish(data, two, **given, processes=2)
    assert said.count("step 5: questions/acc") == 1, "only the first process looks"
    names = ("held_out_loss", "eval/questions/acc", "eval/questions/parsed")
    told = [[row[name] for row in metrics(run) for name in names if name in row] for run in (one, two)]
    assert told[0] and told[0] == pytest.approx(told[1], abs=2e-5)
    assert [p.name for p in sorted((one / "samples").iterdir())] == [p.name for p in sorted((two / "samples").iterdir())]
    assert json.loads((one / "best.json").read_text())["checkpoint"] == json.loads((two / "best.json").read_text())["checkpoint"]
