"""How likely given continuations of a prompt are: one reading of the prompt for all of its options, many prompts at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from teacherlm import interrupt
from teacherlm.engines.bodies.batches import CausalModel, Seq2SeqModel
from teacherlm.engines.bodies.memory import Room, run_out_of_memory
from teacherlm.engines.bodies.prefixes import find_groups

SCORES_AT_ONCE = 2**26
"""Numbers: a large vocabulary makes the scores larger than the keys and values."""


@dataclass(eq=False)
class Choice:
    """One request: `options` are the tokens that may follow `context`."""

    key: str
    context: list[int]
    options: list[list[int]]
    logprobs: dict[int, float] = field(default_factory=dict)
    """Of the options weighed so far."""
    error: str = ""


@dataclass(frozen=True)
class Pair:
    """One option of a choice."""

    choice: Choice
    index: int

    @property
    def option(self) -> list[int]:
        return self.choice.options[self.index]

    @property
    def line(self) -> list[int]:
        """What has to be read: all but the last token, after which nothing is asked."""
        return (self.choice.context + self.option)[:-1]


def weigh(model: CausalModel | Seq2SeqModel, choices: Sequence[Choice], room: Room) -> Iterator[Choice]:
    """The choices, each when all of its options are weighed. Begins no batch once `interrupt.wanted()`."""
    for choice in choices:
        choice.logprobs |= {index: 0.0 for index, option in enumerate(choice.options) if not option}
    yield from (choice for choice in choices if len(choice.logprobs) == len(choice.options))
    waiting = _in_order([Pair(choice, index) for choice in choices for index, option in enumerate(choice.options) if option])
    vocabulary = int(model.model.get_output_embeddings().weight.shape[0])
    while waiting and not interrupt.wanted():
        count = _fitting(waiting, room, vocabulary)
        batch = waiting[:count]
        with torch.inference_mode():
            failure = run_out_of_memory(lambda batch=batch: _weigh(model, batch))  # type: ignore[misc]
        if failure and count > 1:
            room.shrink(count * max(len(pair.line) for pair in batch))
            continue
        if failure:
            batch[0].choice.error = f"out of memory: {failure}"
            yield batch[0].choice
        waiting = [pair for pair in waiting[count:] if not pair.choice.error]
        for choice in dict.fromkeys(pair.choice for pair in batch):
            if len(choice.logprobs) == len(choice.options) and not choice.error:
                yield choice


def _in_order(pairs: list[Pair]) -> list[Pair]:
    """The options of one prompt side by side, the longest first."""
    groups = [[pairs[row] for row in group.rows] for group in find_groups([pair.line for pair in pairs])]
    groups.sort(key=lambda group: -max(len(pair.line) for pair in group))
    return [pair for group in groups for pair in group]


def _fitting(pairs: list[Pair], room: Room, vocabulary: int) -> int:
    longest = scored = 0
    for count, pair in enumerate(pairs):
        longest, scored = max(longest, len(pair.line)), max(scored, len(pair.option))
        if count and not (room.fits(count + 1, longest) and (count + 1) * scored * vocabulary <= SCORES_AT_ONCE):
            return count
    return len(pairs)


def _weigh(model: CausalModel | Seq2SeqModel, pairs: list[Pair]) -> None:
    last = max(len(pair.option) for pair in pairs)
    if isinstance(model, CausalModel):
        lines = [pair.line for pair in pairs]
        scores, _ = model.read_lines(lines, last, shareable=[len(pair.choice.context) - 1 for pair in pairs])
        starts = [last - len(pair.option) for pair in pairs]
    else:
        encoded, mask = model.encode([pair.choice.context for pair in pairs])
        begun = [[model.start, *pair.option[:-1]] for pair in pairs]
        ids = torch.tensor([line + [model.pad] * (last - len(line)) for line in begun], device=mask.device)
        scores, starts = model.read(encoded, mask, ids), [0] * len(pairs)
    for row, (pair, start) in enumerate(zip(pairs, starts, strict=True)):
        chosen = torch.tensor(pair.option, device=scores.device)
        own = scores[row, start : start + len(chosen)]
        own = own.float() if own.dtype in (torch.float16, torch.bfloat16) else own
        pair.choice.logprobs[pair.index] = float(own.log_softmax(-1).gather(-1, chosen[:, None]).sum())
