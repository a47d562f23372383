"""Encoder-decoders are asked as they were taught: the prompt in the encoder, what leads to a letter in the decoder."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, DatasetDict
from tokenizers import processors

from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.evaluation.beginnings import beginning
from teacherlm.evaluation.harness import EngineLM, ask
from teacherlm.evaluation.loading import LoadedTask, TaskOptions, load_tasks
from teacherlm.parsing import parse_config
from teacherlm.prompts import template
from teacherlm.records import Load, Question, Request, Sampling
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.store.checkpoints import seal_checkpoint
from teacherlm.store.files import read_jsonl
from teacherlm.training.scratch import build_model, build_tokenizer
from teacherlm.training.settings import Scratch

CHOICES = ("cat", "dog", "cow")
ROWS = [
    {
        "id": f"q{n}",
        "prompt": template("teacherlm").prompt(Question(f"Which is number {n}?", "A", CHOICES)),
        "choices": list(CHOICES),
        "answer": "ABC"[n % 3],
        "answer_rule": "letter",
        "template": "teacherlm",
    }
    for n in range(5)
]
TEXTS = [row["prompt"] + f" The answer is ({row['answer']})." for row in ROWS]
T5 = Scratch(architecture="t5", hidden_size=16, layers=1, heads=2, context=64)


def student(framed: bool = False) -> TransformersEngine:
    """A random tiny T5 in fp64; `framed`: its tokenizer begins every text with a special token, as BART's does."""
    tokenizer = build_tokenizer(T5, TEXTS)
    if framed:
        around = [("<unk>", 2), ("<eos>", 1)]
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="<unk> $A <eos>", special_tokens=around)
    torch.manual_seed(0)
    return TransformersEngine(build_model(T5, tokenizer).double().eval(), tokenizer, "t5", Load(rows=3))


def letters(folder: Path, **options: Any) -> LoadedTask:
    DatasetDict({"test": Dataset.from_list(ROWS), "train": Dataset.from_list(ROWS[:2])}).save_to_disk(folder)
    (task,) = load_tasks(["questions_letters"], [], TaskOptions(data=folder, **options))
    return task


def directly(engine: TransformersEngine, read: str, written: list[int]) -> float:
    """Log-likelihood of the tokens from the model's own forward."""
    ids = torch.tensor([engine.tokenizer(read)["input_ids"]])
    given = torch.tensor([[0, *written[:-1]]])
    scores = engine.model(input_ids=ids, decoder_input_ids=given).logits[0].log_softmax(-1)
    return float(sum(scores[at, token] for at, token in enumerate(written)).detach())


@pytest.mark.parametrize("framed", [False, True])
def test_a_letters_log_likelihood_is_that_of_the_answer_as_taught(tmp_path: Path, framed: bool) -> None:
    engine, task = student(framed), letters(tmp_path / "data")
    answers = ask(EngineLM(engine, batch_size=4), task)
    assert len(answers) == 15
    for (answer,), instance in zip(answers, task.task.instances, strict=True):
        context, letter = instance.args
        assert context.endswith(" A: The answer is (") and answer.begun == " The answer is ("
        begun = engine.tokenizer(f" The answer is ({letter}", add_special_tokens=False)["input_ids"]
        expected = directly(engine, context.removesuffix(" The answer is ("), [2, *begun] if framed else begun)
        assert answer.value[0] == pytest.approx(expected, abs=1e-5)  # lm-eval's own softmax is in fp32


def test_shots_stay_in_the_encoder_and_only_the_last_beginning_moves(tmp_path: Path) -> None:
    engine, task = student(), letters(tmp_path / "data", shots=1)
    context, letter = task.task.instances[0].args
    assert context.count(" The answer is (") == 2
    (first,) = ask(EngineLM(engine, batch_size=4), task)[0]
    begun = engine.tokenizer(f" The answer is ({letter}", add_special_tokens=False)["input_ids"]
    assert first.value[0] == pytest.approx(directly(engine, context.removesuffix(" The answer is ("), begun), abs=1e-5)


def test_a_task_without_a_template_of_ours_keeps_its_words(tmp_path: Path) -> None:
    task = letters(tmp_path / "data")
    foreign = LoadedTask("x", task.task, 0, (), "x")
    assert beginning(foreign, {}, "Q: is it? A: The answer is (") == ""
    assert beginning(foreign, {"template": "teacherlm"}, "Q: is it? A: The answer is (") == " The answer is ("
    assert beginning(foreign, {"template": "teacherlm"}, "Q: is it? A:") == ""


def test_a_context_longer_than_a_t5_was_trained_on_is_read_whole(tmp_path: Path) -> None:
    engine = student()
    engine.model.config.n_positions = 8
    lm = EngineLM(engine, batch_size=4)
    assert lm.backend == "seq2seq" and lm.max_length > 10**6


def test_evaluate_notes_where_the_answer_began_and_writes_the_predicted_examples(tmp_path: Path) -> None:
    task_data, run, output = tmp_path / "data", tmp_path / "run", tmp_path / "scores"
    letters(task_data)
    folder = run / "checkpoint-3"
    engine = student()
    engine.model.float().save_pretrained(folder)
    engine.tokenizer.save_pretrained(folder)
    seal_checkpoint(folder, 3, 1.0, {"template": "teacherlm", "train_on": "text"})
    given = {"input": str(run), "output": output, "tasks": "questions_letters,questions", "data": task_data, "max_new_tokens": 4}
    evaluate(parse_config(EvaluateConfig, given))
    rows = [row for _, row in read_jsonl(output / "results.jsonl")]
    by_task = {row["task"]: row for row in rows}
    assert by_task["questions_letters"]["begun"] == " The answer is (" and "begun" not in by_task["questions"]
    predictions = [row for _, row in read_jsonl(output / by_task["questions_letters"]["predictions"])]
    assert all(row["begun"] == " The answer is (" for row in predictions)
    assert not (output / by_task["questions_letters"]["predictions"]).with_name("predicted_examples.jsonl").exists()
    written = output / by_task["questions"]["predictions"]
    examples = [row for _, row in read_jsonl(written.with_name("predicted_examples.jsonl"))]
    assert [row["prediction"] for row in examples] == [row["output"] for _, row in read_jsonl(written)]
    assert [{key: row[key] for key in ROWS[0]} for row in examples] == ROWS


SAMPLED = Sampling(temperature=1.0, top_p=0.9)


def told(engine: TransformersEngine, sampling: Sampling, tokens: int = 8) -> dict[str, tuple[str, str, int]]:
    asked = [(f"{n:032x}", Request(row["prompt"], tokens, sampling)) for n, row in enumerate(ROWS)]
    return {one.key: (one.text, one.finish, one.tokens) for one in engine.complete(asked)}


def test_what_a_seeded_encoder_decoder_writes_does_not_depend_on_its_batch() -> None:
    one, three = student(), student()
    one.room.rows = 1
    sampled = told(three, SAMPLED)
    assert told(one, SAMPLED) == sampled and len(sampled) == 5
    assert len({text for text, _, _ in sampled.values()}) > 1
    assert all(tokens <= 8 for _, _, tokens in sampled.values())


def test_a_stop_string_ends_what_an_encoder_decoder_writes() -> None:
    engine = student()
    for key, (text, _, _) in told(engine, SAMPLED).items():
        stop = text[len(text) // 2 :][:2]
        cut, finish, _ = told(engine, Sampling(temperature=1.0, top_p=0.9, stop=(stop,)))[key]
        assert text and cut == text[: text.find(stop)] and finish == "stop"
