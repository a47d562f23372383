"""The losses of distill and on_policy, by hand and cut up."""

from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from teacherlm.errors import UserError
from teacherlm.training import divergence as divergence_module
from teacherlm.training import teacher as teacher_module
from teacherlm.training.distill import Distill, Mixture
from teacherlm.training.divergence import divergence, summed_divergence, top_k
from teacherlm.training.families import Causal, Seq2Seq
from teacherlm.training.objective import Example
from teacherlm.training.teacher import Teacher
from tests.steps import one_step

SIZE = 50
ROWS = [([3, 4], [5, 6, 7]), ([8], [9]), ([10, 11, 12], [13, 14])]
SETTINGS = [(0.0, 1.0, None), (1.0, 1.0, None), (0.3, 2.0, None), (0.5, 1.0, 3), (0.0, 0.7, 3), (1.0, 2.0, 1)]


def llama(seed: int, size: int = SIZE) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=size, **shape)).double()
    for weight in model.parameters():
        weight.data *= 8  # fresh weights are too small for distributions that differ
    return model


def t5(seed: int) -> T5ForConditionalGeneration:
    torch.manual_seed(seed)
    shape = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0, "dropout_rate": 0.0}
    return T5ForConditionalGeneration(T5Config(vocab_size=SIZE, **shape)).double()


def teacher_of(model, family=Causal(), size: int = SIZE) -> Teacher:  # noqa: B008
    return Teacher("teacher", family, size, 64, lambda device: model.to(device).eval())


def distill(model, mixture: Mixture, family=Causal()) -> Distill:  # noqa: B008
    return Distill(family, teacher_of(model, family), mixture)


def batch_of(family=Causal(), rows=ROWS):  # noqa: B008
    return family.batch([family.join(prompt, target) for prompt, target in rows], 0)


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    scaled = np.exp(logits / temperature - (logits / temperature).max())
    return scaled / scaled.sum()


def by_hand(student: np.ndarray, teacher: np.ndarray, beta: float, temperature: float, k: int | None) -> float:
    """One position, in plain sums."""
    p, q = probabilities(teacher, temperature), probabilities(student, temperature)
    if k is not None:
        best = np.argsort(-p)[:k]
        p, q = np.append(p[best], 1 - p[best].sum()), np.append(q[best], 1 - q[best].sum())
    if beta in (0, 1):
        p, q = (p, q) if beta == 0 else (q, p)
        return sum(a * (log(a) - log(b)) for a, b in zip(p, q, strict=True))
    middle = beta * p + (1 - beta) * q
    to_middle = [sum(a * (log(a) - log(m)) for a, m in zip(side, middle, strict=True)) for side in (p, q)]
    return beta * to_middle[0] + (1 - beta) * to_middle[1]


def positions(model, rows=ROWS) -> list[tuple[np.ndarray, int]]:
    """(logits, token) of every target token, each row by itself."""
    found = []
    for prompt, target in rows:
        logits = model(torch.tensor([prompt + target])).logits[0].detach().numpy()
        found += [(logits[len(prompt) + i - 1], token) for i, token in enumerate(target)]
    return found


@pytest.mark.parametrize(("beta", "temperature", "k"), SETTINGS)
def test_the_loss_on_three_rows_is_the_sum_worked_out_by_hand(beta, temperature, k):
    student, teacher = llama(0), llama(1)
    objective = distill(teacher, Mixture(beta, temperature, 0.25, k))
    batch = batch_of()
    pairs = list(zip(positions(student), positions(teacher), strict=True))
    apart = sum(by_hand(s, t, beta, temperature, k) for (s, _), (t, _) in pairs)
    entropy = -sum(log(probabilities(s, 1.0)[token]) for (s, token), _ in pairs)
    sums = {name: float(value.detach()) for name, value in objective.sums(student, batch).items()}
    assert sums == pytest.approx({"distill": temperature**2 * apart, "sft": entropy}, rel=1e-10)
    assert apart > 0.1
    assert {name: int(count) for name, count in objective.counts(batch).items()} == {"distill": 6, "sft": 6}
    assert objective.weights() == {"distill": 0.75, "sft": 0.25}


def test_small_betas_tend_to_the_kl_that_their_limits_are():
    torch.manual_seed(0)
    student, teacher = (torch.randn(5, 9, dtype=torch.float64).log_softmax(-1) for _ in range(2))
    forward, reverse = divergence(student, teacher, 0.0), divergence(student, teacher, 1.0)
    torch.testing.assert_close(divergence(student, teacher, 1e-7) / 1e-7, forward, rtol=1e-5, atol=0)
    torch.testing.assert_close(divergence(student, teacher, 1 - 1e-7) / 1e-7, reverse, rtol=1e-5, atol=0)
    torch.testing.assert_close(forward, divergence(teacher, student, 1.0))
    assert float((forward - reverse).abs().min()) > 1e-3


def test_a_token_that_the_teacher_rules_out_costs_no_more_than_its_probability():
    teacher = torch.tensor([[0.0, 0.0, -torch.inf]], dtype=torch.float64)
    for beta in (0.0, 0.5, 1.0):
        student = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
        loss = summed_divergence(student, teacher, beta)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(student.grad).all()
        if beta == 0:
            assert float(loss) == pytest.approx(log(3 / 2))


