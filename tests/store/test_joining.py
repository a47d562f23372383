import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teacherlm.errors import UserError
from teacherlm.store.joining import join

keys = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 2)), unique=True, min_size=1, max_size=8)


def write_rows(path: Path, found: list[tuple[str, int]]) -> Path:
    path.write_text("".join(f"\n{json.dumps({'id': name, 'completion_index': i, 'from': path.name})}\n" for name, i in found))
    return path


@settings(max_examples=50, deadline=None)
@given(st.lists(keys, min_size=1, max_size=3))
def test_every_key_of_every_file_comes_once_with_its_own_rows(files: list[list[tuple[str, int]]]):
    with tempfile.TemporaryDirectory() as folder:
        paths = [write_rows(Path(folder, f"{number}.jsonl"), found) for number, found in enumerate(files)]
        joined = list(join(paths))
    order = dict.fromkeys(key for found in files for key in found)
    assert len(joined) == len(order)
    for key, one in zip(order, joined, strict=True):
        for row, place, path, found in zip(one.rows, one.places, paths, files, strict=True):
            if key not in found:
                assert row is None and place == str(path)
                continue
            assert row == {"id": key[0], "completion_index": key[1], "from": path.name}
            assert place == f"{path}:{2 * found.index(key) + 2}"


def test_a_repeated_key_names_both_lines(tmp_path: Path):
    path = write_rows(tmp_path / "x.jsonl", [("a", 0), ("b", 0), ("a", 0)])
    for paths in ([path], [write_rows(tmp_path / "y.jsonl", [("a", 0)]), path]):
        with pytest.raises(UserError, match=r"x\.jsonl:6: id 'a' with completion_index 0 stands in line 2 already"):
            list(join(paths))
