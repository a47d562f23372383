"""Students whose answers vLLM is to write: where it is missing, and what it is not asked. (With it: tests/engines/test_vllm.py.)"""

from importlib.util import find_spec
from pathlib import Path

import pytest
from word_students import write_checkpoint, write_questions

from teacherlm.errors import UserError
from teacherlm.evaluation.cells import Manner, build_cell
from teacherlm.evaluation.loading import LoadedTask, TaskOptions, load_tasks
from teacherlm.evaluation.students import Student, find_students
from teacherlm.parsing import parse_config
from teacherlm.stages.evaluate import EvaluateConfig, evaluate

IN_VLLM = Manner("auto", 0, 1, engine="vllm")


def task(name: str, data: Path) -> LoadedTask:
    (found,) = load_tasks([name], [], TaskOptions(data=data))
    return found


def student(run: Path, step: int, **facts: str) -> Student:
    (found,) = find_students(str(write_checkpoint(run, step, **facts)), "main", "last")
    return found


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")
def test_where_it_is_not_installed_one_line_says_so_before_anything_is_loaded(tmp_path: Path) -> None:
    words = {"input": str(write_checkpoint(tmp_path / "run", 1)), "output": tmp_path / "out", "tasks": "questions", "data": tmp_path}
    with pytest.raises(UserError, match=r"^engine vllm: vLLM is not installed; pip install 'teacherlm\[vllm\]'$"):
        evaluate(parse_config(EvaluateConfig, {**words, "engine": "vllm"}))
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="engine vllm: does not read dtype nf4"):
        parse_config(EvaluateConfig, {**words, "engine": "vllm", "dtype": "nf4"})


def test_what_it_writes_never_stands_for_what_the_other_engine_does(tmp_path: Path) -> None:
    asked, own = task("questions", write_questions(tmp_path / "data", range(2))), student(tmp_path / "run", 1)
    plain, default, fast = (
        build_cell(own, asked, how, tmp_path) for how in (Manner("auto", 0, 1), Manner("auto", 0, 1, "lm_eval"), IN_VLLM)
    )
    assert plain.measured == default.measured != fast.measured


def test_letters_and_students_that_are_asked_otherwise_are_refused_in_one_line(tmp_path: Path) -> None:
    free = task("questions", write_questions(tmp_path / "free", range(2)))
    lettered = task(
        "questions_letters", write_questions(tmp_path / "lettered", range(2), choices=["one", "two"], answer="A", answer_rule="letter")
    )
    with pytest.raises(UserError, match="engine vllm: the task 'questions_letters' weighs answers"):
        build_cell(student(tmp_path / "run", 1), lettered, IN_VLLM, tmp_path)
    with pytest.raises(UserError, match="engine vllm: checkpoint-2 is asked in turns, by a prefix"):
        build_cell(student(tmp_path / "run", 2, prompt_prefix="predict: "), free, IN_VLLM, tmp_path)
