"""A command whose output is done says so at once."""

import subprocess
import sys
from pathlib import Path

import pytest
from word_students import write_checkpoint, write_questions

PROGRAM = """
import sys
from teacherlm.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
    print(sorted({"torch", "lm_eval", "transformers", "datasets"} & sys.modules.keys()))
"""


@pytest.mark.slow
def test_a_second_evaluate_with_nothing_new_imports_neither_torch_nor_lm_eval(tmp_path: Path) -> None:
    data, student = write_questions(tmp_path / "data", range(4)), write_checkpoint(tmp_path / "run", 1)
    words = ["--input", str(student), "--tasks", "questions", "--data", str(data), "--output", str(tmp_path / "out")]
    command = [sys.executable, "-c", PROGRAM, "evaluate", *words, "--max-new-tokens", "4"]
    first, again = (subprocess.run(command, capture_output=True, text=True, timeout=120) for _ in range(2))
    assert first.returncode == 0 and "torch" in first.stdout, first.stderr
    assert again.returncode == 0 and "is already done" in again.stderr, again.stderr
    assert again.stdout.split("\n")[-2] == "[]", again.stdout
