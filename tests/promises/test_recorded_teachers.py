"""Log-probabilities that `enhance` keeps: those of the teacher itself, laid beside the student's tokens, and learnt from without it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from teacherlm.engines.bodies import loading
from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.stages.enhance import EnhanceConfig, enhance
from teacherlm.stages.finetune import FinetuneConfig, finetune
from teacherlm.store.checkpoints import find_checkpoints
from teacherlm.training.divergence import TopK, summed_divergence, top_k
from teacherlm.training.encoding import encode
from teacherlm.training.families import IGNORE, Causal
from teacherlm.training.pretrained import read_tokenizer
from teacherlm.training.recorded import Recorded, build_recorded, laid_beside, lined_up
from teacherlm.training.sft import Sft
from teacherlm.training.teacher import Teacher, build_teacher
from teacherlm.training.texts import Table, build_texts, read_table
from tests.enhanced_rows import dataset, done, lines, soups

VOCABULARY = 512
ROWS = 12
NEW = 24


def recorded(folder: Path, teacher: Path, k: int, **given: Any) -> Path:
    """prepare, enhance with log-probabilities, postprocess; returns the folder of enhance."""
    soups(folder, ROWS)
    settings = {"input": folder / "questions", "output": folder / "rationales", "kinds": ["cot"], "max_new_tokens": NEW, "top_logprobs": k}
    named = {"name": "transformers", "model": str(teacher), "dtype": "float32"}
    enhance(parse_config(EnhanceConfig, {**settings, "teacher": named, **given}))
    done(folder / "examples", folder / "rationales", verify=[])
    return folder / "rationales"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, stories260k: Path) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    recorded(folder, stories260k, VOCABULARY)
    return folder


def kept_and_live(folder: Path, model: Path, column: str, k: int | None = None) -> tuple[Recorded, Teacher, list[dict[str, Any]], Table]:
    """The teacher as it was recorded, the teacher itself, and the training rows of a column."""
    table, tokenizer = read_table(folder / "examples"), read_tokenizer(str(model), False)
    texts = build_texts(table, column, True)
    rows = encode(texts, tokenizer, Sft(Causal()), Causal(), 512).rows
    numbered = [{**row, "table_row": float(text.row)} for row, text in zip(rows, texts, strict=True)]
    kept = build_recorded([folder / "rationales"], table, column, tokenizer, k)
    return kept, build_teacher(str(model), tokenizer, Causal(), "float32", False), numbered, table


def of_written(kept: Recorded, row: dict[str, Any]) -> torch.Tensor:
    """Which of a row's labels the teacher wrote."""
    told = kept._told(int(row["table_row"]))
    labels = row["labels"][row["labels"] != IGNORE]
    return torch.tensor([place for place, _ in lined_up(told.tokens, labels)])


def test_the_divergence_from_all_tokens_kept_is_that_from_the_teacher_itself(folder: Path, stories260k: Path) -> None:
    kept, teacher, rows, _ = kept_and_live(folder, stories260k, "cot_tail")
    torch.manual_seed(0)
    for row in rows:
        places = of_written(kept, row)
        assert len(places) >= NEW - 2
        batch = Causal().batch([row], 0)
        live, own = teacher.logits(batch)[places], torch.randn(len(places), VOCABULARY)
        told = kept.top_k_of([row])
        found = summed_divergence(own, TopK(told.log_probs[places], told.ids[places]), 0.0)
        assert float(found) == pytest.approx(float(summed_divergence(own, live, 0.0)), rel=1e-4)
        twenty = kept_and_live(folder, stories260k, "cot_tail", 20)[0].top_k_of([row])
        fewer = summed_divergence(own, TopK(twenty.log_probs[places], twenty.ids[places]), 0.0)
        of_live = summed_divergence(own, top_k(live, 20, 1.0), 0.0)
        assert float(fewer) == pytest.approx(float(of_live), rel=1e-4)
        assert 0.8 * float(found) < float(fewer) <= float(found)


def test_where_the_teacher_wrote_nothing_the_loss_is_cross_entropy(folder: Path, stories260k: Path) -> None:
    kept, _, rows, _ = kept_and_live(folder, stories260k, "cot_head", 20)
    row = rows[0]
    written = set(of_written(kept, row).tolist())
    labels = torch.as_tensor(row["labels"][row["labels"] != IGNORE]).long()
    others = torch.tensor([place for place in range(len(labels)) if place not in written])
    assert len(others) > 3  # what leads to the rationale, the answer, EOS
    told, own = kept.top_k_of([row]), torch.randn(len(labels), VOCABULARY)
    found = summed_divergence(own[others], TopK(told.log_probs[others], told.ids[others]), 0.0)
    assert float(found) == pytest.approx(float(torch.nn.functional.cross_entropy(own[others], labels[others], reduction="sum")), rel=1e-5)


@pytest.mark.parametrize("column", ["cot_tail", "cot_head", "cot_think"])
def test_most_of_what_the_teacher_wrote_stands_in_every_layout(folder: Path, stories260k: Path, column: str) -> None:
    kept, _, rows, _ = kept_and_live(folder, stories260k, column, 20)
    shares = [len(of_written(kept, row)) / len(kept._told(int(row["table_row"])).tokens) for row in rows]
    assert sum(shares) / len(shares) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("column", ["cot_tail", "cot_head"])
