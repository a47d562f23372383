"""Three kinds of rationale in one run against three runs of one kind each: the whole `enhance` command, and the engine alone.

    python benchmarks/enhance_kinds.py [--rows 96] [--repeats 2] [--seed 0] [--quick]

CREAK questions and the 25M-parameter Llama of enhance_throughput.py.
- command: `teacherlm enhance` in processes of its own, every text as long as the mean of the real rationales. Start, loading and reading
  are paid once instead of three times, and a question's tokens are computed once for its kinds. Aim: <= 0.75 x. What the start saves
  counts less the more questions there are.
- engine: the same requests in this process, lengths drawn from the real ones; only what sharing the question saves. Here a question has
  about 50 tokens and a rationale 66, and writing cannot be shared: the ratio is nearer to 1 than with longer questions or shorter texts.
The runs are interleaved, so that other work on the machine meets all. The texts must be the same.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from real_work import DATA, Clock, build_llama, creak_prompts, drawn_lengths, train_tokenizer

from teacherlm.engines.bodies.transformers import TransformersEngine
from teacherlm.prompts import KINDS
from teacherlm.records import Request
from teacherlm.store.files import read_jsonl

MEAN = 66
"""Tokens of a real rationale."""


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rows", type=int, default=96)
    words.add_argument("--repeats", type=int, default=2)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--quick", action="store_true")
    given = words.parse_args()
    rows, repeats = (32, 1) if given.quick else (given.rows, given.repeats)
    print(f"{rows} questions, {len(KINDS)} kinds, mean of {repeats}")
    by_command(rows, repeats)
    by_engine(rows, repeats, given.seed)


def by_command(rows: int, repeats: int) -> None:
    together, apart = Clock(), Clock()
    with tempfile.TemporaryDirectory() as folder:
        model, questions = Path(folder, "model"), Path(folder, "questions")
        build_llama().save_pretrained(model)
        train_tokenizer().save_pretrained(model)
        command("prepare", "creak", "--source", DATA / "creak", "--limit", rows, "--output", questions)

        def enhance(output: Path, kinds: str, clock: Clock) -> list[dict[str, str]]:
            teacher = ("--teacher", "transformers", "--set", f"teacher.model={model}")
            what = ("--kinds", kinds, "--max-new-tokens", MEAN, "--set", "stop=[]")
            children, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            command("enhance", "--input", questions, *teacher, *what, "--output", output)
            clock.seconds += time.perf_counter() - started
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            clock.cpu_seconds += used.ru_utime + used.ru_stime - children.ru_utime - children.ru_stime
            [written] = output.glob("*_*.jsonl")
            return [row for _, row in read_jsonl(written)]

        for repeat in range(repeats):
            one = enhance(Path(folder, f"one{repeat}"), ",".join(KINDS), together)
            three = {kind: enhance(Path(folder, f"{kind}{repeat}"), kind, apart) for kind in KINDS}
        pairs = [(row[kind], other[kind]) for kind in KINDS for row, other in zip(one, three[kind], strict=True)]
    report("command", together, apart, repeats, pairs)


def command(*words: object) -> None:
    done = subprocess.run([sys.executable, "-m", "teacherlm.cli", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)


def by_engine(rows: int, repeats: int, seed: int) -> None:
    tokenizer, model = train_tokenizer(), build_llama()
    prompts = creak_prompts(rows, KINDS)
    lengths = drawn_lengths(tokenizer, len(prompts), seed)
    requests = [(str(i), Request(prompt, length)) for i, (prompt, length) in enumerate(zip(prompts, lengths, strict=True))]

    def run(part: list[tuple[str, Request]], clock: Clock) -> dict[str, str]:
        engine = TransformersEngine(model, tokenizer, "random")
        with clock.measure():
            return {one.key: one.text for one in engine.complete(iter(part))}

    run(requests[:6], Clock())
    together, apart = Clock(), Clock()
    for _ in range(repeats):
        one = run(requests, together)
        three = {key: text for kind in range(len(KINDS)) for key, text in run(requests[kind :: len(KINDS)], apart).items()}
    report("engine", together, apart, repeats, [(one[key], three[key]) for key in three])


def report(label: str, together: Clock, apart: Clock, repeats: int, pairs: list[tuple[str, str]]) -> None:
    wall, cpu = together.seconds / apart.seconds, together.cpu_seconds / apart.cpu_seconds
    print(f"{label:<8} three runs {apart.seconds / repeats:7.2f} s, one run {together.seconds / repeats:7.2f} s")
    print(f"{label:<8} one run over three runs  {wall:.2f} x  (of CPU times {cpu:.2f} x)", end="")
    print(f"; texts differing {sum(one != other for one, other in pairs)} of {len(pairs)}", flush=True)


if __name__ == "__main__":
    main()
