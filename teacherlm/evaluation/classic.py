"""Tasks written as Python classes in the words of lm-eval before 0.4, which the paper's code documents; lm-eval 0.4 runs them through this.

    from teacherlm.evaluation.classic import Task, mean, rf

in place of `from lm_eval.base import Task, rf` and `from lm_eval.metrics import mean`. A class says where its data lies, asks with
`rf.loglikelihood(context, "A")`, and is given in `process_results` what it asked for: numbers, not lm-eval 0.4's pairs of a
log-likelihood and whether it is the greedy choice, among which `np.argmax(results)` would find the wrong one without a word.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from lm_eval.api import task as lm_eval_task
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import mean
from lm_eval.config.task import TaskConfig

from teacherlm.errors import UserError

__all__ = ["MultipleChoiceTask", "Request", "Task", "mean", "rf"]

PARTS = {"loglikelihood": 2}
"""Kinds of requests that are answered by several values: (log-likelihood, whether it is the greedy choice)."""
WRITTEN = ("greedy_until", "generate_until")
KINDS = ("loglikelihood", "loglikelihood_rolling", *WRITTEN)
READERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}


@dataclass(frozen=True)
class Request:
    """What a model is asked, and which part of its answer is wanted; None: all of it."""

    kind: str
    arguments: tuple[Any, ...]
    part: int | None = None

    def __iter__(self) -> Iterator["Request"]:
        """`log_likelihood, is_greedy = rf.loglikelihood(context, "A")`."""
        return (self[part] for part in range(self._parts()))

    def __getitem__(self, part: int) -> "Request":
        """`rf.loglikelihood(context, "A")[0]`. Raises: IndexError for an answer of one value."""
        return Request(self.kind, self.arguments, range(self._parts())[part])

    def _parts(self) -> int:
        if self.kind not in PARTS or self.part is not None:
            raise IndexError(f"rf.{self.kind} is answered by one value: there is nothing to unpack or index.")
        return PARTS[self.kind]


class RequestFactory:
    """`rf.loglikelihood(context, continuation)`, `rf.loglikelihood_rolling(text)`, `rf.greedy_until(context, ["\\n"])`."""

    def __getattr__(self, kind: str) -> Callable[..., Request]:
        if kind not in KINDS:
            raise AttributeError(f"rf.{kind}: there is no such request; there are rf.{', rf.'.join(KINDS)}.")
        return lambda *arguments: Request(kind, arguments)


rf = RequestFactory()


@dataclass
class Asked(Instance):  # type: ignore[misc]
    """A request as lm-eval 0.4 carries it."""

    part: int | None = None


class Task(lm_eval_task.Task):  # type: ignore[misc]
    """The document's Task: subclass it, say where the data lies, what is asked and how it is scored."""

    VERSION: int | str | None = 0
    DATASET_PATH: str | None = None
    DATASET_NAME: str | None = None
    dataset: Any
    _instances: Any
    _fewshot_docs: Any

    def __init__(
        self, data_dir: Any = None, cache_dir: Any = None, download_mode: Any = None, config: Mapping[str, Any] | None = None
    ) -> None:
        """`config`: what the task's YAML says. Of lm-eval's keys `task`, `num_fewshot`, `description` and `metadata` count."""
        told = {key: value for key, value in (config or {}).items() if key in ("task", "task_alias", "tag", "num_fewshot", "description")}
        metadata = dict((config or {}).get("metadata") or {})
        self._config = TaskConfig(**told, metadata=metadata, generation_kwargs={"until": []})
        self.DATASET_PATH = str(metadata["data"]) if metadata.get("data") else _found_beside(type(self), self.DATASET_PATH)
        self.fewshot_rnd: random.Random | None = None
        self._training_docs = self._fewshot_docs = self._instances = None
        self.download(data_dir, cache_dir, download_mode)

    def download(self, data_dir: Any = None, cache_dir: Any = None, download_mode: Any = None) -> None:
        """Sets `self.dataset`: a folder of `save_to_disk`, a file (.jsonl, .json, .csv, .parquet), or a dataset of the hub."""
        if not self.DATASET_PATH:
            raise UserError(f"{type(self).__name__} has no DATASET_PATH: name a folder, a file or a hub dataset, or write `download`.")
        path = Path(self.DATASET_PATH)
        if path.is_dir() and any((path / name).is_file() for name in ("dataset_dict.json", "dataset_info.json")):
            self.dataset = datasets.load_from_disk(self.DATASET_PATH)
        elif path.is_file() and path.suffix in READERS:
            self.dataset = datasets.load_dataset(READERS[path.suffix], data_files=self.DATASET_PATH, split="train")
        else:
            self.dataset = datasets.load_dataset(
                self.DATASET_PATH, self.DATASET_NAME, data_dir=data_dir, cache_dir=cache_dir, download_mode=download_mode
            )

    def fewshot_context(
        self, doc: Any, num_fewshot: int, provide_description: Any = None, rnd: Any = None, description: str | None = None, **_: Any
    ) -> str:
        """The description, so many solved questions, and the question. `rnd` draws them."""
        rnd = rnd or self.fewshot_rnd or random.Random(0)
        solved = [self.doc_to_text(shot) + self.doc_to_target(shot) for shot in self._shots(doc, num_fewshot, rnd)]
        said = description if description is not None else self.config.description
        return "\n\n".join([*([said] if said else []), *solved, self.doc_to_text(doc)])

    def _shots(self, doc: Any, count: int, rnd: random.Random) -> list[Any]:
        """Never the question itself."""
        if not count:
            return []
        if self._fewshot_docs is None:
            self._fewshot_docs = list(self.fewshot_docs())
        others = len(self._fewshot_docs) - (doc in self._fewshot_docs)
        if others < count:
            raise UserError(f"task '{self.task_name}': {count} shots asked for, but its data holds {others} rows to take them from.")
        drawn = self.fewshot_examples(k=count, rnd=rnd) if self.has_training_docs() else rnd.sample(self._fewshot_docs, count)
        if doc in drawn:
            drawn = [shot for shot in rnd.sample(self._fewshot_docs, count + 1) if shot != doc]
        return list(drawn[:count])

    def construct_requests(self, doc: Any, ctx: str, **_: Any) -> Any:
        """One request of `rf`, or a list of them. Write it."""
        raise NotImplementedError(f"{type(self).__name__} has no construct_requests: what is a model asked?")

    def build_all_requests(self, **options: Any) -> None:
        with self._asked_by_lm_eval():
            super().build_all_requests(**options)
        self._config.output_type = self._instances[0].request_type

    @contextmanager
    def _asked_by_lm_eval(self) -> Iterator[None]:
        """While this lasts, the two methods that lm-eval 0.4 calls with more arguments than a class knows take them."""
        called = {"fewshot_context": self._context, "construct_requests": self._requests}
        self.__dict__.update(called)
        try:
            yield
        finally:
            for name in called:
                del self.__dict__[name]

    def _context(self, doc: Any, num_fewshot: int = 0, system_instruction: str | None = None, **options: Any) -> str:
        """Of a chat the whole is one turn of the user's."""
        text = type(self).fewshot_context(self, doc=doc, num_fewshot=num_fewshot, rnd=self.fewshot_rnd, description=self.config.description)
        if options.get("apply_chat_template") and options.get("chat_template"):
            system = [{"role": "system", "content": system_instruction}] if system_instruction else []
            return str(options["chat_template"]([*system, {"role": "user", "content": text}]))
        return f"{system_instruction}\n\n{text}" if system_instruction else text

    def _requests(self, doc: Any, ctx: str, metadata: Any = (None, None, None), **_: Any) -> list[Asked]:
        asked = type(self).construct_requests(self, doc, ctx)
        return [self._asked(one, doc, idx, metadata) for idx, one in enumerate(asked if isinstance(asked, (list, tuple)) else [asked])]

    def _asked(self, request: Any, doc: Any, idx: int, metadata: Any) -> Asked:
        if not isinstance(request, Request):
            name = type(self).__name__
            raise TypeError(
                f"construct_requests of {name} returned {request!r}: expected requests of rf, such as rf.loglikelihood(ctx, 'A')."
            )
        kind, arguments = request.kind, request.arguments
        if kind in WRITTEN:
            kind, arguments = "generate_until", (arguments[0], self._settings(*arguments[1:]))
        return Asked(kind, doc, arguments, idx, metadata, part=request.part)

    def _settings(self, until: Any = ()) -> dict[str, Any]:
        """`["\\n"]`, or `{"until": ["\\n"], "max_length": 64}`; what was set for the whole run (`max_new_tokens`) is stronger."""
        settings = dict(until) if isinstance(until, Mapping) else {"until": [until] if isinstance(until, str) else list(until)}
        if "max_length" in settings:
            settings["max_gen_toks"] = settings.pop("max_length")
        return {**settings, **{key: value for key, value in (self.config.generation_kwargs or {}).items() if value}}

    def apply_filters(self) -> None:
        """Of each answer the part that was asked for."""
        for instance in self._instances or ():
            value = instance.resps[0]
            instance.filtered_resps["none"] = value if instance.part is None else value[instance.part]


