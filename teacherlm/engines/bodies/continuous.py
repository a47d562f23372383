"""transformers' own continuous batching, for greedy texts without stop strings; everything else goes through our batches."""

from collections.abc import Iterator

from transformers import ContinuousBatchingConfig, GenerationConfig

from teacherlm import interrupt
from teacherlm.engines.bodies.decoding import Row
from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.errors import UserError
from teacherlm.records import Completion

IN_HAND = 512
"""Rows given to the manager at once: what is in hand is finished when a run is asked to stop."""
PAGE = 256
"""Tokens in a block of the manager's cache, which holds as many as a batch of ours may."""
PATIENCE = 1.0
"""Seconds between looks at whether the manager is still alive."""


class ContinuousEngine(TransformersEngine):
    """The manager keeps the model's paged cache for itself while it runs."""

    def _write(self, rows: list[Row]) -> Iterator[Completion]:
        sampling = rows[0].request.sampling
        if self.seq2seq or sampling.temperature or sampling.stop or rows[0].request.top_logprobs:
            yield from super()._write(rows)
            return
        for start in range(0, len(rows), IN_HAND):
            if interrupt.wanted():
                return
            with self._evaluating():
                yield from self._manage(rows[start : start + IN_HAND])

    def _manage(self, rows: list[Row]) -> Iterator[Completion]:
        by_key = {row.key: row for row in rows}
        asked = GenerationConfig(do_sample=False, max_new_tokens=1, eos_token_id=sorted(self.ends) or None, pad_token_id=self.reader.pad)
        longest = max(len(row.prompt) + row.budget for row in rows)
        paged = ContinuousBatchingConfig(num_blocks=-(-max(self.room.tokens, longest) // PAGE) + 1, page_size=PAGE)
        manager_of = self.model.continuous_batching_context_manager
        with manager_of(generation_config=asked, continuous_batching_config=paged, block=True, timeout=PATIENCE) as manager:
            for row in rows:
                manager.add_request(row.prompt, request_id=row.key, max_new_tokens=row.budget)
            while by_key:
                told = manager.get_result(timeout=PATIENCE)
                if told is None and not manager.is_running():
                    raise UserError("batching: continuous: transformers' manager stopped before all texts were done; use batching: own.")
                if told is not None and told.is_finished():
                    yield self._told(by_key.pop(told.request_id), list(told.generated_tokens), told.error)

    def _told(self, row: Row, tokens: list[int], error: str | None) -> Completion:
        if error:
            return Completion(row.key, "", "error", len(row.prompt), 0, error)
        ended = bool(tokens) and tokens[-1] in self.ends
        row.written, row.finish = (tokens[:-1] if ended else tokens), "stop" if ended else "length"
        return self._completion(row)
