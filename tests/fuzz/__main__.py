"""`python -m tests.fuzz --count 100000`: tries mutated inputs on every reader and prints what came of them.

A fault is anything but an answer or a message for users (see `tests.fuzz.trial`), and makes the exit code 1.
`--reader Nifti --only 1234 --keep FOLDER` makes one input again; `--replay FOLDER` reads saved ones, each a folder or a
file whose name begins with its reader's, as `--keep` writes them.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from tests.fuzz.campaign import Tally, files_of, trials
from tests.fuzz.readers import READERS
from tests.fuzz.trial import ANSWERED, FAULT, LOST, REFUSED, Reader, write_files

COLUMNS = (ANSWERED, REFUSED, LOST, FAULT)


def main() -> int:
    options = _options()
    os.environ["LOKY_MAX_CPU_COUNT"] = str(options.jobs)  # what joblib, and so isolation, counts as cores
    if options.replay:
        plan = _saved(options.replay)
    else:
        numbers = [options.only] if options.only is not None else range(options.first, options.first + options.count)
        plan = {READERS[name]: numbers for name in options.reader or READERS}
    heads = "".join(f"{name:>10}" for name in COLUMNS)
    print(f"{'reader':20}{'inputs':>9}{heads}{'per second':>12}", flush=True)
    outcomes = trials([(reader, which) for reader, inputs in plan.items() for which in inputs])
    faults = 0
    for reader, inputs in plan.items():
        tally, start = Tally(reader, options.keep), time.monotonic()
        for which, outcome in zip(inputs, islice(outcomes, len(inputs)), strict=True):
            tally.add(which, outcome)
        _print(tally, len(inputs) / (time.monotonic() - start))
        faults += tally.counts[FAULT]
    if options.only is not None and options.keep:
        for reader in plan:
            write_files(options.keep / f"{reader.name}__{options.only}", files_of(reader, options.only))
    return int(faults > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description="Tries mutated inputs on every reader.")
    parser.add_argument("--count", type=int, default=1000, help="inputs for each reader")
    parser.add_argument("--first", type=int, default=0, help="the number of the first one")
    parser.add_argument("--reader", action="append", choices=READERS, help="this one only; may be repeated")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this input only")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where an input of each fault is saved")
    parser.add_argument("--replay", type=Path, metavar="FOLDER", help="reads saved inputs instead of making them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at once")
    return parser.parse_args()


def _saved(folder: Path) -> dict[Reader, list[Path]]:
    plan: dict[Reader, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        reader = READERS.get(path.name.split("__")[0])
        if reader:
            plan.setdefault(reader, []).append(path)
        else:
            print(f"{path}: no reader of that name; left out", file=sys.stderr)
    return plan


def _print(tally: Tally, speed: float) -> None:
    counts: Sequence[int] = [tally.counts[name] for name in COLUMNS]
    print(f"{tally.reader.name:20}{sum(counts):9}" + "".join(f"{count:10}" for count in counts) + f"{speed:12.0f}")
    for sign, (which, message) in sorted(tally.faults.items()):
        print(f"    {sign}: {which}\n        {message.strip()[-600:].replace(chr(10), chr(10) + 8 * ' ')}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
