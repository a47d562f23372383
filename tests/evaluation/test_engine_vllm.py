"""Students whose answers vLLM writes: as those that the other engine writes where it is there (its CPU build will do); refusals always."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from chat_models import PLAIN
from transformers import AutoTokenizer
from wide_stories import SMALL, widen
from word_students import write_checkpoint, write_questions

from teacherlm.engines.vllm import VllmOptions, name_of
from teacherlm.errors import UserError
from teacherlm.evaluation.cells import Manner, build_cell
from teacherlm.evaluation.loading import LoadedTask, TaskOptions, load_tasks
from teacherlm.evaluation.students import Student, find_students
from teacherlm.launch.job import FrozenJob, write_job
from teacherlm.parsing import parse_config
from teacherlm.stages.evaluate import EvaluateConfig, evaluate
from teacherlm.store.checkpoints import seal_checkpoint
from teacherlm.store.files import read_jsonl
from teacherlm.store.manifest import Manifest, write_manifest

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


def test_letters_are_refused_in_one_line(tmp_path: Path) -> None:
    lettered = task(
        "questions_letters", write_questions(tmp_path / "lettered", range(2), choices=["one", "two"], answer="A", answer_rule="letter")
    )
    with pytest.raises(UserError, match="engine vllm: the task 'questions_letters' weighs answers"):
        build_cell(student(tmp_path / "run", 1), lettered, IN_VLLM, tmp_path)


def test_settings_of_vllm_without_it_are_one_line(tmp_path: Path) -> None:
    words = {"input": "x", "output": tmp_path / "out", "tasks": "questions", "vllm": {"gpu_memory": 0.5}}
    with pytest.raises(UserError, match="vllm: says how vLLM runs a student, and the engine is transformers; set engine: vllm too"):
        parse_config(EvaluateConfig, words)
    with pytest.raises(UserError, match="'gpu_memory_utilization' is a setting of its own here: gpu_memory"):
        parse_config(EvaluateConfig, {**words, "engine": "vllm", "vllm": {"engine_args": {"gpu_memory_utilization": 0.5}}})


def test_only_settings_that_change_a_text_make_a_measurement_another_one() -> None:
    names = {name_of(VllmOptions.model_validate(given)) for given in ({}, {"gpu_memory": 0.5}, {"tensor_parallel": 2})}
    assert names == {"vllm"}
    assert name_of(VllmOptions(max_model_len=64)) != name_of(VllmOptions(quantization="fp8")) != "vllm"


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of real weights: a student that continues a text, one that reads a prefix before it, one that was taught in turns.

    Real data is asked for by name here, so that a test that vLLM is missing for is skipped, not failed for want of data.
    """
    folder = tmp_path_factory.mktemp("wide")
    wide = widen(request.getfixturevalue("stories260k"), folder / "stories")
    ways: list[dict[str, Any]] = [{}, {"prompt_prefix": "predict: "}, {"template": "chat"}]
    for step, facts in enumerate(ways, 1):
        place = folder / "run" / f"checkpoint-{step}"
        shutil.copytree(wide, place)
        if facts.get("template") == "chat":
            tokenizer = AutoTokenizer.from_pretrained(place)
            tokenizer.chat_template = PLAIN
            tokenizer.save_pretrained(place)
        seal_checkpoint(place, step, float(step), {"template": "teacherlm", "train_on": "cot_tail", **facts})
    write_job(folder / "run", FrozenJob("finetune", {}, "0123456789abcdef", {}, ()))
    write_manifest(folder / "run", Manifest("finetune", 1, "0123456789abcdef", {"input": "gone"}, {}))
    return folder / "run"


@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed (extra [vllm])")
@pytest.mark.slow
@pytest.mark.parametrize("shots", [0, 3])
def test_every_student_writes_what_it_writes_in_the_other_engine(
    request: pytest.FixtureRequest, run: Path, tmp_path: Path, shots: int
) -> None:
    creak = request.getfixturevalue("creak")
    words = {"input": str(run), "tasks": "creak_generate", "data": creak, "limit": 12, "max_new_tokens": 40, "shots": shots}
    words |= {"allow_template_mismatch": True, "device": "cpu"}
    told = {}
    for engine, more in (("transformers", {}), ("vllm", {"vllm": SMALL})):
        outcome = evaluate(parse_config(EvaluateConfig, {**words, "output": tmp_path / engine, "engine": engine, **more}))
        assert outcome.counts["measured"] == 3
        rows = read_jsonl(tmp_path / engine / "results.jsonl")
        files = {row["checkpoint"]: row["predictions"] for _, row in rows}
        told[engine] = {name: [row for _, row in read_jsonl(tmp_path / engine / file)] for name, file in files.items()}
    assert told["vllm"] == told["transformers"]
    prompts = [told["vllm"][f"checkpoint-{step}"][0]["prompt"] for step in (1, 2, 3)]
    assert prompts[1] == "predict: " + prompts[0] and prompts[2].startswith("<s>[user]\n")
    assert len({row["output"] for rows in told["vllm"].values() for row in rows}) > 12


@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed (extra [vllm])")
@pytest.mark.slow
def test_a_student_that_vllm_cannot_load_is_one_line_and_the_next_is_measured(
    request: pytest.FixtureRequest, run: Path, tmp_path: Path
) -> None:
    creak = request.getfixturevalue("creak")
    shutil.copytree(run, tmp_path / "run")
    broken = tmp_path / "run" / "checkpoint-1"
    (broken / "tokenizer.json").write_text("{}")
    seal_checkpoint(broken, 1, 1.0, {"template": "teacherlm", "train_on": "cot_tail"})
    shutil.rmtree(tmp_path / "run" / "checkpoint-3")
    words = {"input": str(tmp_path / "run"), "output": tmp_path / "out", "tasks": "creak_generate", "data": creak, "limit": 2}
    with pytest.raises(UserError, match=r"checkpoint-1: its config or tokenizer could not be loaded .*measured and kept in .*: 1;"):
        evaluate(parse_config(EvaluateConfig, {**words, "max_new_tokens": 4, "engine": "vllm", "vllm": SMALL}))
