"""From what a model answered to one row per item and one number per metric, by the task's own rules."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from teacherlm.errors import UserError
from teacherlm.evaluation.loading import LoadedTask
from teacherlm.evaluation.measured import Metric
from teacherlm.prompts import said_answer


class Written(str):
    """A text that a model wrote, with how it ended, for tasks of ours that measure that; other tasks see a text."""

    finish: str


BOOTSTRAP_ITERATIONS = 1000
"""For metrics without a closed standard error (F1, BLEU, ...)."""


@dataclass(frozen=True)
class Answer:
    """What a model returned for one request: the text it wrote, or a log-likelihood (and whether it is the greedy choice)."""

    value: Any
    tokens: int = 0
    """Tokens generated."""
    begun: str = ""
    """The end of the request's context that was given to an encoder-decoder as the beginning of its own answer."""
    finish: str = ""
    """How a text ended, where that is known: by itself (`stop`), or cut off (`length`)."""

    @property
    def response(self) -> Any:
        """What a task's own rules are given."""
        if not self.finish or not isinstance(self.value, str):
            return self.value
        written = Written(self.value)
        written.finish = self.finish
        return written


def score(
    loaded: LoadedTask, answers: Sequence[Sequence[Answer]], with_errors: bool = True
) -> tuple[list[dict[str, Any]], tuple[Metric, ...]]:
    """Rows of predictions.jsonl, and the metrics. `answers[i]` are those of the task's i-th request, one per repeat.

    `with_errors`: with the metrics' standard errors, some of which take seconds.
    Raises: UserError for a task that scores nothing, and for a metric that is not a number.
    """
    task = loaded.task
    for instance, given in zip(task.instances, answers, strict=True):
        instance.resps, instance.filtered_resps = [one.response for one in given], {}
    task.apply_filters()
    tokens = {id(instance): sum(one.tokens for one in given) for instance, given in zip(task.instances, answers, strict=True)}
    begun = {id(instance): given[0].begun for instance, given in zip(task.instances, answers, strict=True)}
    items = _by_item(task.instances)
    names = _names(loaded, items)
    rows, values = [], defaultdict(list)
    for doc_id, instances in items.items():
        scores: dict[str, Any] = {}
        for name in instances[0].filtered_resps:
            found = task.process_results(instances[0].doc, [instance.filtered_resps[name] for instance in instances])
            scores |= {_metric_name(metric, name): _plain(value) for metric, value in found.items()}
        for metric, value in scores.items():
            values[metric].append(value)
        row = _row(loaded, names[doc_id], instances, scores, sum(tokens[id(instance)] for instance in instances))
        rows.append({**row, **({"begun": begun[id(instances[0])]} if begun[id(instances[0])] else {})})
    if not values:
        raise UserError(f"task '{loaded.name}': its scores name no metric (metric_list, process_results).")
    return rows, tuple(_metric(loaded, name, found, [*names.values()], with_errors) for name, found in values.items())


def predicted_examples(loaded: LoadedTask, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tk-Instruct's predict file: every row as the task reads it, and under `prediction` the text written for it (a list where the
    task asks several times). None of a task where nothing is written.
    """
    docs = {instance.doc_id: instance.doc for instance in loaded.task.instances if instance.request_type == "generate_until"}
    return [{**_as_json(docs[row["doc_id"]]), "prediction": row["output"]} for row in rows if row["doc_id"] in docs]


def _as_json(doc: Mapping[str, Any]) -> dict[str, Any]:
    """Dates and the like, which a task's rows may hold, become text."""
    told: dict[str, Any] = json.loads(json.dumps(doc, default=str))
    return told


def _by_item(instances: Sequence[Any]) -> dict[int, list[Any]]:
    """Requests of one question, in the order of its choices."""
    items: dict[int, list[Any]] = defaultdict(list)
    for instance in instances:
        items[instance.doc_id].append(instance)
    return {doc_id: sorted(found, key=lambda instance: int(instance.idx)) for doc_id, found in items.items()}


def _names(loaded: LoadedTask, items: Mapping[int, list[Any]]) -> dict[int, str]:
    """The rows' own ids, unless two rows share one: then their numbers."""
    own = {doc_id: loaded.item_id(instances[0].doc, doc_id) for doc_id, instances in items.items()}
    return own if len(set(own.values())) == len(own) else {doc_id: str(doc_id) for doc_id in own}


