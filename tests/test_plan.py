"""A pipeline file -> jobs."""

from pathlib import Path

import pytest
import yaml

from teacherlm.catalog import use_plugins
from teacherlm.errors import UserError
from teacherlm.pipeline import read_pipeline
from teacherlm.plan import Job, plan
from teacherlm.resources import Resources

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
    assert (jobs[1].config.value, jobs[1].config.seed, jobs[1].slurm) == (9, 2, Resources(gpus="8"))


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


def star(**rounds: object) -> list:
    """Numbers as a chain of rounds: `ask` reads the outside number and the round before's `tune`, `tune` reads this round's `ask`."""
    steps = [
        {"add": {"name": "ask", "inner": {"model": "$tune"}}},
        {"add": {"name": "tune", "input": "$ask"}},
    ]
    return [{"number": {"value": 1}}, {"rounds": {"times": 3, "start": {"tune": "$number"}, "steps": steps, **rounds}}]


def reads(jobs: list[Job], tmp_path: Path) -> dict[str, set[str]]:
    return {job.label: {str(place.relative_to(tmp_path / "run")) for place in job.needs} for job in jobs}


def test_in_rounds_a_later_step_is_that_of_the_round_before_and_an_earlier_one_this_rounds(tmp_path: Path) -> None:
    jobs = planned(tmp_path, [*star(), {"add": {"name": "last"}}])
    assert reads(jobs, tmp_path) == {
        "number": set(),
        "round-1/ask": {"number"},
        "round-1/tune": {"round-1/ask"},
        "round-2/ask": {"number", "round-1/tune"},
        "round-2/tune": {"round-2/ask"},
        "round-3/ask": {"number", "round-2/tune"},
        "round-3/tune": {"round-3/ask"},
        "last/round-3": {"round-3/tune"},
    }
    assert places(jobs, tmp_path) == list(reads(jobs, tmp_path))
    assert [job.entry for job in jobs] == [{}, *({"round": str(n)} for n in (1, 1, 2, 2, 3, 3)), {"round": "3"}]


def test_a_step_may_go_on_from_itself_and_the_start_may_be_a_path_with_something_behind_it(tmp_path: Path) -> None:
    (tmp_path / "there/part").mkdir(parents=True)
    steps = [{"add": {"input": "$add/part"}}]
    jobs = planned(tmp_path, [{"rounds": {"times": 2, "start": {"add": str(tmp_path / "there")}, "steps": steps}}])
    assert [str(job.config.input.relative_to(tmp_path)) for job in jobs] == ["there/part", "run/round-1/add/part"]


def test_after_rounds_a_step_is_the_last_rounds_and_others_can_be_named(tmp_path: Path) -> None:
    after = [
        {"add": {"name": "last", "input": "$tune"}},
        {"add": {"name": "first", "input": "$tune@1"}},
        {"add": {"name": "each", "input": "$tune@all"}},
        {"total": {"input": ["$tune@2", "$ask@all"]}},
    ]
    found = reads(planned(tmp_path, [*star(), *after]), tmp_path)
    assert found["last/round-3"] == {"round-3/tune"}
    assert found["first/round-1"] == {"round-1/tune"}
    assert [label for label in found if label.startswith("each")] == ["each/round-1", "each/round-2", "each/round-3"]
    assert found["each/round-2"] == {"round-2/tune"}
    assert found["total"] == {"round-2/tune", "round-1/ask", "round-2/ask", "round-3/ask"}


def test_references_to_all_rounds_go_together_round_by_round(tmp_path: Path) -> None:
    after = {"add": {"name": "both", "input": "$tune@all", "inner": {"model": "$ask@all"}}}
    found = reads(planned(tmp_path, [*star(), after]), tmp_path)
    assert {label: needs for label, needs in found.items() if label.startswith("both")} == {
        f"both/round-{n}": {f"round-{n}/tune", f"round-{n}/ask"} for n in (1, 2, 3)
    }


def test_a_round_may_gather_what_all_rounds_so_far_have_made(tmp_path: Path) -> None:
    steps = [{"number": {"name": "draw", "value": 1}}, {"total": {"input": "$draw@all"}}]
    found = reads(planned(tmp_path, [{"rounds": {"times": 2, "steps": steps}}]), tmp_path)
    assert found["round-2/total"] == {"round-1/draw", "round-2/draw"}


def test_more_rounds_change_nothing_about_those_before(tmp_path: Path) -> None:
    two = {job.label: job.fingerprint for job in planned(tmp_path, star(times=2))}
    three = {job.label: job.fingerprint for job in planned(tmp_path, star(times=2), "rounds.times=3")}
    assert {label: mark for label, mark in three.items() if label in two} == two
    assert sorted(set(three) - set(two)) == ["round-3/ask", "round-3/tune"]


def test_what_a_round_changes_changes_the_rounds_after_it(tmp_path: Path) -> None:
    before = {job.label: job.fingerprint for job in planned(tmp_path, star())}
    after = {job.label: job.fingerprint for job in planned(tmp_path, star(), "tune.amount=5")}
    assert {label for label in after if before[label] != after[label]} == set(before) - {"number", "round-1/ask"}


