"""Applies an overlay such as profiles/paper.yaml to params.yaml, or prints it as flags for `dvc exp run`.

An overlay holds only the keys that differ from the committed params.yaml. With `extends: plain_finetune.yaml` it builds
on another overlay in its folder.
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

# strings that need no quotes in DVC's override grammar
PLAIN = re.compile(r"(?!(null|true|false|nan|inf)$)[a-z_./][\w./+-]*", re.ASCII | re.IGNORECASE)


def apply(profile: Path, params: Path = PARAMS_FILE) -> int:
    """Writes the overlay's values into `params`, keeping its comments, order and other values.

    Returns:
        The number of keys in the overlay.

    Raises:
        InputError: a file is missing or not YAML, or the result would be invalid; `params` is then unchanged.
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
    """The overlay as `-S key=value` options, quoted for a POSIX shell; checked as in `apply`."""
    overlay = read_overlay(profile)
    check_params(merged(read_yaml(params), overlay), f"{profile} on top of {params}")
    return " ".join(f"-S {shlex.quote(f'{key}={_hydra(value)}')}" for key, value in flatten(overlay).items())


def read_overlay(profile: Path, above: tuple[str, ...] = ()) -> dict:
    """The overlay's nested values, merged over those of the overlays that it extends.

    Args:
        above: names of the overlays that extend this one.

    Raises:
        InputError: an overlay is missing, not a mapping, or extends itself.
    """
    overlay = _read_mapping(profile)
    base = overlay.pop("extends", None)
    if base is None:
        return overlay
    if not base or Path(str(base)).name != base:
        raise InputError(f"{profile}: extends: should be the name of a file beside it, found {base!r}")
    above += (profile.name,)
    if base in above:
        raise InputError(f"{profile}: extends: '{base}' already extends this file")
    return merged(read_overlay(profile.with_name(base), above), overlay)


def _read_mapping(profile: Path) -> dict:
    overlay = read_yaml(profile)
    if not isinstance(overlay, Mapping):
        raise InputError(f"{profile}: should hold keys of params.yaml, found {overlay!r}")
    return dict(overlay)


def merged(base: MutableMapping, overlay: Mapping) -> MutableMapping:
    """Merges the overlay into `base`, section by section, and returns `base`."""
    for key, value in overlay.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), MutableMapping):
            merged(base[key], value)
        else:
            base[key] = value
            _drop_comment_of_list(base, key)
    return base


def _drop_comment_of_list(base: MutableMapping, key: str) -> None:
    """Drops the comment between `key` and a list that was replaced: ruamel would write it before the new value."""
    comment = getattr(base, "ca", None)
    if comment is not None and len(comment.items.get(key, ())) > 3 and comment.items[key][3] is not None:
        del comment.items[key]


def _hydra(value: Any) -> str:
    """A value in DVC's override grammar, as it follows `-S key=`."""
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