def _metric_name(metric: str, filter_name: str) -> str:
    """`acc`, or `exact_match,strict-match` where a task reads the text in several ways."""
    return metric if filter_name == "none" else f"{metric},{filter_name}"


def _plain(value: Any) -> Any:
    """numpy's numbers, which are not all numbers to python, as python's own."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _metric(loaded: LoadedTask, name: str, values: list[Any], items: Sequence[str], with_error: bool) -> Metric:
    """Raises: UserError for an aggregation that is none, and for what is not a number, naming the first item that scored none: of a mean
    anything else, of another aggregation, which may take texts and pairs, a NaN or an infinity.
    """
    from lm_eval.api.metrics import mean, stderr_for_metric

    aggregate = loaded.task.aggregation().get(name.split(",")[0], mean)
    if not callable(aggregate):
        raise UserError(f"task '{loaded.name}': metric '{name}' has no aggregation that lm-eval knows (metric_list, aggregation).")
    checked = [i for i, value in enumerate(values) if aggregate is mean or isinstance(value, float)]
    bad = next((i for i in checked if not _is_number(values[i])), None)
    value = _plain(aggregate(values)) if bad is None else values[bad]
    if not _is_number(value):
        where = f" (item '{items[bad]}')" if bad is not None and len(items) == len(values) else ""
        raise UserError(f"task '{loaded.name}': metric '{name}' is not a number, found {value!r}{where}.")
    stderr = stderr_for_metric(aggregate, BOOTSTRAP_ITERATIONS) if with_error and len(values) > 1 else None
    scale = getattr(loaded.task.aggregation(), "scale", 1)
    return Metric(name, float(value), float(stderr(values)) if stderr else None, len(values), scale, _higher_is_better(loaded.task, name))


def _higher_is_better(task: Any, name: str) -> bool | None:
    told = task.higher_is_better()  # a class of one's own may return anything
    found = told.get(name.split(",")[0]) if isinstance(told, Mapping) else None
    return found if isinstance(found, bool) else None


def _row(loaded: LoadedTask, item: str, instances: list[Any], scores: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    doc, output = instances[0].doc, _output(instances)
    choices = loaded.choices(doc) if isinstance(doc, Mapping) else ()
    return {
        "item": item,
        "doc_id": instances[0].doc_id,
        "prompt": instances[0].args[0],
        "gold": _gold(loaded.task, doc),
        "answer": _answer(loaded, instances, output),
        "output": output,
        "correct": {name: value for name, value in scores.items() if isinstance(value, (int, float))},
        "tokens": tokens,
        **({"choices": len(choices)} if choices else {}),
    }


def _output(instances: list[Any]) -> Any:
    """The text written (a list where the task asks several times), or the log-likelihood of every choice. Of a task in Python that asks
    in several ways all that came back."""
    kinds = {instance.request_type for instance in instances}
    if kinds == {"loglikelihood"}:
        return [float(instance.resps[0][0]) for instance in instances]
    if len(kinds) > 1:
        return [instance.resps[0] for instance in instances]
    first = [str(one) if isinstance(one, Written) else one for one in instances[0].resps]
    return first[0] if len(first) == 1 else first


def _gold(task: Any, doc: Any) -> Any:
    by_context = getattr(task, "multiple_input", False)  # each choice is a prompt of its own: the task's text says which is right
    gold = task.doc_to_text(doc) if by_context else task.doc_to_target(doc)
    if isinstance(gold, int) and task.get_config("doc_to_choice") is not None:
        return task.doc_to_choice(doc)[gold]
    if isinstance(gold, str) and not gold.strip() and isinstance(doc, Mapping):  # as the tasks of TeacherLM's code
        return doc.get("answer", gold)
    return gold


def _answer(loaded: LoadedTask, instances: list[Any], output: Any) -> Any:
    """What the model said, for people and for pairing: the choice, the answer found by the rule, else the whole text."""
    doc = instances[0].doc
    if isinstance(output, list) and output and isinstance(output[0], float):
        weighed = [instance.args[-1] for instance in instances]  # as a task in Python names its choices
        choices = weighed if loaded.task.get_config("doc_to_choice") is None else loaded.task.doc_to_choice(doc)
        if len(output) < 2:
            return None
        return choices[max(range(len(choices)), key=output.__getitem__)]
    rule = loaded.answer_rule(doc)
    if not rule or not isinstance(output, str):
        return output
    spec = doc.get("template") or next(iter(loaded.templates), "")
    return said_answer(output, str(spec), rule, loaded.choices(doc))
