import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teacherlm.errors import UserError
from teacherlm.store.joining import join, stack

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


def write_prompts(path: Path, found: list[tuple[str, int]], prompt: str = "Q") -> Path:
    path.write_text("".join(f"{json.dumps({'id': name, 'completion_index': i, 'prompt': prompt + name})}\n" for name, i in found))
    return path


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(keys, min_size=1, max_size=2), min_size=1, max_size=3))
def test_stacked_groups_come_one_after_the_other_with_an_index_of_their_own(groups: list[list[list[tuple[str, int]]]]):
    with tempfile.TemporaryDirectory() as folder:
        paths = [[write_prompts(Path(folder, f"{g}-{n}.jsonl"), found) for n, found in enumerate(group)] for g, group in enumerate(groups)]
        stacked = list(stack(paths))
    expected = [(g, key) for g, group in enumerate(groups) for key in dict.fromkeys(key for found in group for key in found)]
    assert [one.group for one in stacked] == [g for g, _ in expected]
    given_out: dict[str, int] = {}
    for one, (_, (name, index)) in zip(stacked, expected, strict=True):
        number = given_out.setdefault(name, 0)
        assert one.completion_index == (index if len(groups) == 1 else number)
        given_out[name] += 1


def test_an_id_with_another_prompt_in_another_group_is_refused(tmp_path: Path):
    one, other = write_prompts(tmp_path / "x.jsonl", [("a", 0)]), write_prompts(tmp_path / "y.jsonl", [("b", 0), ("a", 0)], "Else")
    with pytest.raises(UserError, match=r"y\.jsonl:2: id 'a' has another prompt than in another input"):
        list(stack([[one], [other]]))
