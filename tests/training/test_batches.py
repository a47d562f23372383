"""Every row once an epoch, in an order that only the seed decides."""

import pytest

from teacherlm.errors import UserError
from teacherlm.training.batches import MicroBatches, Rows, cut
from teacherlm.training.families import Causal

LENGTHS = [(7 * i) % 23 + 1 for i in range(37)]


def rows_of_steps(micro: int, processes: int, epoch: int = 0, seed: int = 0, group: bool = True) -> list[set[int]]:
    pieces = cut(8, micro, None, processes)
    streams = []
    for process in range(processes):
        batches = MicroBatches(LENGTHS, pieces, seed, process, group)
        batches.set_epoch(epoch)
        streams.append(list(batches))
        assert len(streams[-1]) == len(batches)
    steps = [set() for _ in range(-(-len(streams[0]) // pieces.accumulation))]
    for stream in streams:
        for at, rows in enumerate(stream):
            steps[at // pieces.accumulation] |= {i for i in rows if i >= 0}
    return steps


@pytest.mark.parametrize("group", [True, False])
def test_every_row_is_seen_once_an_epoch(group):
    steps = rows_of_steps(3, 1, group=group)
    assert sorted(i for step in steps for i in step) == list(range(37))
    assert [len(step) for step in steps] == [8, 8, 8, 8, 5]


@pytest.mark.parametrize(("micro", "processes"), [(1, 1), (3, 1), (2, 3), (4, 2), (8, 5)])
def test_the_rows_of_a_step_do_not_depend_on_how_it_is_cut_up(micro, processes):
    assert rows_of_steps(micro, processes) == rows_of_steps(8, 1)


def test_epochs_and_seeds_differ_and_repeat():
    assert rows_of_steps(8, 1) == rows_of_steps(8, 1)
    assert rows_of_steps(8, 1, epoch=1) != rows_of_steps(8, 1)
    assert rows_of_steps(8, 1, seed=1) != rows_of_steps(8, 1)


def test_a_process_without_rows_gets_one_without_labels():
    table = Rows([Causal().join([3], [4, 5])], Causal())
    batches = list(MicroBatches(table.lengths(), cut(4, 2, None, 2), seed=0, process=1))
    assert batches == [[~0]]
    assert table[~0]["labels"].tolist() == [-100, -100, -100]


def test_like_lengths_come_together():
    def padding(group: bool) -> int:
        batches = MicroBatches(LENGTHS, cut(8, None, None, 1), 0, 0, group)
        return sum(max(LENGTHS[i] for i in rows) - LENGTHS[j] for rows in batches for j in rows)

    assert padding(True) < padding(False) / 3


def test_numbers_that_contradict_the_batch_size_are_refused():
    with pytest.raises(UserError, match="8 x accumulation 1 x 1 process = 8 rows per step, but batch_size is 64: set batch_size to 8"):
        cut(64, 8, 1, 1)
    assert cut(64, 8, 1, 8).accumulation == 1
    assert cut(64, 8, None, 2).accumulation == 4
