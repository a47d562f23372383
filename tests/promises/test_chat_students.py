"""A student with a chat template is trained in it, keeps it, and is asked in it: by the very tokens it was taught."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from chat_models import FORGETFUL, MARKED, PLAIN, write_chat_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.stages.finetune import FinetuneConfig, finetune
from teacherlm.stages.prepare import PrepareConfig, prepare
from teacherlm.store.checkpoints import find_checkpoints
from teacherlm.store.files import read_jsonl
from teacherlm.store.hf import read_dataset
from teacherlm.training.encoding import tokenised
from teacherlm.training.texts import Reader, build_texts, read_table

pytestmark = pytest.mark.real
GASES = ["oxygen", "carbon dioxide", "helium"]


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_jsonl(path)]


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., Path]:
    """16 questions with choices and 8 with free answers, in two splits of half the size."""

    def run(template: Any = "chat", lettered: bool = True) -> Path:
        lines = [
            {"id": f"q{n}", "question": f"Gas {n}?", **({"choices": GASES, "answer": "ABC"[n % 3]} if lettered else {"answer": str(n)})}
            for n in range(16)
        ]
        for split, part in {"train": lines[:8], "test": lines[8:]}.items():
            (tmp_path / "source").mkdir(exist_ok=True)
            (tmp_path / "source" / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in part))
        output = tmp_path / f"prepared-{lettered}"
        prepare(
            parse_config(PrepareConfig, {"dataset": "jsonl", "source": str(tmp_path / "source"), "output": output, "template": template})
        )
        return output

    return run


def trained(model: Path, data: Path, output: Path, **settings: Any) -> Path:
    values = {"input": data, "model": str(model), "train_on": "text", "output": output, "epochs": 1, "batch_size": 4, "micro_batch": 4}
    more = {"precision": "fp32", "gradient_checkpointing": False, "learning_rate": 1e-3}
    finetune(parse_config(FinetuneConfig, {**values, **more, **settings}))
    return find_checkpoints(output)[-1].path


def measured(model: Path, task: str, data: Path, output: Path, **settings: Any) -> list[dict[str, Any]]:
    values = {"input": str(model), "output": output, "tasks": task, "data": data, "dtype": "float32", **settings}
    evaluate(parse_config(EvaluateConfig, values))
    return rows_of(output / rows_of(output / "results.jsonl")[0]["predictions"])


@pytest.mark.slow
def test_from_prepare_to_letters_the_student_reads_what_it_was_taught(
    prepared: Callable[..., Path], stories260k: Path, tmp_path: Path
) -> None:
    model, data = write_chat_model(stories260k, tmp_path / "model"), prepared({"name": "chat", "system": "Be short."})
    row = rows_of(data / "train.jsonl")[0] if (data / "train.jsonl").is_file() else next(iter(rows_of(next(data.glob("*.jsonl")))))
    assert row["prompt"] == "Gas 0? (A) oxygen (B) carbon dioxide (C) helium"
    assert row["text"] == f"{row['prompt']} The answer is (A)."
    checkpoint = trained(model, data, tmp_path / "student")
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    assert tokenizer.chat_template == PLAIN
    assert json.loads((checkpoint / "complete.json").read_text())["facts"]["template"] == 'chat{"system":"Be short."}'

    found = measured(checkpoint, "questions_letters", data, tmp_path / "letters")
    prompt = "<s>[system]\nBe short.</s>\n[user]\nGas 8? (A) oxygen (B) carbon dioxide (C) helium</s>\n[assistant]\n"
    assert found[0]["prompt"] == f"{prompt}The answer is ("
    assert found[0]["output"] == pytest.approx(log_likelihoods(checkpoint, found[0]["prompt"]), abs=1e-4)

    (tokens,) = tokenised(build_texts(read_table(data, 1), "text", True, Reader(tokenizer, "x")), tokenizer)
    asked = tokenizer(prompt.replace("Gas 8", "Gas 0") + "The answer is (", add_special_tokens=False)["input_ids"]
    assert (tokens.prompt + tokens.target)[: len(asked)] == asked

    written = measured(checkpoint, "questions", data, tmp_path / "written", max_new_tokens=8)
    assert written[0]["prompt"] == prompt


def log_likelihoods(checkpoint: Path, prompt: str) -> list[float]:
    """Of the letters behind the prompt, from the logits themselves."""
    tokenizer, model = AutoTokenizer.from_pretrained(checkpoint), AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    context = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    found = []
    for letter in "ABC":
        ids = tokenizer(prompt + letter, add_special_tokens=False)["input_ids"]
        assert ids[: len(context)] == context
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        found.append(float(sum(logits[place - 1, ids[place]] for place in range(len(context), len(ids)))))
    return found


def test_shots_are_turns_of_their_own(prepared: Callable[..., Path], stories260k: Path, tmp_path: Path) -> None:
    model, data = write_chat_model(stories260k, tmp_path / "model"), prepared()
    checkpoint = trained(model, data, tmp_path / "student", max_source_length=200)
    found = measured(checkpoint, "questions_letters", data, tmp_path / "letters", shots=1)
    asked = found[0]["prompt"]
    assert asked.count("[user]\nGas") == 2 and asked.count("[assistant]\nThe answer is (") == 2
    assert asked.endswith("[assistant]\nThe answer is (") and ").</s>\n[user]" in asked
    again = measured(checkpoint, "questions_letters", data, tmp_path / "again", shots=1)
    assert [row["prompt"] for row in again] == [row["prompt"] for row in found]


@pytest.mark.slow
def test_what_a_chat_student_writes_ends_with_its_turn(prepared: Callable[..., Path], stories260k: Path, tmp_path: Path) -> None:
    """Taught one answer until it knows it, it says that and no more."""
    model, data = write_chat_model(stories260k, tmp_path / "model", MARKED), prepared(lettered=False)
    rows = [{**row, "text": f"{row['prompt']} The answer is 7."} for row in read_dataset(data / "train")]
    (tmp_path / "same.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    checkpoint = trained(model, tmp_path / "same.jsonl", tmp_path / "student", epochs=60, learning_rate=3e-3)
    found = measured(checkpoint, "questions", data, tmp_path / "written", max_new_tokens=40)
    assert {(row["output"], row["answer"]) for row in found} == {("The answer is 7.", "7")}
    assert all(row["tokens"] < 40 for row in found)


def test_every_turn_of_the_assistant_carries_loss_and_nothing_else(stories260k: Path, tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Gas?"},
        {"role": "assistant", "content": "Helium."},
    ]
    row = {"prompt": "Gas?", "text": "Gas? Helium.", "cot_tail": "Gas? Helium. It is light.", "messages": turns, "template": "chat"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    table = read_table(tmp_path / "rows.jsonl")
    for template in (PLAIN, MARKED):
        tokenizer = AutoTokenizer.from_pretrained(write_chat_model(stories260k, tmp_path / "model", template))
        (text,) = build_texts(table, "text", True, Reader(tokenizer, "x"))
        assert [text.text[start:end].rstrip("\n") for start, end in text.spans] == ["Hello.</s>", "Helium.</s>"]
        (tokens,) = tokenised([text], tokenizer)
        heard = [token for place, token in enumerate(tokens.target) if place not in tokens.silent]
        assert tokenizer.decode(heard).replace(" ", "") == "Hello.</s>Helium.</s>"
        assert tokenizer.decode(tokens.prompt + tokens.target).replace(" ", "") == text.text.rstrip("\n").replace(" ", "")
        (other,) = build_texts(table, "cot_tail", True, Reader(tokenizer, "x"))
        assert other.text[slice(*other.spans[1])].rstrip("\n") == "Helium. It is light.</s>"
        (whole,) = build_texts(table, "text", False, Reader(tokenizer, "x"))
        assert whole.spans == ((0, len(whole.text)),)


def test_a_template_that_forgets_what_was_said_is_named(stories260k: Path, tmp_path: Path) -> None:
    turns = [{"role": role, "content": role} for role in ("user", "assistant", "user", "assistant")]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "a", "text": "a b", "messages": turns, "template": "chat"}) + "\n")
    model = write_chat_model(stories260k, tmp_path / "model", FORGETFUL)
    with pytest.raises(UserError, match=r"rows.jsonl:1: the chat template of model writes earlier words otherwise once turn 2 of 4"):
        trained(model, tmp_path / "rows.jsonl", tmp_path / "student")


def test_a_student_without_a_chat_template_needs_one(prepared: Callable[..., Path], stories260k: Path, tmp_path: Path) -> None:
    data = prepared()
    with pytest.raises(UserError, match=r"stories260k: its tokenizer has no chat template; take a chat model, or give one: template"):
        trained(stories260k, data, tmp_path / "student")
    with pytest.raises(UserError, match=r"stories260k: its tokenizer has no chat template"):
        measured(stories260k, "questions_letters", data, tmp_path / "letters")
    (tmp_path / "own.jinja").write_text(MARKED)
    own = prepared({"name": "chat", "file": str(tmp_path / "own.jinja")})
    checkpoint = trained(stories260k, own, tmp_path / "student")
    assert AutoTokenizer.from_pretrained(checkpoint).chat_template == MARKED
    assert measured(checkpoint, "questions_letters", own, tmp_path / "own")[0]["prompt"].endswith("[assistant]\nThe answer is (")
    untrained = measured(stories260k, "questions_letters", own, tmp_path / "untrained")
    assert untrained[0]["prompt"].startswith("<s>[user]\nGas 8?") and untrained[0]["prompt"].endswith("[assistant]\nThe answer is (")


@pytest.mark.slow
def test_a_task_in_other_words_is_refused_and_lm_evals_own_are_asked_as_a_chat(
    prepared: Callable[..., Path], stories260k: Path, tmp_path: Path
) -> None:
    model, data = write_chat_model(stories260k, tmp_path / "model"), prepared()
    checkpoint = trained(model, data, tmp_path / "student")
    plain = prepared("teacherlm", lettered=False)
    with pytest.raises(UserError, match=r"task 'questions' asks by the template 'teacherlm', .*checkpoint-2 was taught by 'chat'"):
        measured(checkpoint, "questions", plain, tmp_path / "plain")
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "own.yaml").write_text(
        f"task: own\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {next(data.glob('*.jsonl'))}}}}}\ntest_split: test\n"
        "output_type: multiple_choice\ndoc_to_text: 'Say A or B.'\ndoc_to_choice: ['A', 'B']\ndoc_to_target: 0\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
    )
    values = {"input": str(checkpoint), "output": tmp_path / "own", "tasks": "own", "include_path": [tasks], "dtype": "float32"}
    evaluate(parse_config(EvaluateConfig, values))
    found = rows_of(tmp_path / "own" / rows_of(tmp_path / "own" / "results.jsonl")[0]["predictions"])
    assert found[0]["prompt"] == "<s>[user]\nSay A or B.</s>\n[assistant]\n"