def test_top_k_of_all_tokens_but_one_is_the_whole_divergence_and_fewer_never_more():
    torch.manual_seed(0)
    student, teacher = torch.randn(4, 9).double(), torch.randn(4, 9).double()
    for beta in (0.0, 0.4, 1.0):
        whole = float(summed_divergence(student, teacher, beta, 1.5))
        assert float(summed_divergence(student, top_k(teacher, 100, 1.5), beta, 1.5)) == pytest.approx(whole, rel=1e-10)
        fewer = [float(summed_divergence(student, top_k(teacher, k, 1.5), beta, 1.5)) for k in (1, 3, 8)]
        assert fewer == sorted(fewer) and fewer[-1] <= whole + 1e-9


@pytest.mark.parametrize("k", [None, 3])
def test_gradients_reach_the_student_alone(k):
    student, teacher = llama(0), llama(1)
    objective = distill(teacher, Mixture(0.5, 1.0, 0.0, k))
    objective.sums(student, batch_of())["distill"].backward()
    assert all(weight.grad is None and not weight.requires_grad for weight in teacher.parameters())
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in student.parameters())


@pytest.mark.parametrize("k", [None, 3])
def test_chunks_of_positions_and_rows_change_neither_loss_nor_gradient(monkeypatch, k):
    def asked() -> tuple[float, torch.Tensor]:
        student = llama(0)
        loss = distill(llama(1), Mixture(0.5, 2.0, 0.0, k)).sums(student, batch_of())["distill"]
        loss.backward()
        return float(loss), student.lm_head.weight.grad

    whole, gradient = asked()
    monkeypatch.setattr(divergence_module, "CHUNK", 2 * SIZE)
    monkeypatch.setattr(teacher_module, "LARGEST", SIZE)
    cut_up, gradient_cut_up = asked()
    assert cut_up == pytest.approx(whole, rel=1e-12)
    torch.testing.assert_close(gradient_cut_up, gradient, rtol=1e-9, atol=1e-12)


def test_padded_embeddings_are_cut_to_the_tokens_both_know():
    student, teacher = llama(0, SIZE + 14), llama(1, SIZE + 6)
    objective = distill(teacher, Mixture(0.0))
    cut_off = [(s[:SIZE], t[:SIZE]) for (s, _), (t, _) in zip(positions(student), positions(teacher), strict=True)]
    expected = sum(by_hand(s, t, 0.0, 1.0, None) for s, t in cut_off)
    assert float(objective.sums(student, batch_of())["distill"]) == pytest.approx(expected, rel=1e-10)


def test_an_encoder_decoder_learns_from_another():
    family = Seq2Seq(start=0, target_limit=64)
    student, teacher = t5(0), t5(1)
    expected = 0.0
    for prompt, target in ROWS:
        given = {"input_ids": torch.tensor([prompt]), "decoder_input_ids": torch.tensor([[0, *target[:-1]]])}
        logits = [model(**given).logits[0].detach().numpy() for model in (student.eval(), teacher.eval())]
        expected += sum(by_hand(s, t, 0.5, 1.0, None) for s, t in zip(*logits, strict=True))
    found = distill(teacher, Mixture(0.5), family).sums(student, batch_of(family))
    assert float(found["distill"]) == pytest.approx(expected, rel=1e-9)


def test_a_student_equal_to_its_teacher_has_nothing_to_learn():
    student = llama(0)
    for beta in (0.0, 0.5, 1.0):
        loss = distill(llama(0), Mixture(beta, 2.0)).sums(student, batch_of())["distill"]
        assert float(loss) == pytest.approx(0.0, abs=1e-12)


def test_rows_without_labels_ask_no_teacher_and_still_reach_the_student():
    student = llama(0)
    asked = teacher_of(llama(1))
    asked.load = lambda device: pytest.fail("the teacher was asked")
    batch = batch_of()
    sums = Distill(Causal(), asked, Mixture(0.5)).sums(student, {**batch, "labels": batch["labels"] * 0 - 100})
    sums["distill"].backward()
    assert float(sums["distill"]) == 0.0 and student.lm_head.weight.grad is not None


def gradients(micro: int, folder) -> list[torch.Tensor]:
    student, objective = llama(0), distill(llama(1), Mixture(0.5, 2.0, 0.3))
    examples = [Example(list(range(3, 4 + i % 5)), list(range(10, 11 + (7 * i) % 9))) for i in range(16)]
    rows = [row for example in examples for row in objective.encode(example, Causal().join)]
    return one_step(student, objective, rows, micro, folder)[1]


def test_accumulation_gives_the_gradients_of_the_whole_batch(tmp_path):
    whole = gradients(16, tmp_path)
    assert max(float(g.abs().max()) for g in whole) > 1e-3
    for micro in (8, 5):
        assert max(float((a - b).abs().max()) for a, b in zip(whole, gradients(micro, tmp_path), strict=True)) < 1e-12


def test_a_row_longer_than_the_teacher_reads_is_refused():
    objective = distill(llama(1), Mixture(0.5))
    objective.teacher = replace(objective.teacher, context=4)
    with pytest.raises(UserError, match="teacher reads 4 tokens, a row has 5; set max_source_length"):
        objective.sums(llama(0), batch_of())
