"""A pipeline file -> jobs."""

from pathlib import Path

import pytest
import yaml

from teacherlm.catalog import use_plugins
from teacherlm.errors import UserError
from teacherlm.pipeline import read_pipeline
from teacherlm.plan import Job, plan

PLUGINS = Path(__file__).parent / "plugins"


def planned(tmp_path: Path, steps: list, *assignments: str, **top: object) -> list[Job]:
    use_plugins([PLUGINS])
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump({"run_dir": str(tmp_path / "run"), "steps": steps, **top}, sort_keys=False))
    return plan(read_pipeline(path, list(assignments)), str(path))


def places(jobs: list[Job], tmp_path: Path) -> list[str]:
    return [str(job.place.relative_to(tmp_path / "run")) for job in jobs]


CHAIN = [
    {"number": {"value": 1, "matrix": {"value": [1, 2]}}},
    {"add": {"matrix": {"amount": [10, 20]}}},
    {"total": {}},
]


def test_a_matrix_maps_a_path_and_gathers_a_list_of_paths(tmp_path: Path) -> None:
    jobs = planned(tmp_path, CHAIN)
    assert places(jobs, tmp_path) == ["number/1", "number/2", "add/1-10", "add/1-20", "add/2-10", "add/2-20", "total"]
    assert jobs[-1].needs == tuple(job.place for job in jobs[2:6])
    assert jobs[2].entry == {"value": "1", "amount": "10"}


def test_labels_stand_for_whole_settings(tmp_path: Path) -> None:
    jobs = planned(
        tmp_path, [{"number": {"matrix": {"size": {"small": {"value": 1}, "big": {"value": 9, "seed": 2, "slurm": {"gpus": 8}}}}}}]
    )
    assert places(jobs, tmp_path) == ["number/small", "number/big"]
    assert (jobs[1].config.value, jobs[1].config.seed, jobs[1].slurm) == (9, 2, {"gpus": 8})


def test_an_axis_named_like_a_setting_may_bring_others_along(tmp_path: Path) -> None:
    jobs = planned(tmp_path, [{"number": {"matrix": {"value": {"a": {"value": 1, "seed": 4}, "b": 2}}}}])
    assert [(job.entry, job.config.value, job.config.seed) for job in jobs] == [({"value": "a"}, 1, 4), ({"value": "b"}, 2, 0)]


def test_a_reference_may_stand_nested(tmp_path: Path) -> None:
    steps = [
        {"number": {"value": 1}},
        {"number": {"name": "other", "value": 2}},
        {"add": {"input": "$number", "inner": {"model": "$other"}}},
    ]
    jobs = planned(tmp_path, steps)
    assert set(jobs[-1].needs) == {tmp_path / "run/number", tmp_path / "run/other"}


def test_the_seed_of_the_file_goes_to_steps_that_have_one_and_do_not_set_it(tmp_path: Path) -> None:
    jobs = planned(
        tmp_path, [{"number": {"value": 1}}, {"number": {"name": "own", "value": 1, "seed": 5}}, {"total": {"input": ["$own"]}}], "seed=3"
    )
    assert [getattr(job.config, "seed", None) for job in jobs] == [3, 5, None]


def test_runtime_settings_and_the_run_folder_stay_out_of_the_fingerprint(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    before = planned(here, CHAIN)
    after = planned(there, CHAIN, "number.cut=7")
    assert [job.fingerprint for job in before] == [job.fingerprint for job in after]


def test_a_changed_setting_changes_what_depends_on_it_and_nothing_else(tmp_path: Path) -> None:
    before = {job.label: job.fingerprint for job in planned(tmp_path, CHAIN)}
    after = {job.label: job.fingerprint for job in planned(tmp_path, CHAIN, "add.matrix={amount: [10, 30]}")}
    assert {label for label in after if before.get(label) != after[label]} == {"add/1-30", "add/2-30", "total"}


def test_a_default_written_out_changes_nothing(tmp_path: Path) -> None:
    assert planned(tmp_path, CHAIN)[2].fingerprint == planned(tmp_path, CHAIN, "add.inner={}")[2].fingerprint


def test_shards_are_extra_jobs_and_the_whole_job_needs_them(tmp_path: Path) -> None:
    jobs = planned(tmp_path, [{"number": {"value": 1}}, {"add": {"shards": 3}}])
    assert places(jobs, tmp_path) == ["number", "add/shards/0-of-3", "add/shards/1-of-3", "add/shards/2-of-3", "add"]
    assert jobs[-1].needs == tuple(job.place for job in jobs[1:4])
    assert jobs[-1].fingerprint == planned(tmp_path, [{"number": {"value": 1}}, {"add": {"shards": 16}}])[-1].fingerprint


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([{"numbr": {"value": 1}}], "No stage named 'numbr'. Did you mean 'number'?"),
        ([{"number": {"valeu": 1, "value": 1}}], "number: valeu: unknown key. Did you mean 'value'?"),
        ([{"number": {"value": "many"}}], "number: value: input should be a valid integer"),
        ([{"number": {}}], "number: value: is required"),
        ([{"add": {}}], "add.input: is required"),
        ([{"number": {"value": 1}}, {"add": {"input": "$numer"}}], "Did you mean 'number'?"),
        ([{"number": {"value": 1}}, {"number": {"value": 2}}], "two steps are named 'number'"),
        ([{"number": {"value": 1, "shards": 2}}], "cannot be cut into shards"),
        ([{"number": {"value": 1, "shards": 0}}], "expected a whole number from 1"),
        ([{"number": {"matrix": {"value": []}}}], "expected a list of values"),
        ([{"number": {"value": 1, "matrix": {"depth": [1]}}}], "is not a setting of number"),
        ([{"number": {"matrix": {"value": ["a/1", "b/1"]}}}], "valid integer"),
        (["number"], "expected one stage with its settings"),
        ([], "steps: is empty"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(tmp_path: Path, steps: list, words: str) -> None:
    with pytest.raises(UserError, match=r".") as refused:
        planned(tmp_path, steps)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_two_choices_of_one_label_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="both labelled '7'"):
        planned(tmp_path, [{"number": {"matrix": {"value": [7, "7"]}}}])


def test_an_unknown_step_in_an_assignment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No step named 'numbers'. Did you mean 'number'"):
        planned(tmp_path, CHAIN, "numbers.value=1")
