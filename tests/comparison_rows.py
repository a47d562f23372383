"""A comparison as `report.json` holds it."""

from typing import Any


def row(**changes: Any) -> dict[str, Any]:
    found = {"student": "tiny", "task": "creak", "baseline": "text", "candidate": "cot_head", "difference": 0.712}
    found |= {"ci_low": 0.67, "ci_high": 0.75, "p_value": 0.0001, "p_adjusted": 0.0002, "n": 500, "unmatched": 0}
    return {**found, "baseline_seeds": [0, 1], "candidate_seeds": [0, 1], "task_hashes": ["a"], **changes}
