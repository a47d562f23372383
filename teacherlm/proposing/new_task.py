"""A first version of a task of one's own: a YAML or a class in Python, and a few questions beside it, that can be measured at once."""

import json
import keyword
import re
from pathlib import Path
from typing import Literal, get_args

from teacherlm.errors import UserError

Style = Literal["yaml", "python"]
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
QUESTIONS = (
    {"id": "q1", "question": "Which gas do plants take in?", "choices": ["oxygen", "carbon dioxide", "helium"], "answer": "B"},
    {"id": "q2", "question": "What is 3 plus 4?", "choices": ["7", "8"], "answer": "A"},
    {"id": "q3", "question": "Is ice colder than steam?", "choices": ["yes", "no"], "answer": "A"},
    {"id": "q4", "question": "Which of these is a prime number?", "choices": ["9", "15", "11", "21"], "answer": "C"},
)
YAML = """\
# {name}: questions with choices, weighed by their letters in TeacherLM's words. Measure a student with
#   teacherlm evaluate --input MODEL --tasks {name} --include-path {folder}
#   lm_eval --model hf --model_args pretrained=MODEL --include_path {folder} --tasks {name}
task: "{name}"
dataset_path: json
dataset_kwargs:
  data_files: {{test: {data}}}     # your questions, one JSON object a line
output_type: multiple_choice       # or generate_until, for students that write their answer
test_split: test
# What a student reads. `question` and the others are the columns of the data.
doc_to_text: "Q: {{{{question}}}}{{% for one in choices %}} ({{{{'ABCDEFGH'[loop.index0]}}}}) {{{{one}}}}{{% endfor %}} A: The answer is ("
doc_to_choice: "{{{{'ABCDEFGH'[:choices | length] | list}}}}"
doc_to_target: answer              # the letter of the right one
target_delimiter: ""
fewshot_config:                    # what stands behind a solved example of --shots
  doc_to_choice: null
  doc_to_target: "{{{{answer}}}})."
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
metadata:
  version: 1.0
  template: teacherlm              # a student that was taught other words is refused; leave it out where no template fits
  item: id                         # the column that names a question, so that students are compared on the same ones
"""
PYTHON = '''\
"""{name}: questions with choices, weighed by their letters in TeacherLM's words. Measure a student with

    teacherlm evaluate --input MODEL --tasks {name} --include-path {folder}
    lm_eval --model hf --model_args pretrained=MODEL --include_path {folder} --tasks {name}
"""

import numpy as np

from teacherlm.evaluation.classic import Task, mean, rf

LETTERS = "ABCDEFGH"


class {class_name}(Task):
    VERSION = 0
    DATASET_PATH = "{name}.jsonl"  # your questions: a file beside this one, a folder of save_to_disk, or a dataset of the hub

    def has_training_docs(self):
        return False

    def has_validation_docs(self):
        return False

    def has_test_docs(self):
        return True

    def test_docs(self):
        return self.dataset

    def doc_to_text(self, doc):
        """What a student reads."""
        choices = " ".join(f"({{letter}}) {{choice}}" for letter, choice in zip(LETTERS, doc["choices"]))
        return f"Q: {{doc['question']}} {{choices}} A: The answer is ("

    def doc_to_target(self, doc):
        """What stands behind it in a solved example."""
        return f"{{doc['answer']}})."

    def construct_requests(self, doc, ctx):
        """How likely is each letter?"""
        letters = list(LETTERS[: len(doc["choices"])])
        if len(letters) < len(doc["choices"]):
            raise ValueError(f"{{doc['id']}}: it has {{len(doc['choices'])}} choices, and there are {{len(LETTERS)}} letters")
        if doc["answer"] not in letters:
            raise ValueError(f"{{doc['id']}}: answer {{doc['answer']!r}} is none of its choices")
        return [rf.loglikelihood(ctx, letter)[0] for letter in letters]

    def process_results(self, doc, results):
        """`results`: what was asked for, in its order."""
        return {{"acc": float(LETTERS[np.argmax(results)] == doc["answer"])}}

    def aggregation(self):
        return {{"acc": mean}}

    def higher_is_better(self):
        return {{"acc": True}}
'''
CLASS_YAML = """\
# For plain lm_eval, which finds a class through a YAML alone.
task: "{name}"
class: !function {name}.{class_name}
metadata: {{template: teacherlm, item: id}}
"""


def write_new_task(name: str, style: str, output: Path) -> list[Path]:
    """Returns: the files written.

    Raises: UserError for a name that is none, another style, a file where the folder should be, and where one of the files is there.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"'{name}' is no name for a task: letters, digits and _ make one, and a digit is not first.")
    if style not in get_args(Style):
        raise UserError(f"--style: expected {' or '.join(get_args(Style))}, found '{style}'.")
    data = output / f"{name}.jsonl"
    class_name = "".join(part[:1].upper() + part[1:] for part in name.split("_")) or "Mine"
    if style == "python" and keyword.iskeyword(class_name):
        raise UserError(f"'{name}' is no name for a task in Python: its class would be called {class_name}, a word of Python's own.")
    if file := next((place for place in (output, *output.parents) if place.is_file()), None):
        raise UserError(f"--output: {file} is a file; a folder is needed.")
    told = {"name": name, "folder": output, "data": json.dumps(str(data.resolve())), "class_name": class_name}
    texts = {"yaml": {".yaml": YAML}, "python": {".py": PYTHON, ".yaml": CLASS_YAML}}[style]
    files = {output / f"{name}{suffix}": text.format(**told) for suffix, text in texts.items()}
    files[data] = "".join(json.dumps(question) + "\n" for question in QUESTIONS)
    if there := next((path for path in files if path.exists()), None):
        raise UserError(f"{there} is there already and is not overwritten; choose another name or --output.")
    output.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return list(files)
