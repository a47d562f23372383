"""What on_policy has the student write: its own words, the same in any batch and after any restart."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from teacherlm.errors import UserError
from teacherlm.training.distill import Mixture
from teacherlm.training.families import IGNORE, Causal, Seq2Seq
from teacherlm.training.on_policy import OnPolicy, Policy
from teacherlm.training.teacher import Teacher

SIZE, PAD, END = 20, 0, 1
ROWS = [([3, 4], [5, 6, 7, END]), ([8], [9, END]), ([10, 11, 12], [13, 14, END]), ([3, 4], [15, END])]


def llama(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=SIZE, pad_token_id=PAD, eos_token_id=END, **shape)).double()
    for weight in model.parameters():
        weight.data *= 4
    return model


def objective(family=Causal(), context: int = 64, **given) -> OnPolicy:  # noqa: B008
    policy = {"share": 1.0, "temperature": 1.0, "max_new_tokens": 6, "end": END, "seed": 0, **given}
    teacher = Teacher("teacher", family, SIZE, context, lambda device: llama(1).eval())
    return OnPolicy(family, teacher, Mixture(0.5), pad=PAD, policy=Policy(**policy))


def batch_of(rows=ROWS, family=Causal()):  # noqa: B008
    return family.batch([family.join(prompt, target) for prompt, target in rows], PAD)


def answers(batch) -> list[list[int]]:
    return [line[line != IGNORE].tolist() for line in batch["labels"]]


def test_the_students_own_words_stand_behind_the_prompts_and_are_what_is_counted():
    student, wanted = llama().train(), objective()
    batch = wanted.refresh(student, batch_of())
    assert student.training
    for line, (prompt, target), answer in zip(batch["input_ids"], ROWS, answers(batch), strict=True):
        assert line[: len(prompt)].tolist() == prompt
        assert line[len(prompt) : len(prompt) + len(answer)].tolist() == answer != target
        assert 1 <= len(answer) <= 6 and END not in answer[:-1] and (len(answer) == 6 or answer[-1] == END)
    assert wanted.counts(batch) == {"distill": sum(map(len, answers(batch)))}
    assert not batch["input_ids"].is_inference() and all(weight.grad is None for weight in student.parameters())


def test_a_row_is_answered_alike_in_any_batch_and_otherwise_at_another_step_or_seed():
    student, wanted = llama(), objective()
    whole = answers(wanted.refresh(student, batch_of()))
    assert [answers(wanted.refresh(student, batch_of([row])))[0] for row in ROWS] == whole
    assert whole[0] != whole[3]  # one prompt, two rows: two draws
    assert answers(objective(seed=1).refresh(student, batch_of())) != whole
    wanted.begin(1)
    assert answers(wanted.refresh(student, batch_of())) != whole
    wanted.begin(0)
    torch.manual_seed(123)  # nothing is drawn from the training's own noise
    state = torch.random.get_rng_state()
    assert answers(wanted.refresh(student, batch_of())) == whole
    assert torch.equal(torch.random.get_rng_state(), state)


def test_words_are_drawn_from_the_students_distribution_at_the_temperature():
    student, temperature, count = llama(), 0.7, 2000
    wanted = objective(max_new_tokens=1, temperature=temperature)
    rows = [([3, 4], [2 + i % 18, 2 + i // 18 % 18, 2 + i // 324]) for i in range(count)]
    found = np.bincount([answer[0] for answer in answers(wanted.refresh(student, batch_of(rows)))], minlength=SIZE) / count
    logits = student(torch.tensor([[3, 4]])).logits[0, -1] / temperature
    expected = logits.softmax(-1).detach().numpy()
    assert np.abs(found - expected).max() < 4 * np.sqrt(0.25 / count)
    assert 0.05 < expected.max() < 0.95


def test_nothing_of_the_students_generation_config_counts():
    student, wanted = llama(), objective()
    whole = answers(wanted.refresh(student, batch_of()))
    own = student.generation_config
    own.repetition_penalty, own.suppress_tokens, own.min_new_tokens, own.num_beams = 9.0, whole[0], 4, 3
    assert answers(wanted.refresh(student, batch_of())) == whole
    assert student.generation_config is own and own.num_beams == 3


def test_the_share_of_steps_is_lambda_and_alike_in_every_process():
    def own(seed: int, share: float) -> list[bool]:
        wanted = objective(seed=seed, share=share)
        found = []
        for step in range(2000):
            wanted.begin(step)
            found.append(wanted.is_own())
        return found

    assert own(0, 0.3) == own(0, 0.3) != own(1, 0.3)
    assert sum(own(0, 0.3)) / 2000 == pytest.approx(0.3, abs=0.04)
    assert not any(own(0, 0.0)) and all(own(0, 1.0))


def test_the_other_steps_are_trained_on_the_datasets_words():
    batch = batch_of()
    assert objective(share=0.0).refresh(llama(), batch) is batch


def test_rows_without_labels_are_not_asked():
    batch = batch_of()
    batch["labels"][1:] = IGNORE
    found = answers(objective().refresh(llama(), batch))
    assert found[0] and found[1:] == [[], [], []]


def test_no_answer_leaves_the_context_of_student_or_teacher():
    torch.manual_seed(0)
    student = GPT2LMHeadModel(GPT2Config(vocab_size=SIZE, n_embd=16, n_layer=1, n_head=2, n_positions=8, eos_token_id=END))
    rows = [(list(range(3, 9)), [5]), ([3], [5])]
    never = SIZE - 1  # a token that is hardly drawn ends a text
    found = answers(objective(end=never, max_new_tokens=100).refresh(student, batch_of(rows)))
    assert [len(answer) for answer in found] == [2, 7]
    found = answers(objective(end=never, max_new_tokens=100, context=7).refresh(student, batch_of(rows)))
    assert [len(answer) for answer in found] == [1, 6]


def test_an_encoder_decoder_answers_too():
    torch.manual_seed(0)
    shape = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": PAD, "dropout_rate": 0.0}
    student = T5ForConditionalGeneration(T5Config(vocab_size=SIZE, **shape)).double()
    family = Seq2Seq(start=PAD, target_limit=64)
    wanted = objective(family)
    batch = wanted.refresh(student, batch_of(family=family))
    assert [line[seen > 0].tolist() for line, seen in zip(batch["input_ids"], batch["attention_mask"], strict=True)] == [p for p, _ in ROWS]
    whole = answers(batch)
    assert all(1 <= len(answer) <= 6 for answer in whole)
    assert [answers(wanted.refresh(student, batch_of([row], family)))[0] for row in ROWS] == whole


def test_a_student_cut_over_processes_is_refused():
    student = llama()
    next(student.parameters()).ds_id = 0  # as ZeRO-3 marks the weights it has cut
    with pytest.raises(UserError, match=r"under ZeRO-3 .* cannot write; use ds_config zero2 or zero1"):
        objective().refresh(student, batch_of())
