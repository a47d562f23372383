"""The real tiny model in a shape that vLLM runs on a CPU, and how it is run beside other tests."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

SMALL = {"gpu_memory": 0.2, "engine_args": {"enforce_eager": True, "kv_cache_memory_bytes": 1 << 28}}


def widen(stories: Path, folder: Path, width: int = 32) -> Path:
    """The same function with wider heads (zeros between): vLLM has no attention of width 8."""
    shutil.copytree(stories, folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    config = json.loads((stories / "config.json").read_text())
    narrow = config["head_dim"]
    by = width // narrow
    # The rotary pair (j, j + narrow / 2) keeps its frequency at (by * j, by * j + width / 2).
    places = torch.cat([torch.arange(narrow // 2) * by, torch.arange(narrow // 2) * by + width // 2])
    weights = load_file(stories / "model.safetensors")
    for name, weight in weights.items():
        turned = weight.T if name.endswith("o_proj.weight") else weight
        if name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight")):
            wide = torch.zeros(turned.shape[0] // narrow, width, turned.shape[1])
            wide[:, places] = turned.reshape(-1, narrow, turned.shape[1]) * (by**0.5 if ".q_proj" in name else 1)
            wide = wide.reshape(-1, turned.shape[1])
            weights[name] = (wide.T if turned is not weight else wide).contiguous()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps({**config, "head_dim": width}))
    return folder
