"""What of a run goes to a hub: the examples, and the last checkpoint of every student, each with its card."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.reporting.cards import CARD, REPOSITORY
from teacherlm.reporting.dataset_card import DATA_FILES, dataset_card
from teacherlm.reporting.model_card import label_of, model_card
from teacherlm.reporting.scores import Score
from teacherlm.reporting.student_cards import newest_scores
from teacherlm.store.adapters import find_adapter
from teacherlm.store.checkpoints import Checkpoint, read_checkpoint
from teacherlm.store.files import read_json
from teacherlm.store.manifest import JOB, MANIFEST, Manifest, begun_fingerprint, lineage, read_manifest, require_finished

What = Literal["dataset", "models", "all"]

STAGES: Mapping[What, tuple[str, ...]] = {"dataset": ("postprocess",), "models": ("finetune",), "all": ("postprocess", "finetune")}
EXPORTS = "exports"
MODEL_FILES = (
    *("*.safetensors", "*.safetensors.index.json", "config.json", "adapter_config.json", "generation_config.json"),
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt", "spiece.model", "*.jinja"),
)
ONLY_TO_GO_ON = ("optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state*.pth", "global_step*", "latest", "zero_to_*.py")
"""State of a training; it stays here."""
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
"""Loading one of these runs what is in it."""


@dataclass(frozen=True)
class Upload:
    """One repository."""

    name: str
    kind: Literal["dataset", "model"]
    source: Path
    files: Mapping[str, Path]
    """Path in the repository -> file here; the card is not among them."""
    card: str

    @property
    def sizes(self) -> dict[str, int]:
        return {CARD: len(self.card.encode()), **{name: path.stat().st_size for name, path in self.files.items()}}


def plan_uploads(run: Path, to: str, what: What = "all") -> list[Upload]:
    """Raises: UserError for a name the hub would not take, and for what is unfinished, out of date, torn or not safe to load."""
    _check_name(to)
    outputs = find_outputs(run, STAGES[what])
    if not outputs:
        wanted = {"dataset": "examples (of postprocess)", "models": "a student (of finetune)"}
        raise UserError(f"{run}: holds no {wanted.get(what, 'examples (of postprocess) and no student (of finetune)')}.")
    for output in outputs:
        require_current(output)
    known = {output: manifest for output in outputs if (manifest := read_manifest(output)) is not None}
    names = _names(run, to, known)
    for name in names.values():
        _check_name(name)
    datasets = {output: name for output, name in names.items() if known[output].stage == "postprocess"}
    uploads = [_dataset(output, name, known[output]) for output, name in datasets.items()]
    students = {output: name for output, name in names.items() if output not in datasets}
    scores = newest_scores([output for output in find_outputs(run, ("report",)) if read_manifest(output) is not None])
    return uploads + [
        _model(output, name, known[output], _taught_by(known[output], datasets), scores.get(known[output].fingerprint, ()))
        for output, name in students.items()
    ]


def find_outputs(run: Path, stages: Sequence[str]) -> list[Path]:
    """Outputs of these stages in a run's folder (or the folder itself), begun ones too; what lies in hidden folders is not the run's."""
    if not run.is_dir():
        raise UserError(f"{run}: no such folder.")
    marked = {path.parent for name in (JOB, MANIFEST) for path in run.rglob(name)}
    visible = (folder for folder in sorted(marked) if not any(part.startswith(".") for part in folder.relative_to(run).parts))
    return [folder for folder in visible if _stage_of(folder) in stages]


def _stage_of(folder: Path) -> str:
    mark = next(folder / name for name in (JOB, MANIFEST) if (folder / name).is_file())
    found = read_json(mark)
    return str(found.get("stage", "")) if isinstance(found, dict) else ""


def require_current(output: Path) -> None:
    """Raises: UserError unless the output and all behind it are finished and were made from one another as they are now."""
    require_finished(output)
    for place, manifest in lineage(output):
        for name, mark in manifest.inputs.items():
            now = read_manifest(Path(name)) if Path(name).exists() else None
            if now is None and Path(name).exists() and begun_fingerprint(Path(name)) is not None:
                raise UserError(f"{place}: is out of date: {name}, which it was made from, is being made anew.")
            if now is not None and now.fingerprint != mark:
                raise UserError(f"{place}: is out of date: {name} has been made anew since; run the pipeline again before you push.")


def _names(run: Path, to: str, known: Mapping[Path, Manifest]) -> dict[Path, str]:
    """The examples have the name itself where there are no others; every student has its labels behind it."""
    labels = {output: label_of(output, manifest) for output, manifest in known.items()}
    stages = Counter(manifest.stage for manifest in known.values())
    counted = Counter((known[output].stage, label) for output, label in labels.items())
    names = {}
    for output, label in labels.items():
        if known[output].stage == "postprocess" and stages["postprocess"] == 1:
            names[output] = to
            continue
        unique = label if counted[known[output].stage, label] == 1 else "-".join(output.relative_to(run).parts)
        names[output] = f"{to}-{re.sub(r'[^A-Za-z0-9._-]+', '-', unique).strip('-.')}"
    return names


def _check_name(name: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise UserError(f"--to {name}: {' '.join(str(error).split())}") from None
    if "/" not in name:
        raise UserError(f"--to {name}: expected owner/name, such as my-lab/creak-rationales.")


def _taught_by(student: Manifest, datasets: Mapping[Path, str]) -> str:
    inputs = {Path(name).resolve() for name in student.inputs}
    return next((name for output, name in datasets.items() if output.resolve() in inputs), "")


def _dataset(output: Path, name: str, own: Manifest) -> Upload:
    """A card that its owner has edited goes as it is."""
    card = output / CARD
    text = card.read_text(encoding="utf-8") if card.is_file() else dataset_card(output, own)
    paths = [*sorted(output.glob(DATA_FILES)), *sorted(path for path in (output / EXPORTS).rglob("*") if path.is_file())]
    files = {path.relative_to(output).as_posix(): path for path in paths}
    return Upload(name, "dataset", output, files, text.replace(REPOSITORY, name))


def _model(output: Path, name: str, own: Manifest, dataset: str, scores: Sequence[Score]) -> Upload:
    checkpoint = last_checkpoint(output)
    _require_base_for_all(checkpoint.path)
    files = dict(_model_files(checkpoint.path))
    if not any(path.suffix == ".safetensors" for path in files.values()):
        raise UserError(f"{checkpoint.path}: holds no weights in safetensors; nothing else is uploaded.")
    card = model_card(checkpoint, own, name.partition("/")[2], dataset, scores)
    return Upload(name, "model", checkpoint.path, files, card.replace(REPOSITORY, name))


def _require_base_for_all(folder: Path) -> None:
    """Raises: UserError for an adapter over a model that lies on this machine: others could not load it, and would read where it lies."""
    adapter = find_adapter(str(folder))
    if adapter is not None and Path(adapter.base).exists():
        raise UserError(
            f"{folder}: is an adapter over {adapter.base}, which only you have; `teacherlm merge` it, and upload the whole model."
        )


def last_checkpoint(output: Path) -> Checkpoint:
    """Raises: UserError where there is none, and where the last one is torn: an earlier one is not what was trained."""
    numbered = [
        (int(folder.name.removeprefix("checkpoint-")), folder) for folder in output.glob("checkpoint-*") if folder.name[11:].isdigit()
    ]
    if not numbered:
        raise UserError(f"{output}: holds no checkpoint.")
    folder = max(numbered)[1]
    checkpoint = read_checkpoint(folder)
    if checkpoint is None:
        raise UserError(f"{folder}: is torn (its files are not those that were written); it is not uploaded.")
    return checkpoint


def _model_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Raises: UserError for a pickle that is not the state of a training."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        inside = path.relative_to(folder)
        if any(fnmatch(inside.parts[0], pattern) for pattern in ONLY_TO_GO_ON):
            continue
        if path.suffix in PICKLES:
            raise UserError(f"{path}: is a pickle, which runs code when it is loaded; only safetensors are uploaded.")
        if any(fnmatch(inside.as_posix(), pattern) for pattern in MODEL_FILES):
            yield inside.as_posix(), path


def described(uploads: Sequence[Upload], private: bool) -> Iterator[str]:
    """Every file with its size, then the card."""
    for upload in uploads:
        sizes = upload.sizes
        yield f"{upload.kind} {upload.name} ({'private' if private else 'public'}), from {upload.source}"
        yield from (f"{size:>14,} {name}" for name, size in sizes.items())
        yield f"{sum(sizes.values()):>14,} bytes in {len(sizes)} files"
        yield f"--- {CARD} of {upload.name}"
        yield upload.card
        yield f"--- end of {CARD}"


def push(uploads: Sequence[Upload], private: bool) -> None:
    """One commit to each repository, made where it is missing. The token comes from the environment or a login, and is said nowhere.

    Raises: UserError where there is no network or no token, and with the hub's own words where it refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token, is_offline_mode

    if is_offline_mode():
        raise UserError("HF_HUB_OFFLINE is set: nothing can be uploaded; unset it, or look with --dry-run.")
    token = get_token()
    if not token:
        raise UserError("there is no token for the hub: set HF_TOKEN, or log in with `hf auth login`.")
    api = HfApi(token=token)
    for upload in uploads:
        if token in upload.card:
            raise UserError(f"{upload.source}: the card holds your token for the hub; take it out of {CARD}.")
        card = CommitOperationAdd(CARD, upload.card.encode())
        operations = [card, *(CommitOperationAdd(name, str(path)) for name, path in upload.files.items())]
        try:
            api.create_repo(upload.name, repo_type=upload.kind, private=private, exist_ok=True)
            done = api.create_commit(upload.name, operations, commit_message="Written by teacherlm", repo_type=upload.kind)
        except Exception as error:  # every library that may carry its requests raises its own
            reason = " ".join(str(error).split()).replace(token, "***") or type(error).__name__
            raise UserError(f"{upload.name}: the hub did not take it ({reason}).") from None
        say(f"push: {upload.kind} {upload.name}: {done.commit_url}")