def test_the_first_step_of_every_round_reads_the_step_before_the_rounds_unless_it_says_otherwise(tmp_path: Path) -> None:
    steps = [{"add": {}}, {"add": {"name": "more"}}]
    found = reads(planned(tmp_path, [{"number": {"value": 1}}, {"rounds": {"times": 2, "steps": steps}}, {"total": {}}]), tmp_path)
    assert found["round-2/add"] == {"number"}
    assert found["round-2/more"] == {"round-2/add"}
    assert found["total"] == {"round-2/more"}


def test_a_matrix_in_rounds_goes_on_label_by_label(tmp_path: Path) -> None:
    steps = [{"add": {"input": "$add", "matrix": {"seed": [0, 1], "size": {"small": {"amount": 1}, "big": {"amount": 9}}}}}]
    jobs = planned(tmp_path, [{"number": {"value": 1}}, {"rounds": {"times": 2, "start": {"add": "$number"}, "steps": steps}}])
    assert reads(jobs, tmp_path)["round-2/add/1-big"] == {"round-1/add/1-big"}
    assert len(jobs) == 9


def test_references_in_a_matrix_keep_their_label_from_round_to_round(tmp_path: Path) -> None:
    steps = [{"add": {"matrix": {"input": ["$add", "$number"]}}}]
    once = [{"number": {"value": 1}}, {"rounds": {"times": 1, "start": {"add": "$number"}, "steps": steps}}]
    assert places(planned(tmp_path, once), tmp_path)[1:] == ["round-1/add/add", "round-1/add/number"]


def test_two_groups_of_rounds_may_follow_each_other(tmp_path: Path) -> None:
    again = {"rounds": {"times": 2, "start": {"again": "$tune"}, "steps": [{"add": {"name": "again", "input": "$again"}}]}}
    found = reads(planned(tmp_path, [*star(times=2), again]), tmp_path)
    assert found["round-1/again"] == {"round-2/tune"}
    assert found["round-2/again"] == {"round-1/again"}


@pytest.mark.parametrize(
    ("rounds", "words"),
    [
        ({"times": 0}, "steps[1].rounds: times: input should be greater than or equal to 1, found 0."),
        ({"times": 2.5}, "steps[1].rounds: times: input should be a valid integer, found 2.5."),
        ({"time": 2}, "steps[1].rounds: time: unknown key. Did you mean 'times'?"),
        ({"steps": []}, "steps[1].rounds: steps: list should have at least 1 item"),
        ({"start": {}}, "steps[1].rounds.start.tune: is required (ask reads $tune of the round before, and the first has none)"),
        ({"start": {"tunes": "x"}}, "steps[1].rounds.start: No step of the rounds named 'tunes'. Did you mean 'tune'?"),
        ({"start": {"tune": "$numbers"}}, "rounds.start.tune: $numbers: No step before the rounds named 'numbers'. Did you mean 'number'?"),
        ({"start": {"tune": "$ask"}}, "rounds.start.tune: $ask: No step before the rounds named 'ask'."),
        ({"steps": [{"rounds": {"times": 1, "steps": []}}]}, "steps[1].rounds.steps[0].rounds: rounds cannot stand inside rounds."),
        ({"steps": [{"add": {"input": "$numbr"}}], "start": {}}, "add: $numbr: No step named 'numbr'. Did you mean 'number'?"),
        ({"steps": [{"add": {"input": "$number@1"}}], "start": {}}, "add: $number@1: No step before it named 'number@1'."),
        ({"steps": [{"number": {"value": 1}}], "start": {}}, "two steps are named 'number'"),
        ({"steps": [{"add": {"matrix": {"round": [1]}}}], "start": {}}, "add.matrix.round: rounds give their jobs this label"),
        ({"steps": [{"add": {"name": "round-1"}}], "start": {}}, "add.name: 'round-1' cannot name a step"),
        ({"steps": [{"add": {"name": "a@1"}}], "start": {}}, "add.name: 'a@1' cannot name a step"),
    ],
)
def test_rounds_that_cannot_be_done_are_refused_in_one_line(tmp_path: Path, rounds: dict, words: str) -> None:
    with pytest.raises(UserError, match=r".") as refused:
        planned(tmp_path, star(**rounds))
    assert words in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path / "pipeline.yaml"))
    assert "\n" not in str(refused.value)


def test_rounds_that_are_no_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"steps\[0\]\.rounds: expected keys and values, found 3"):
        planned(tmp_path, [{"rounds": 3}])


def test_a_round_that_was_not_done_is_no_reference(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"last: \$tune@4: No step before it named 'tune@4'. Did you mean 'tune@3'"):
        planned(tmp_path, [*star(), {"add": {"name": "last", "input": "$tune@4"}}])


def test_a_change_of_rounds_is_refused_where_there_are_two(tmp_path: Path) -> None:
    again = {"rounds": {"times": 2, "steps": [{"add": {}}]}}
    with pytest.raises(UserError, match="2 groups of rounds; change the one you mean there"):
        planned(tmp_path, [*star(), again], "rounds.times=3")


def test_two_axes_without_a_label_in_common_are_refused(tmp_path: Path) -> None:
    steps = [{"number": {"matrix": {"value": [1, 2]}}}, {"add": {"matrix": {"value": {"3": {}, "4": {}}}}}]
    with pytest.raises(UserError, match=r"add: \$number, matrix\.value have an axis in common, and no label of it"):
        planned(tmp_path, steps)
