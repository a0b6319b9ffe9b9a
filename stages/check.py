"""Stage check: every key of params.yaml is known, present and of the right type and range.

Reads params.yaml. Writes data/params.checked, whose content never changes: the stages that wait for it run after this
one, and not again because of it.
Run: dvc repro check.
"""

from pathlib import Path

from btlib.core.runtime.artifacts import write_json
from btlib.core.runtime.stage import run
from btlib.core.settings.schema import read_params


def main(params: Path, out: Path) -> None:
    read_params(params)
    write_json(out, {"valid": True})


if __name__ == "__main__":
    run(main)
