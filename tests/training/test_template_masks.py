"""Every template of the room: what a student reads and writes, byte for byte, and the very tokens that carry loss."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from chat_models import MARKED, PLAIN
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from teacherlm.catalog import chosen, files
from teacherlm.errors import UserError
from teacherlm.prompts import spec_of, template
from teacherlm.records import Question
from teacherlm.training.encoding import Tokens, tokenised
from teacherlm.training.texts import Reader, Text, build_texts, read_table

QUESTION = Question("What do plants breathe?", "B", ("oxygen", "carbon dioxide"), definition="Answer the question.")
RATIONALE = " Not oxygen."
JINJA = (
    "{% macro prompt(question, choices, letters) -%}\nQuestion: {{ question }}\n"
    "{%- for choice in choices %}\n{{ letters[loop.index0] }}) {{ choice }}\n{%- endfor %}\nAnswer:\n{%- endmacro %}\n"
    "{% macro answer(gold, choices) %} {{ gold }}.{% endmacro %}\n{% macro lead(kind) %} Why?{% endmacro %}\n"
)


@dataclass(frozen=True)
class Golden:
    """Completions as they stand behind the prompt in the dataset."""

    prompt: str
    label: str
    head: str
    tail: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    taught: bool = True
    tokens: str = ""
    """Those of the real tokenizer that carry loss where `label` is learnt."""


GOLDEN: Mapping[str, Golden] = {
    "blocks": Golden(
        "### QUESTION:\nWhat do plants breathe?\n\n### CHOICES:\n(A): oxygen (B): carbon dioxide\n\n### ANSWER:\n",
        "carbon dioxide",
        "Not oxygen.\n\n### TARGET:\ncarbon dioxide",
        "carbon dioxide\n\n### RATIONALE:\nNot oxygen.",
        tokens="c ar b on ▁d i o x id e",
    ),
    "chat": Golden(
        "What do plants breathe? (A) oxygen (B) carbon dioxide",
        " The answer is (B).",
        " Let's think step by step. Not oxygen. The answer is (B).",
        " The answer is (B). Let's think step by step. Not oxygen.",
        tokens="T he ▁a n s w er ▁ is ▁ ( B ) .",
    ),
    "fs_cot": Golden(
        "Q: What is 1 + 1?\nA: The answer is 2.\nQ: What do plants breathe? Answer choices: (A) oxygen, (B) carbon dioxide.\nA:",
        " The answer is B",
        " Not oxygen. The answer is B",
        " The answer is B Not oxygen.",
        taught=False,
    ),
    "ft_cot_natural": Golden(
        "Q: What do plants breathe? Answer choices: (A) oxygen, (B) carbon dioxide.\n\nA: Let's think step by step.\n\n",
        "\n\nTherefore the answer is B",
        " Not oxygen.\n\nTherefore the answer is B",
        "\n\nTherefore the answer is B Not oxygen.",
        tokens="<0x0A> <0x0A> T he re f o re ▁the ▁a n s w er ▁ is ▁B",
    ),
    "ft_cot_token": Golden(
        "What do plants breathe? Answer choices: (A) oxygen, (B) carbon dioxide. ###",
        " --> B END",
        " Not oxygen. --> B END",
        " --> B Not oxygen. END",
        settings={"stop": "END"},
        tokens="▁ - - > ▁B ▁ E N D",
    ),
    "ft_natural": Golden(
        "Q: What do plants breathe? Answer choices: (A) oxygen, (B) carbon dioxide.\n\nA:",
        " B",
        " Not oxygen. B",
        " B Not oxygen.",
        tokens="▁B",
    ),
    "ft_token": Golden(
        "What do plants breathe? Answer choices: (A) oxygen, (B) carbon dioxide. ###",
        " B",
        " Not oxygen. B",
        " B Not oxygen.",
        tokens="▁B",
    ),
    "jinja": Golden(
        "Question: What do plants breathe?\nA) oxygen\nB) carbon dioxide\nAnswer:",
        " B.",
        " Why? Not oxygen. B.",
        " B. Why? Not oxygen.",
        tokens="▁B .",
    ),
    "teacherlm": Golden(
        "Q: What do plants breathe? (A) oxygen (B) carbon dioxide A:",
        " The answer is (B).",
        " Let's think step by step. Not oxygen. The answer is (B).",
        " The answer is (B). Let's think step by step. Not oxygen.",
        tokens="▁The ▁a n s w er ▁ is ▁ ( B ) .",
    ),
    "tk_instruct": Golden(
        "Definition: Answer the question.\n\nNow complete the following example -\n"
        "Input: What do plants breathe?\n(A) oxygen\n(B) carbon dioxide.\nOutput: ",
        "carbon dioxide",
        "Not oxygen. The answer is carbon dioxide.",
        "carbon dioxide\n Explanation: Not oxygen.",
        tokens="▁c ar b on ▁d i o x id e",
    ),
    "verbatim": Golden(
        "What do plants breathe?",
        "carbon dioxide",
        " Not oxygen.carbon dioxide",
        "carbon dioxide Not oxygen.",
        tokens="c ar b on ▁d i o x id e",
    ),
    "zs": Golden(
        "Q: What do plants breathe? Answer choices: (A) oxygen, (B) carbon dioxide.\n\nA:",
        " B",
        " Not oxygen. B",
        " B Not oxygen.",
        taught=False,
    ),
    "zs_cot": Golden(
        "Q: What do plants breathe? Answer choices: (A) oxygen, (B) carbon dioxide.\nA: Let's think step by step.",
        "\nTherefore, the answer is B",
        " Not oxygen.\nTherefore, the answer is B",
        "\nTherefore, the answer is B Not oxygen.",
        taught=False,
    ),
}


BLOCK = "Q: What is 1 + 1?\nA: The answer is 2."


@pytest.fixture
def built(tmp_path: Path) -> Any:
    """A template of the room by its name, with the settings of its golden row."""
    (tmp_path / "my.jinja").write_text(JINJA)
    (tmp_path / "shots.txt").write_text(BLOCK)
    brought = {"jinja": {"file": str(tmp_path / "my.jinja")}, "fs_cot": {"shots": str(tmp_path / "shots.txt")}}

    def build(name: str) -> Any:
        settings = {"name": name, **brought.get(name, {}), **GOLDEN[name].settings}
        return template(spec_of(chosen("templates")(settings)))

    return build


def rows_of(one: Any) -> dict[str, str]:
    prompt, answer = one.prompt(QUESTION), one.answer(QUESTION.answer, QUESTION.choices)
    return {
        "prompt": prompt,
        "text": prompt + one.label(QUESTION),
        "cot_head": one.head(prompt, answer, "cot", RATIONALE),
        "cot_tail": one.tail(prompt, answer, "cot", RATIONALE),
        "template": one.spec,
    }


def texts_of(one: Any, folder: Path, column: str, tokenizer: Any) -> list[Text]:
    (folder / "rows.jsonl").write_text(json.dumps(rows_of(one)) + "\n")
    return build_texts(read_table(folder / "rows.jsonl"), column, True, Reader(tokenizer, "student"))


def learnt(tokenizer: Any, tokens: Tokens) -> list[int]:
    return [token for place, token in enumerate(tokens.target) if place not in tokens.silent]


def taught() -> list[str]:
    return [name for name, golden in GOLDEN.items() if golden.taught]


@pytest.fixture(scope="module")
def byte_level() -> Any:
    """A byte-level BPE trained on these very texts, with a chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    texts = [part for golden in GOLDEN.values() for part in (golden.prompt, golden.head, golden.tail)]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.chat_template = PLAIN
    return fast


