from pathlib import Path

import pytest

from teacherlm.errors import UserError
from teacherlm.prompts import said_answer, template
from teacherlm.records import Demonstration, Question

RIGHT = (Demonstration("2 and 3 \n", "5", "Two and three are five"), Demonstration("1 and 1!", " 2. ", "One\nand one."))
WRONG = (Demonstration("2 and 3", "23", "Nothing is added"), Demonstration("4 and 4?", "4"))
BARE = Question("Add the numbers.\n\n4 and 5", "9", blocks=(("INPUT", "4 and 5"),))
FINAL = "Now complete the following example -\nInput: 4 and 5.\nOutput: "
DEFINED = "Definition: Add the numbers\n\n".replace("numbers\n", "numbers.\n")
FIRST, SECOND = " Positive Example 1 -\nInput: 2 and 3.\n Output: 5.\n", " Positive Example 2 -\nInput: 1 and 1!\n Output: 2.\n"


def question(definition: str = "", demonstrations: tuple[Demonstration, ...] = (), explained: bool = False) -> Question:
    kept = demonstrations if explained else tuple(Demonstration(d.input, d.output, "", d.positive) for d in demonstrations)
    return Question(BARE.question, "9", blocks=BARE.blocks, definition=definition, demonstrations=kept)


NEGATIVE = tuple(Demonstration(d.input, d.output, d.explanation, positive=False) for d in WRONG)


@pytest.mark.parametrize(
    ("asked", "prompt"),
    [
        (question("Add the numbers"), f"{DEFINED}{FINAL}"),
        (question(demonstrations=RIGHT), f"{FIRST}\n{SECOND}\n{FINAL}"),
        (question("Add the numbers.", RIGHT), f"{DEFINED}{FIRST}\n{SECOND}\n{FINAL}"),
        (
            question("Add the numbers.", (*RIGHT, *NEGATIVE)),
            f"{DEFINED}{FIRST}\n{SECOND}\n"
            " Negative Example 1 -\nInput: 2 and 3.\n Output: 23.\n\n Negative Example 2 -\nInput: 4 and 4?\n Output: 4.\n\n"
            f"{FINAL}",
        ),
        (
            question("Add the numbers.", RIGHT, explained=True),
            f"{DEFINED}{FIRST} Explanation: Two and three are five.\n\n{SECOND} Explanation: One\nand one.\n\n{FINAL}",
        ),
        (question(), FINAL),
    ],
    ids=["def", "2pos", "def+2pos", "def+2pos+2neg", "def+2pos+expl", "nothing"],
)
def test_the_five_encodings_are_those_of_the_original_byte_for_byte(asked: Question, prompt: str):
    assert template("tk_instruct").prompt(asked) == prompt
    assert template("tk_instruct").label(asked) == "9"


def test_a_tasks_name_stands_before_its_definition():
    named = Question("x", "9", blocks=(("TASK", "task001_add"), ("DEFINITION", "Add."), ("INPUT", "4 and 5")), definition="Add.")
    assert template("tk_instruct").prompt(named) == f"task001_add. Definition: Add.\n\n{FINAL}"


def test_an_empty_input_becomes_a_full_stop_as_in_the_original():
    empty = Question("Say hello.", "hello", blocks=(("INPUT", " "),), definition="Say hello.")
    assert template("tk_instruct").prompt(empty).endswith(" -\nInput: .\nOutput: ")


def test_a_question_of_another_dataset_gets_a_definition_and_lists_its_choices():
    fish = Question("Where do fish live?", "B", ("in trees", "in water"), answer_rule="letter")
    own = template('tk_instruct{"definition":"Choose"}')
    assert own.prompt(fish) == (
        "Definition: Choose.\n\nNow complete the following example -\nInput: Where do fish live?\n(A) in trees\n(B) in water.\nOutput: "
    )
    assert own.label(fish) == "in water" and own.spec == 'tk_instruct{"definition":"Choose"}'
    assert said_answer("in water", own.spec, "letter", fish.choices) == "B"
    sorting = Question("Sort it.\n3 1", "1 3", blocks=(("INSTRUCTION", "Sort it."), ("INPUT", "3 1")))
    assert "Input: Sort it.\n3 1.\n" in template("tk_instruct").prompt(sorting)
    with pytest.raises(UserError, match="unknown key"):
        template('tk_instruct{"num_pos_examples":2}')


def test_rationales_stand_where_the_worked_examples_have_them_or_before_the_answer():
    words, prompt = template("tk_instruct"), template("tk_instruct").prompt(question())
    answer = words.answer("9", ())
    tail, head = words.tail(prompt, answer, "cot", " Four and five."), words.head(prompt, answer, "cot", " Four and five.")
    assert tail == f"{FINAL}9\n Explanation: Four and five."
    assert head == f"{FINAL}Four and five. The answer is 9."
    assert words.head(prompt, answer, "cot", "So it is. The answer is 9") == f"{FINAL}So it is. The answer is 9."
    for written in (tail, head, f"{FINAL}9", f"{FINAL}9\n\n Positive Example 2 -\nInput: 8"):
        assert said_answer(written.removeprefix(FINAL), "tk_instruct", "exact") == "9"


def test_the_question_of_a_prompt_is_definition_and_input():
    words = template("tk_instruct")
    for asked in (question("Add the numbers."), question("Add the numbers.", RIGHT), question("Add the numbers.", NEGATIVE)):
        assert words.question_of(words.prompt(asked)) == "Add the numbers.\n\n4 and 5."
    assert words.question_of(words.prompt(question(demonstrations=RIGHT))) == "4 and 5."


@pytest.mark.real
def test_the_loss_is_on_the_target_and_never_on_the_prompt_for_real_tokens(stories260k: Path):
    from teacherlm.training.encoding import encode
    from teacherlm.training.families import Causal
    from teacherlm.training.pretrained import read_tokenizer
    from teacherlm.training.sft import Sft
    from teacherlm.training.texts import Table, build_texts

    prompt, tokenizer = template("tk_instruct").prompt(question("Add the numbers.")), read_tokenizer(str(stories260k))
    row = {"prompt": prompt, "text": f"{prompt}the cat"}
    (text,) = build_texts(Table([row], ("prompt", "text"), Path("x.jsonl"), [1]), "text", completion_only=True)
    assert text.text[text.start :] == "the cat"
    (encoded,) = encode([text], tokenizer, Sft(Causal()), Causal(), 512).rows
    labels = [int(i) for i in encoded["labels"]]
    learnt = [i for i in labels if i != -100]
    assert tokenizer.decode(learnt, skip_special_tokens=True).strip() == "the cat" and learnt[-1] == tokenizer.eos_token_id
    border = labels.index(learnt[0])
    assert set(labels[:border]) == {-100} and labels[border:] == [int(i) for i in encoded["input_ids"]][border:]
