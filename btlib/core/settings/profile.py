"""Applies an overlay such as profiles/paper.yaml to params.yaml, or prints it as flags for `dvc exp run`.

An overlay holds only the keys that differ from the committed params.yaml. With `extends: plain_finetune.yaml` it lies
on top of another one in its folder.
"""

import re
import shlex
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.errors import InputError
from btlib.core.runtime.nested import flatten
from btlib.core.settings.schema import PARAMS_FILE, check_params, read_yaml

# text that DVC's override grammar reads as text without quotes
PLAIN = re.compile(r"(?!(null|true|false|nan|inf)$)[a-z_./][\w./+-]*", re.ASCII | re.IGNORECASE)


def apply(profile: Path, params: Path = PARAMS_FILE) -> int:
    """Writes the overlay's values into `params`; its comments, order and other values stay.

    Returns:
        How many keys the overlay holds.

    Raises:
        InputError: a file is missing or no YAML, or the result would not be valid; `params` is then unchanged.
    """
    yaml = YAML()
    yaml.width = 10_000
    overlay = read_overlay(profile)
    check_params(merged(read_yaml(params), overlay), f"{profile} on top of {params}")
    result = merged(yaml.load(params), overlay)
    with atomic_path(params) as temporary:
        yaml.dump(result, temporary)
    return len(flatten(overlay))


def flags(profile: Path, params: Path = PARAMS_FILE) -> str:
    """The overlay as `-S key=value` options, quoted for a POSIX shell; checked like `apply`."""
    overlay = read_overlay(profile)
    check_params(merged(read_yaml(params), overlay), f"{profile} on top of {params}")
    return " ".join(f"-S {shlex.quote(f'{key}={_hydra(value)}')}" for key, value in flatten(overlay).items())


def read_overlay(profile: Path, above: tuple[str, ...] = ()) -> dict:
    """The overlay's plain nested values, those of the overlay that it extends below them, and so on.

    Args:
        above: names of the overlays that extend this one.

    Raises:
        InputError: one of them is missing or not a mapping, or extends itself.
    """
    overlay = _read_mapping(profile)
    base = overlay.pop("extends", None)
    if base is None:
        return overlay
    if not base or Path(str(base)).name != base:
        raise InputError(f"{profile}: extends: should be the name of a file beside it, found {base!r}")
    above += (profile.name,)
    if base in above:
        raise InputError(f"{profile}: extends: '{base}' extends this file already")
    return merged(read_overlay(profile.with_name(base), above), overlay)


def _read_mapping(profile: Path) -> dict:
    overlay = read_yaml(profile)
    if not isinstance(overlay, Mapping):
        raise InputError(f"{profile}: should hold keys of params.yaml, found {overlay!r}")
    return dict(overlay)


def merged(base: MutableMapping, overlay: Mapping) -> MutableMapping:
    """`base` itself, with the overlay's values put in place, section by section."""
    for key, value in overlay.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), MutableMapping):
            merged(base[key], value)
        else:
            base[key] = value
    return base


def _hydra(value: Any) -> str:
    """A value in the override grammar that DVC reads after `-S key=`."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{','.join(_hydra(item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_hydra(item)}" for key, item in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not PLAIN.fullmatch(value):
        return '"' + value.replace('"', r"\"") + '"'
    return str(value)
