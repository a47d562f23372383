"""Completions of Fine-tune-CoT as rationales that `postprocess` takes, and the rows of `enhance` as such completions."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from teacherlm.answers import find_answer
from teacherlm.answers.cleansing import PREFIXES, STATED_AS
from teacherlm.choices import split_choices
from teacherlm.errors import UserError
from teacherlm.exports.finetune_cot import METADATA, REASONING, SAMPLE, CompletionDataset, Sample
from teacherlm.prompts import KINDS, LETTERS, TEXT_COLUMN, teacher_text, template
from teacherlm.records import Question
from teacherlm.store.sources import require

Row = dict[str, Any]

ASKING = "\nTherefore, the answer is"
"""Begins the second step of zero-shot-CoT."""
ENDS = ("stop", "length")


def rationale_rows(dataset: CompletionDataset, file: str) -> Iterator[Row]:
    for place, sample in dataset.samples():
        yield rationale_row(sample, dataset.metadata, f"{file}: {place}")


def rationale_row(sample: Sample, metadata: Mapping[str, Any], where: str) -> Row:
    """The sample's own keys, then ours. A sample without thoughts (zero-shot) gets no rationale.

    `prompt` and `answer` as they were lie in `source_prompt` and `source_answer`: ours have the choices apart, for a student.
    """
    for key in ("question", "answer", "completion"):
        if not isinstance(require(sample, key, where), str):
            raise UserError(f"{where}: key '{key}': expected a text, found {sample[key]!r}.")
    gold = sample["answer"].strip()
    if not gold:
        raise UserError(f"{where}: key 'answer' is empty.")
    dataset_key, rule = str(require(metadata, "dataset_key", where)), _stated_rule(metadata)
    question, choices = split_choices(sample["question"]) if rule == "letter" else (sample["question"], [])
    if choices and gold not in LETTERS[: len(choices)]:
        question, choices = sample["question"], []
    chosen = template("teacherlm")
    prompt = chosen.prompt(Question(question, gold, tuple(choices)))
    answer_text = chosen.answer(gold, choices)
    return {
        **_source_columns(sample),
        "dataset_key": dataset_key,
        "metadata": dict(metadata),
        "text": prompt + answer_text,
        **{TEXT_COLUMN[kind]: teacher_text(prompt, answer_text, kind) for kind in KINDS},
        "id": f"{dataset_key}-{require(sample, 'sample_index', where)}",
        "prompt": prompt,
        "choices": choices,
        "answer": gold,
        "answer_rule": rule,
        "template": chosen.spec,
        **_rationale(sample, metadata),
        "completion_index": sample.get("completion_index", 0),
        "teacher": str(metadata.get("base_model") or ""),
        "found": _found(sample["completion"], metadata),
    }


def _source_columns(sample: Sample) -> Row:
    renamed = {"prompt": "source_prompt", "answer": "source_answer"}
    known = {renamed.get(key, key): sample[key] for key in (*SAMPLE, *REASONING) if key in sample and key != "completion_index"}
    extra = {key: value for key, value in sample.items() if key not in (*SAMPLE, *REASONING)}
    return {**known, **({"extra": extra} if extra else {})}


def _stated_rule(metadata: Mapping[str, Any]) -> str:
    """The rule for free text; the file of a dataset that Fine-tune-CoT does not know may name it in its metadata."""
    return str(STATED_AS.get(str(metadata.get("dataset_key"))) or metadata.get("answer_rule") or "exact")


def _prefix(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    return PREFIXES.get(str(metadata.get("prediction_template")), ())


def _found(completion: str, metadata: Mapping[str, Any]) -> str | None:
    key = str(metadata["dataset_key"])
    if key not in STATED_AS and metadata.get("prediction_template") in ("zs", "zs_cot"):
        return completion.strip().removesuffix(".") or None  # the whole of it answers the question for the answer
    return find_answer(completion, key if key in STATED_AS else _stated_rule(metadata), prefix=_prefix(metadata))


def _rationale(sample: Sample, metadata: Mapping[str, Any]) -> Row:
    """`cot`, and `all`: what the teacher read and wrote. Of a completion in one step the rationale ends before the answer's prefix."""
    if "reasoning_completion" in sample:
        told, read, end = sample["reasoning_completion"], sample.get("reasoning_prompt") or "", sample.get("reasoning_finish_reason")
    else:
        cuts = [sample["completion"].index(prefix) for prefix in _prefix(metadata) if prefix in sample["completion"]]
        if not _prefix(metadata):
            return {}
        told, read, end = sample["completion"][: min(cuts, default=None)], sample.get("prompt") or "", sample.get("finish_reason")
    cot = str(told) if not told or str(told)[0].isspace() else f" {told}"
    return {"cot": cot, "all": f"{read}{cot}", **({"cot_finish": end} if end in ENDS else {})}


