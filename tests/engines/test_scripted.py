from teacherlm.engines.scripted import ENGINE, ScriptedSettings
from teacherlm.records import Load, Request, Sampling


def texts(request: Request, seed: int = 0, **settings: object) -> str:
    engine = ENGINE.build(ScriptedSettings.model_validate(settings), seed, Load())
    return str(next(iter(engine.complete([("k", request)]))).text)


def test_the_text_depends_on_prompt_and_sample_and_on_the_seed_only_where_sampling_is_on():
    assert texts(Request("Q", 99)) == texts(Request("Q", 99), seed=5)
    warm = Sampling(temperature=1.0)
    found = {texts(Request("Q", 99)), texts(Request("R", 99)), texts(Request("Q", 99, sample=1)), texts(Request("Q", 99, warm), seed=5)}
    assert len(found) == 4


def test_completions_come_in_any_order_and_each_once():
    engine = ENGINE.build(ScriptedSettings(), 0, Load(rows=3))
    keys = [one.key for one in engine.complete((str(i), Request(f"Q{i}", 9)) for i in range(8))]
    assert keys == ["2", "1", "0", "5", "4", "3", "7", "6"]


def test_context_and_budget_bound_the_text():
    assert texts(Request("a b c", 2), reply="1 2 3 4") == " 1 2"
    assert texts(Request("a b c", 9), reply="1 2 3 4", context=6) == " 1 2 3"


def test_options_are_weighed_by_the_last_words_of_the_prompt_else_by_hash():
    engine = ENGINE.build(ScriptedSettings(), 0, Load())
    (told,) = engine.complete([("k", Request("It is (A) or (B). So it is B. The answer is (", 0, options=("A", "B")))])
    assert (told.text, told.finish, len(told.logprobs)) == ("", "stop", 2)
    far = "It is (A) or (B)." + " word" * 20
    (told,) = engine.complete([("k", Request(f"{far} So it is B. The answer is (", 0, options=("A", "B")))])
    assert told.logprobs[1] == -1.0 and -4 <= told.logprobs[0] <= -3
    (again,) = engine.complete([("k", Request(f"{far} So it is B. The answer is (", 0, options=("B", "A")))])
    assert again.logprobs == told.logprobs[::-1]