class MultipleChoiceTask(Task):
    """Rows with `choices` (texts) and `gold` (the number of the right one); each choice is weighed behind the question."""

    def doc_to_target(self, doc: Any) -> str:
        return f" {doc['choices'][self._gold(doc)]}"

    def construct_requests(self, doc: Any, ctx: str, **_: Any) -> list[Request]:
        self._gold(doc)
        return [rf.loglikelihood(ctx, f" {choice}")[0] for choice in doc["choices"]]

    def process_results(self, doc: Any, results: list[float]) -> dict[str, float]:
        lengths = np.array([len(choice) for choice in doc["choices"]], dtype=float)
        best, best_by_length = int(np.argmax(results)), int(np.argmax(np.array(results) / lengths))
        return {"acc": float(best == doc["gold"]), "acc_norm": float(best_by_length == doc["gold"])}

    def _gold(self, doc: Any) -> int:
        """Raises: UserError where it is the number of no choice; it would count as wrong whatever is answered."""
        gold, count = doc.get("gold"), len(doc["choices"])
        if gold not in range(count):
            item = f", item '{doc['id']}'" if "id" in doc else ""
            raise UserError(f"task '{self.task_name}'{item}: its gold {gold!r} is none of the numbers of its choices (0 to {count - 1}).")
        return int(gold)

    def higher_is_better(self) -> dict[str, bool]:
        return {"acc": True, "acc_norm": True}

    def aggregation(self) -> dict[str, Any]:
        return {"acc": mean, "acc_norm": mean}


def _found_beside(cls: type, path: str | None) -> str | None:
    """A relative path that is not there from where we are, but is from the folder of the class' file."""
    from teacherlm.evaluation.task_files import file_of

    source = file_of(cls)
    if not path or source is None or Path(path).is_absolute() or Path(path).exists():
        return path
    beside = source.parent / path
    return str(beside) if beside.exists() else path
