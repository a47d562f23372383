"""Time per row at 4,096 rows over that at 256, by the transformers engine with a real tiny model; one process, interleaved.

    python benchmarks/enhance_linear.py [--rows 4096] [--small 256] [--tokens 24] [--quick]

stories260k, CREAK prompts (kind cot), greedy, 24 new tokens: with so small a model what grows with the number of rows (sorting, grouping,
bookkeeping) would show. The small run is done before, amid and after the large one, each time on other rows of it. Aim: <= 1.1 x.
"""

import argparse

from real_work import DATA, Clock, creak_prompts

from teacherlm.engines.bodies.loading import load_model
from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.records import Request


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rows", type=int, default=4096)
    words.add_argument("--small", type=int, default=256)
    words.add_argument("--tokens", type=int, default=24)
    words.add_argument("--quick", action="store_true")
    given = words.parse_args()
    rows = 1024 if given.quick else given.rows
    model, tokenizer = load_model(str(DATA.parent / "models" / "stories260k"), "main", "float32", "cpu", False)
    requests = [(str(i), Request(prompt, given.tokens)) for i, prompt in enumerate(creak_prompts(rows))]
    small, large = Clock(), Clock()

    def run(part: list[tuple[str, Request]], clock: Clock) -> None:
        with clock.measure():
            assert sum(1 for _ in TransformersEngine(model, tokenizer, "stories").complete(iter(part))) == len(part)

    run(requests[:8], Clock())
    # Every sixteenth row: a run of neighbours could have other lengths than the whole.
    parts = [requests[start :: rows // given.small] for start in range(4)]
    run(parts[0], small), run(parts[1], small)
    run(requests, large)
    run(parts[2], small), run(parts[3], small)
    per_small, per_large = (clock.times(1 / count) for clock, count in ((small, sum(map(len, parts))), (large, rows)))
    print(f"{given.small} rows (mean of 4 runs) {per_small.seconds * 1e3:6.2f} ms a row  (CPU {per_small.cpu_seconds * 1e3:.2f})")
    print(f"{rows} rows              {per_large.seconds * 1e3:6.2f} ms a row  (CPU {per_large.cpu_seconds * 1e3:.2f})")
    ratio = per_large.seconds / per_small.seconds
    print(f"time per row             {ratio:.2f} x  (of CPU times {per_large.cpu_seconds / per_small.cpu_seconds:.2f} x; target <= 1.1)")


if __name__ == "__main__":
    main()