def is_imported(row: Row) -> bool:
    """Whether `rationale_row` made it: then it carries the completion that it was."""
    return isinstance(row.get("metadata"), Mapping) and all(
        key in row for key in ("dataset_key", "question", "source_answer", "completion")
    )


def question_of(row: Row, where: str) -> str:
    """The question with its choices: as its source had it where a completion file was imported, else what stands in our prompt."""
    if is_imported(row):
        return str(row["question"])
    return template(str(row.get("template", "teacherlm"))).question_of(str(require(row, "prompt", where)))


def completion_dataset(rows: Iterable[tuple[str, Row]], given: Mapping[str, Any]) -> CompletionDataset:
    """`given` metadata wins over that of imported rows. Questions are numbered by their sample_index, else in their order.

    Raises: UserError for rows without rationale, rows of several files, and two rows of the same index.
    """
    data: dict[str, dict[int, Sample]] = {}
    numbers: dict[str, int] = {}
    metadata: dict[str, Any] | None = None
    rule = ""
    for where, row in rows:
        said = dict(row.get("metadata") or {})
        if metadata is not None and said != metadata:
            raise UserError(f"{where}: column 'metadata' is not that of the rows before; export each source by itself.")
        metadata, rule = said, str(row.get("answer_rule", ""))
        identity = str(require(row, "id", where))
        index = int(row["sample_index"]) if "sample_index" in row else numbers.setdefault(identity, len(numbers))
        sample = _sample(row, index, where)
        samples = data.setdefault(str(index), {})
        if sample["completion_index"] in samples:
            raise UserError(f"{where}: question {index} has completion_index {sample['completion_index']} already.")
        samples[sample["completion_index"]] = sample
    known = {key: given[key] if given.get(key) is not None else (metadata or {}).get(key) for key in METADATA}
    others = {key: value for key, value in (metadata or {}).items() if key not in METADATA}
    if known["dataset_key"] not in STATED_AS and rule:
        others["answer_rule"] = rule
    ordered = {index: [samples[place] for place in sorted(samples)] for index, samples in data.items()}
    return CompletionDataset({**known, **others}, ordered)


def _sample(row: Row, index: int, where: str) -> Sample:
    """A row of `enhance` becomes two steps: its rationale, and the answer that it led to."""
    head = {"sample_index": index, "completion_index": int(row.get("completion_index") or 0)}
    if is_imported(row):
        names = {"prompt": "source_prompt", "answer": "source_answer"}
        kept = {key: row[names.get(key, key)] for key in (*SAMPLE[2:4], *REASONING, *SAMPLE[4:]) if names.get(key, key) in row}
        return {**head, **kept, **(row.get("extra") or {})}
    cot = str(require(row, "cot", where) or "")
    read = str(row["all"]).removesuffix(cot) if row.get("all") else str(require(row, TEXT_COLUMN["cot"], where))
    return {
        **head,
        "question": question_of(row, where),
        "answer": str(require(row, "answer", where)),
        "reasoning_prompt": read,
        "reasoning_completion": cot,
        "reasoning_finish_reason": row.get("cot_finish", "stop"),
        "prompt": f"{read}{cot.rstrip()}{ASKING}",
        "completion": _stated(row),
        "finish_reason": "stop",
    }


def _stated(row: Row) -> str:
    """What the teacher said in a second step, or was found to say in one; a teacher that explained the right answer was given it."""
    if isinstance(row.get("conclusion"), str):
        return str(row["conclusion"])
    stated = row["found"] if "found" in row else row["answer"]
    return "" if stated is None else f" {stated}."
