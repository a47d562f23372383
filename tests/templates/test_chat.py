"""The words of a chat, before any tokenizer puts them: what is learnt is what the assistant says."""

from teacherlm.prompts import template
from teacherlm.records import Question

CHAT = template("chat")


def test_a_question_is_a_turn_of_its_own_words_and_its_answer_a_sentence():
    question = Question("Which  gas?", "B", ("oxygen", "helium"))
    assert CHAT.prompt(question) == "Which  gas? (A) oxygen (B) helium"
    assert (CHAT.label(question), CHAT.letter_prefix) == (" The answer is (B).", "The answer is (")
    assert CHAT.label(Question("How many?", "7")) == " The answer is 7."


def test_what_an_assistant_said_or_was_to_write_is_learnt_as_it_stands():
    turns = ({"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "Four.\n\n    4"})
    assert CHAT.label(Question("2+2?", "Four.", messages=turns)) == " Four.\n\n    4"
    assert CHAT.label(Question("Write a line.", "A line.", response=(("RESPONSE", "A line. "),))) == " A line."
    assert CHAT.label(Question("2+2?", "4", response=(("ANSWER", "2 and 2 make 4."),))) == " The answer is 4."


def test_a_chat_ends_by_itself():
    assert CHAT.stops == () and CHAT.chat is not None and CHAT.chat.system == ""