def test_every_template_of_the_room_has_a_golden_row() -> None:
    assert sorted(GOLDEN) == sorted(name for name, path in files("templates").items() if "teacherlm/templates" in path.as_posix())


@pytest.mark.parametrize("name", list(GOLDEN))
def test_prompt_label_and_layouts_are_these_bytes(name: str, built: Any) -> None:
    golden, rows = GOLDEN[name], rows_of(built(name))
    assert rows["prompt"] == golden.prompt
    assert [rows[column].removeprefix(golden.prompt) for column in ("text", "cot_head", "cot_tail")] == [
        golden.label,
        golden.head,
        golden.tail,
    ]


@pytest.mark.parametrize("name", taught())
@pytest.mark.real
def test_the_tokens_that_carry_loss_are_these(name: str, built: Any, tmp_path: Path, stories260k: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(stories260k)
    tokenizer.chat_template = MARKED
    (tokens,) = tokenised(texts_of(built(name), tmp_path, "text", tokenizer), tokenizer)
    assert tuple(tokenizer.convert_ids_to_tokens(learnt(tokenizer, tokens))) == (*GOLDEN[name].tokens.split(), "</s>")


@pytest.mark.parametrize("column", ["text", "cot_head", "cot_tail"])
@pytest.mark.parametrize("name", taught())
def test_with_a_byte_level_bpe_the_loss_is_on_the_completion_and_its_end(
    name: str, column: str, built: Any, tmp_path: Path, byte_level: Any
) -> None:
    golden, one = GOLDEN[name], built(name)
    (text,) = texts_of(one, tmp_path, column, byte_level)
    (tokens,) = tokenised([text], byte_level)
    completion = {"text": golden.label, "cot_head": golden.head, "cot_tail": golden.tail}[column]
    before = f"<s>[user]\n{golden.prompt}</s>\n[assistant]\n" if one.chat else golden.prompt
    said = completion.lstrip() if one.chat else completion
    assert not tokens.silent
    assert byte_level.decode(tokens.prompt + tokens.target) == f"{before}{said}</s>"
    border = BORDERS.get(name, "")
    assert byte_level.decode(tokens.target) == f"{border}{said}</s>"


BORDERS = {"tk_instruct": " "}
"""A prompt that ends in a space: it is part of the first token behind it, which carries loss."""


@pytest.mark.parametrize("name", [name for name, golden in GOLDEN.items() if not golden.taught])
def test_rows_of_a_template_that_only_asks_are_not_trained_on(name: str, built: Any, tmp_path: Path, byte_level: Any) -> None:
    with pytest.raises(
        UserError, match=rf"rows.jsonl: its rows are of the template '{name}.*', which only asks; prepare them with another"
    ):
        texts_of(built(name), tmp_path, "text", byte_level)
