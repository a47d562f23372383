"""Under which licence a base model stands, as far as its own folder (or what of a hub lies on this disk) says."""

import re
from pathlib import Path

from teacherlm.reporting.cards import CARD, HUB_LICENCES
from teacherlm.store.fingerprint import is_hub_id

UNKNOWN = "unknown"
FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING")
TEXTS = {
    "apache-2.0": r"Apache License\s+Version 2\.0",
    "mit": r"\bMIT License|Permission is hereby granted, free of charge",
    "gpl-3.0": r"GNU GENERAL PUBLIC LICENSE\s+Version 3",
    "bsd-3-clause": r"Redistributions? of source code must retain[\s\S]*Neither the name",
    "llama3.1": r"LLAMA 3\.1 COMMUNITY LICENSE",
    "llama3": r"META LLAMA 3 COMMUNITY LICENSE",
    "llama2": r"LLAMA 2 COMMUNITY LICENSE",
    "gemma": r"Gemma Terms of Use",
}
"""By what their texts begin with."""
BEGINNING = 4000


def base_licence(model: str) -> str:
    """`license` as a hub spells it; "unknown" where nothing says so. Asks no network: a hub model's card counts if it was downloaded."""
    place = Path(model)
    files = [place / CARD, place.parent / CARD] if place.exists() else _cached(model)
    for card in files:
        if card.is_file() and (found := _of_card(card.read_text(encoding="utf-8", errors="replace"))):
            return found
    texts = [place / name for name in FILES] if place.is_dir() else []
    return next((_of_text(text.read_text(encoding="utf-8", errors="replace")) for text in texts if text.is_file()), UNKNOWN)


def _cached(model: str) -> list[Path]:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, CARD) if is_hub_id(model) and ":" not in model else None
    return [Path(found)] if isinstance(found, str) else []


def _of_card(text: str) -> str:
    """Of its front matter. "" where it says none, or nothing that a hub knows."""
    import yaml

    front = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    try:
        values = yaml.safe_load(front[1]) if front else None
    except yaml.YAMLError:
        return ""
    said = values.get("license") if isinstance(values, dict) else None
    name = str(said[0] if isinstance(said, list) and said else said or "").lower()
    return name if name in HUB_LICENCES.split() else ""


def _of_text(text: str) -> str:
    return next((name for name, pattern in TEXTS.items() if re.search(pattern, text[:BEGINNING])), "other")
