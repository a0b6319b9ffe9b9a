"""`dvc exp run`, with the keys of `-S` checked first: DVC refuses a mistyped key too, but does not say which was meant.

All options are those of `dvc exp run`.
Run: python -m btlib.core.settings.experiment --queue -S 'mixup_alpha=0.1,0.2,0.4,0.6' evaluate
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from btlib.core.runtime.errors import InputError
from btlib.core.settings.schema import PARAMS_FILE, check_params, read_yaml


def check_keys(overrides: Sequence[str], params: Path = PARAMS_FILE) -> None:
    """Checks params.yaml as it would be with the keys of `key=value` overrides in it, whatever their values.

    Raises:
        InputError: a key is unknown; the nearest right one is named.
    """
    raw = read_yaml(params)
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~")
        *sections, last = key.split(".")
        section = raw
        for name in sections:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise InputError(f"-S {override}: '{key}' is not a key, since '{name}' is no section")
        section.setdefault(last, None)
    check_params(raw, "-S")


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-S", "--set-param", action="append", default=[])
    try:
        check_keys(parser.parse_known_args()[0].set_param)
    except InputError as error:
        sys.exit(f"\n{error}\n")
    os.execv(sys.executable, [sys.executable, "-m", "dvc", "exp", "run", *sys.argv[1:]])


if __name__ == "__main__":
    main()
