"""`dvc exp run` with checked keys: DVC rejects mistyped keys too, but does not suggest the right one."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from btlib.core.runtime.errors import InputError
from btlib.core.settings.schema import PARAMS_FILE, check_params, read_yaml


def check_keys(overrides: Sequence[str], params: Path = PARAMS_FILE) -> None:
    """Checks the keys of `key=value` overrides against params.yaml, whatever their values.

    Raises:
        InputError: a key is unknown; the message suggests the closest one.
    """
    raw = read_yaml(params)
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~")
        *sections, last = key.split(".")
        section = raw
        for name in sections:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise InputError(f"-S {override}: '{key}' is not a key, since '{name}' is not a section")
        section.setdefault(last, None)
    check_params(raw, "-S")


def run_experiment(options: Sequence[str]) -> None:
    """Checks the options with `check_keys`, then replaces this process by `dvc exp run`."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-S", "--set-param", action="append", default=[])
    check_keys(parser.parse_known_args(options)[0].set_param)
    os.execv(sys.executable, [sys.executable, "-m", "dvc", "exp", "run", *options])