def test_a_student_learns_from_what_was_kept_without_the_teacher(
    folder: Path, stories260k: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    monkeypatch.setenv("TEACHERLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(loading, "load_model", lambda *_: pytest.fail("the teacher was loaded"))
    objective = {"name": "distill", "logprobs": str(folder / "rationales"), "top_k": 20}
    given = {"input": folder / "examples", "output": tmp_path / "student", "model": str(stories260k), "train_on": column}
    recipe = {"epochs": 3, "batch_size": 4, "learning_rate": 1e-3, "held_out": 0.25}
    finetune(parse_config(FinetuneConfig, {**given, **recipe, "objective": objective}))
    losses = [checkpoint.facts["held_out_loss"] for checkpoint in find_checkpoints(tmp_path / "student")]
    assert losses[-1] < losses[0]
    assert list((tmp_path / "cache/teachers").rglob("*.safetensors"))


def test_the_rows_name_their_log_probabilities_and_the_texts_are_the_same_without(folder: Path, stories260k: Path, tmp_path: Path) -> None:
    [one] = (folder / "rationales").glob("CREAK*.jsonl")
    soups(tmp_path, ROWS)
    named = {"name": "transformers", "model": str(stories260k), "dtype": "float32"}
    plain = {"input": tmp_path / "questions", "output": tmp_path / "plain", "kinds": ["cot"], "max_new_tokens": NEW, "teacher": named}
    enhance(parse_config(EnhanceConfig, plain))
    [other] = (tmp_path / "plain").glob("CREAK*.jsonl")
    with_them, without = lines(one), lines(other)
    assert [{name: value for name, value in row.items() if name != "cot_logprobs"} for row in with_them] == without
    keys = {json.loads(line)["key"] for file in (folder / "rationales/ledger").glob("*.jsonl") for line in file.read_text().splitlines()}
    assert {row["cot_logprobs"] for row in with_them} <= keys
    assert dataset(folder / "examples")["cot_logprobs"] == [row["cot_logprobs"] for row in with_them]


def test_tokens_that_differ_in_places_are_lined_up_around_them() -> None:
    assert lined_up([5, 6, 7, 8], [1, 5, 6, 7, 8, 2]) == [(1, 0), (2, 1), (3, 2), (4, 3)]
    assert lined_up([5, 6, 9, 9, 7, 8], [5, 6, 3, 7, 8]) == [(0, 0), (1, 1), (3, 4), (4, 5)]
    assert lined_up([], [1, 2]) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train_on": "text"}, "train_on: text holds no rationale"),
        ({"train_on": "cot_tail+cot_head"}, r"train_on: cot_tail\+cot_head are 2 columns; train on one of them, such as cot_tail"),
        ({"train_on": "cot_tail", "objective": {"temperature": 2.0}}, "of use to forward_kl at temperature 1 alone"),
        ({"train_on": "cot_tail", "objective": {"divergence": "reverse_kl"}}, "of use to forward_kl at temperature 1 alone"),
        ({"train_on": "cot_tail", "objective": {"cache_teacher": True, "top_k": 5}}, "cache_teacher: logprobs are kept already"),
        ({"train_on": "cot_tail", "objective": {"teacher": "some"}}, "set one of teacher"),
        ({"train_on": "cot_tail", "objective": {"logprobs": ["nowhere"]}}, "nowhere is no output of enhance"),
    ],
)
def test_what_cannot_be_learnt_from_is_one_line(
    folder: Path, stories260k: Path, tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    objective = {"name": "distill", "logprobs": [str(folder / "rationales")], **given.get("objective", {})}
    settings = {"input": folder / "examples", "output": tmp_path / "student", "model": str(stories260k), "train_on": given["train_on"]}
    with pytest.raises(UserError, match=message) as refused:
        finetune(parse_config(FinetuneConfig, {**settings, "objective": objective}))
    assert "\n" not in str(refused.value)


def test_a_student_with_other_tokens_and_a_text_that_was_not_written_are_named(folder: Path, stories260k: Path, tmp_path: Path) -> None:
    objective = {"name": "distill", "logprobs": str(folder / "rationales")}
    scratch = {"hidden_size": 16, "layers": 1, "heads": 2, "context": 256}
    given = {"input": folder / "examples", "output": tmp_path / "other", "scratch": scratch, "train_on": "cot_tail", "objective": objective}
    with pytest.raises(UserError, match=r"row \d+ \(id t\d+\): its teacher knows other tokens than the student"):
        finetune(parse_config(FinetuneConfig, given))
    changed = tmp_path / "changed.jsonl"
    rows = [{**row, "cot_tail": f"{row['prompt']} Nobody wrote these words, 1 2 3 4 5 6 7 8 9."} for row in dataset(folder / "examples")]
    changed.write_text("".join(json.dumps({name: row[name] for name in ("prompt", "cot_tail", "cot_logprobs")}) + "\n" for row in rows))
    given = {"input": changed, "output": tmp_path / "changed", "model": str(stories260k), "train_on": "cot_tail", "objective": objective}
    with pytest.raises(UserError, match=r"changed.jsonl:\d+: only \d+ of the \d+ tokens that the teacher wrote stand in its column"):
        finetune(parse_config(FinetuneConfig, given))
    rows = [{**lined, "cot_logprobs": "0" * 32} for lined in lines(changed)]
    changed.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=r"its log-probabilities \(0{32}\) are in no ledger"):
        finetune(parse_config(FinetuneConfig, {**given, "output": tmp_path / "lost"}))


def test_laying_beside_keeps_the_rest_of_what_is_left_out() -> None:
    from teacherlm.store.top_logprobs import TopLogprobs

    told = TopLogprobs([7], [[7, 8, 9]], [[-0.5, -1.5, -3.0, -2.5]])
    found = laid_beside(told, [3, 7], [(1, 0)], 2)
    assert found.ids.tolist() == [[3, 3], [7, 8]]
    torch.testing.assert_close(found.log_probs.exp().sum(1)[1], torch.tensor([-0.5, -1.5, -3.0, -2.5]).exp().sum())
    assert found.log_probs[0].tolist() == [0.0, -torch.inf, -torch.inf]
