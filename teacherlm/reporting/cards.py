"""What every card on a hub is made of: text that cannot become markup, licences as the hub spells them, the commands behind an output."""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from teacherlm.catalog import ChosenSettings, find
from teacherlm.errors import UserError
from teacherlm.parsing import parse_config
from teacherlm.stage import Settings, Stage
from teacherlm.store.manifest import Manifest, lineage

HERE = Path(__file__).parent
CARD = "README.md"
REPOSITORY = "ORG/NAME"
"""Stands in a card for the name it is uploaded under, which `push` puts in."""
LONGEST = 1500
"""Characters of a text of a model that a card shows."""
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))
MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-!|~$&:@=])")
SECRETS = (
    (re.compile(r"\b(hf_|sk-|ghp_|xox[abp]-)[\w-]{8,}"), "***"),
    (re.compile(r"://[^/\s@]+@"), "://***@"),
    (re.compile(r"(?i)((?:api[_-]?key|token|password|secret)[\"']?\s*[=:]\s*)[\"']?[^\s\"',}&]+"), r"\1***"),
)
HUB_LICENCES = """
apache-2.0 mit openrail openrail++ bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0
cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0
cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0
epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research
lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr
deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 gemma unknown other
"""
"""What the hub takes as `license`."""


@cache
def card_template(name: str) -> Template:
    environment = Environment(loader=FileSystemLoader(HERE), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(plain=plain, fenced=fenced)
    return environment.get_template(name)


def plain(text: Any) -> str:
    """On one line, every character that markdown or HTML could read as markup taken back."""
    return MARKUP.sub(r"\\\1", " ".join(str(text).split()))


def fenced(text: Any, language: str = "text", longest: int = LONGEST) -> str:
    """A block of code whose fence the text cannot close. A long text ends early and says so."""
    shown = re.sub(r"[^\S\n\t ]|[\x00-\x08\x0b-\x1f\x7f]", " ", str(text).replace("\r\n", "\n").replace("\r", "\n"))
    if len(shown) > longest:
        shown = f"{shown[:longest]} ... ({len(shown) - longest} more characters)"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return f"{fence}{language}\n{shown}\n{fence}"


def public(text: Any) -> str:
    """Without what looks like a secret, and without the folders and the name of the user."""
    shown = str(text)
    for secret, instead in SECRETS:
        shown = secret.sub(instead, shown)
    for folder, instead in ((Path.cwd(), "."), (Path.home(), "~")):
        if folder != folder.parent:
            shown = re.sub(rf"{re.escape(str(folder))}(?=\W|$)", instead, shown)
    return shown


def name_of(place: Any) -> str:
    """A path is known by its last part; a hub name as it is."""
    word = str(place)
    return Path(word).name if Path(word).is_absolute() or Path(word).exists() else word


def size_category(rows: int) -> str:
    return next((name for limit, name in SIZES if rows < limit), "n>10M")


def licence_fields(stated: Iterable[str]) -> dict[str, Any]:
    """`license` as the hub takes it; one that it does not know is `other` by name. Nothing where no source states one."""
    found = list(dict.fromkeys(filter(None, stated)))
    known = [one.lower() for one in found if one.lower() in HUB_LICENCES.split()]
    if not found:
        return {}
    if len(known) < len(found):
        return {"license": "other", "license_name": re.sub(r"[^\w.]+", "-", " and ".join(found).lower()).strip("-")}
    return {"license": known[0] if len(known) == 1 else known}


def history(paths: Sequence[Path]) -> list[Manifest]:
    """The jobs behind some outputs, in the order they were done; of the same second, what is farther away first."""
    found = {str(place): manifest for path in paths for place, manifest in lineage(path)}
    nearest_first = list(found.values())
    nearest_first.reverse()
    return sorted(nearest_first, key=lambda manifest: manifest.started)


def command_of(manifest: Manifest) -> str:
    """What a user would type to get the same, however it was started; as it was recorded where its settings are no longer understood."""
    try:
        stage: Stage = find("stages", manifest.stage)
        config = parse_config(stage.config, manifest.config)
    except UserError:
        return public(manifest.command)
    words = ["teacherlm", manifest.stage]
    for name, field in type(config).model_fields.items():
        value = _spelled(getattr(config, name))
        if field.is_required() or value != _spelled(field.get_default(call_default_factory=True)):
            words += _option(name, value)
    return public(shlex.join(words))


def _option(name: str, value: Any) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    if isinstance(value, list | dict):
        return ["--set", f"{name}={json.dumps(value, ensure_ascii=False)}"]
    return [flag, str(value)]


def _spelled(value: Any) -> Any:
    """Settings as a user would write them: the name alone where all else is default."""
    if isinstance(value, ChosenSettings):
        own = value.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)
        return {"name": value.name, **own} if own else value.name
    if isinstance(value, Settings):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, list | tuple):
        return [_spelled(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _spelled(one) for key, one in value.items()}
    return value if isinstance(value, bool | int | float) or value is None else str(value)


def said(value: Any) -> str:
    """A setting in a table."""
    return public(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
