"""One small harness for every benchmark: ours and its peers, interleaved in one run, as ratios.

A benchmark is a module of this package with a `BENCH` object; its file name is its name, the first line of its
docstring its title in `./scripts/bench --list`. All of one:

    \"\"\"Copying a mebibyte, beside memoryview.\"\"\"

    from collections.abc import Iterator
    from contextlib import contextmanager

    from scripts.benchmarks.contest import Bench, Contest, Effort, Figure, Goal, seconds

    @contextmanager
    def contest(effort: Effort) -> Iterator[Contest]:
        data = bytes(2**20)  # what is set up here is outside the measurement; what is torn down after `yield` too
        yield Contest(
            ours=seconds("copy", lambda: bytearray(data)),
            peers={"memoryview": seconds("copy", lambda: memoryview(data).tobytes())},
        )

    BENCH = Bench(figures=(Figure("copy", "s", goal=Goal(at_most=1.03)),), contest=contest)

A contestant is called once per round and returns its figures by name, so it may measure in its own way (a child
process, a mean over steps) and give several figures at once; `seconds` measures the whole call. Without peers, a goal
can only be absolute: `Goal(at_most=1.0, of="ours")`.
"""
