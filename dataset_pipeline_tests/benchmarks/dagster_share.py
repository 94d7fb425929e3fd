"""How much of the demo's processor time is Dagster's own: its share, and the dearest parts of it.

    uv run python dataset_pipeline_tests/benchmarks/dagster_share.py [--folder FOLDER] [--rows 25]

The command `demo` runs as a user starts it, in a process that interrupts itself every few milliseconds of processor
time, of all its threads, and notes where its main thread is. Such a look belongs to whose code is innermost in it, the
project's or Dagster's: Dagster pays for its imports, for SQLAlchemy and for the event log that the project puts in the
place of Dagster's, and not for the bodies of assets that it calls. A look weighs the processor seconds since the one
before, as an interrupt waits until a long call into a library has ended.

The share is Dagster's processor seconds against all of the process and its subprocesses, from the start of Python to
the end of the command; the subprocesses draw the episodes, and Dagster starts none. Beside it stands the same of
seconds by the clock, in which waiting for the disk counts and drawing does not. On Linux and macOS only.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import CodeType, FrameType

import psutil

EVERY_S = 0.005
PACKAGE = Path(__file__).resolve().parents[2] / "dataset_pipeline"
ON_ITS_BEHALF = ("shared_log.py", "event_log.py", "dagster_internals.py", "printed.py")
DAGSTERS = frozenset({"dagster", "dagster_graphql", "dagster_pipes", "dagster_shared"})  # of those the demo runs
DRAWING = "write_show"
IMPORTS = "<frozen importlib._bootstrap_external>"


class Looks:
    """Seconds of the processors, and by the clock, by whose code was at work; of Dagster's the former within each of
    its functions."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        self.passed_s: defaultdict[str, float] = defaultdict(float)
        self.within_s: defaultdict[str, float] = defaultdict(float)
        self._before_s, self._before_at_s = 0.0, time.perf_counter()

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _look(self, number: int, frame: FrameType | None) -> None:
        now_s, at_s = time.process_time(), time.perf_counter()
        spent_s, self._before_s = now_s - self._before_s, now_s
        passed_s, self._before_at_s = at_s - self._before_at_s, at_s
        stack: list[CodeType] = []
        while frame is not None:
            stack.append(frame.f_code)
            frame = frame.f_back
        owners = [owner(code) for code in stack]
        whose = next(filter(None, owners), "others")
        if DRAWING in {code.co_name for code in stack}:
            whose = "drawing"
        self.spent_s[whose] += spent_s
        self.passed_s[whose] += passed_s
        if whose == "Dagster":
            inside = stack[: owners.index("the project")] if "the project" in owners else stack
            names = {named(code) for code, of in zip(inside, owners, strict=False) if of}
            if any(code.co_filename == IMPORTS for code in inside):
                names = {"imports"}
            for name in names:
                self.within_s[name] += spent_s


def owner(code: CodeType) -> str:
    """Whose code it is; empty for libraries, which work for whoever called them."""
    path = Path(code.co_filename)
    if any(part in DAGSTERS for part in path.parts[:-1]) or path.name in ON_ITS_BEHALF:
        return "Dagster"
    return "the project" if path.is_relative_to(PACKAGE) else ""


def dearest(seconds: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(seconds.items(), key=lambda it: -it[1])


def named(code: CodeType) -> str:
    return f"{'/'.join(Path(code.co_filename).parts[-2:])} {code.co_qualname}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="an empty folder that is kept afterwards")
    parser.add_argument("--rows", type=int, default=25, help="of the dearest functions of Dagster's")
    given = parser.parse_args()
    looks = Looks()
    with tempfile.TemporaryDirectory() as temporary:
        looks.start()
        from dataset_pipeline.cli.app import main as command

        sys.argv = ["dataset-pipeline", "demo", str(given.folder or Path(temporary) / "demo")]
        try:
            command()
        except SystemExit as ended:
            if ended.code:
                raise
        looks.stop()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    looks.spent_s["drawing"] += children.ru_utime + children.ru_stime
    total_s = time.process_time() + children.ru_utime + children.ru_stime
    drawn_s = looks.passed_s.pop("drawing", 0.0)
    print(f"\n{total_s:.1f} processor seconds and {sum(looks.passed_s.values()):.1f} s by the clock", end="")
    print(f", at a load of {psutil.getloadavg()[0]:.1f}:")
    for whose, spent_s in dearest(looks.spent_s):
        print(f"  {spent_s:7.1f} s {looks.passed_s.get(whose, drawn_s):7.1f} s {whose}")
    print("within Dagster, where one function may call another:")
    for name, spent_s in dearest(looks.within_s)[: given.rows]:
        print(f"  {spent_s:7.1f} s {name}")
    share, by_clock = looks.spent_s["Dagster"] / total_s, looks.passed_s["Dagster"] / sum(looks.passed_s.values())
    print(f"Dagster's share: {share:.1%}, by the clock {by_clock:.1%}")


if __name__ == "__main__":
    main()
