"""Play many worlds: ``python -m tests.sim.run --seeds 1-200 [--world KIND] [--steps N] [--processes N]``.

Prints a line of totals, and for each seed that failed the command that plays it again; ends with 1 if one did.
``--world fleet --seed 17 --verbose`` plays one and prints all that happens in it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing import Pool

from tests.sim.chaos import FLEET, STEPS, TASKS, Report, play


def seeds_of(text: str) -> range:
    """``17`` or ``1-200``."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def attempt(seed: int, steps: int, echo: bool = False, kind: str = TASKS) -> Report:
    """Play one seed; a world that stalls or breaks in an unforeseen way is a failure like any other."""
    logging.lastResort = None
    try:
        return play(seed, kind=kind, steps=steps, echo=echo)
    except Exception as error:
        return Report(
            seed=seed, kind=kind, seconds=0.0, accepted=0, started=0, broken=f"{type(error).__name__}: {error}"
        )


def reports_of(seeds: Sequence[int], kind: str, steps: int, processes: int) -> Iterator[Report]:
    """Each seed's report, as they come."""
    played = partial(attempt, steps=steps, kind=kind)
    if processes == 1:
        yield from map(played, seeds)
        return
    with Pool(processes) as pool:
        yield from pool.imap_unordered(played, seeds, chunksize=1)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.run", description=__doc__)
    parser.add_argument("--seeds", "--seed", type=seeds_of, default=range(1, 201), help="17 or 1-200")
    parser.add_argument("--world", choices=(TASKS, FLEET), help="one kind of worlds only")
    parser.add_argument("--steps", type=int, default=STEPS, help="things that happen in each world")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="print all that happens, seed after seed")
    chosen = parser.parse_args(arguments)
    started = time.perf_counter()
    reports = []
    for kind in (chosen.world,) if chosen.world else (TASKS, FLEET):
        if chosen.verbose:
            reports += [attempt(seed, chosen.steps, echo=True, kind=kind) for seed in chosen.seeds]
        else:
            reports += reports_of(chosen.seeds, kind, chosen.steps, chosen.processes)
    failed = sorted((report for report in reports if report.broken), key=lambda report: (report.kind, report.seed))
    for report in failed:
        steps = "" if chosen.steps == STEPS else f" --steps {chosen.steps}"
        print(f"{report.kind} seed {report.seed}: {(report.broken or '').splitlines()[-1][:500]}")
        again = f"--world {report.kind} --seed {report.seed}{steps} --verbose"
        print(f"    {os.path.relpath(sys.executable)} -m tests.sim.run {again}")
    print(
        f"{len(reports)} worlds, {len(failed)} failed: {sum(r.accepted for r in reports)} tasks accepted, "
        f"{sum(r.started for r in reports)} started, {sum(r.seconds for r in reports) / 3600:.0f} virtual hours "
        f"in {time.perf_counter() - started:.1f} s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets must be the same in every run, or a seed would not say everything.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.sim.run", *sys.argv[1:]])
    sys.exit(main())
