"""The modalities that the user states for a case's volumes, in a case.json beside them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import RootModel, ValidationError

from btlib.core.runtime.artifacts import write_json
from btlib.core.runtime.errors import InputError, brief, guarded
from btlib.volumes.data.conventions import MODALITIES

NAME = "case.json"
MAX_BYTES = 16 * 2**10
FORM = f'expected {{"t1": "FILE", …}} with some of {", ".join(MODALITIES)}'


class Stated(RootModel[dict[Literal[MODALITIES], str]]):
    """Modality -> a file of the case, `file#k`, or the folder of a DICOM series."""


def stated_in(folder: Path) -> dict[str, str]:
    """Content of a folder's case.json; empty if there is none.

    Raises:
        InputError: the file is not of the expected form.
    """
    path = folder / NAME
    if not path.is_file():
        return {}
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES // 2**10} KiB; {FORM}")
    with guarded(str(path), "file"):
        content = path.read_bytes()
    return _checked(content, str(path))


def state(folder: Path, stated: Mapping[str, str]) -> None:
    """Writes case.json into a folder. Raises InputError if `stated` is not of the expected form."""
    write_json(folder / NAME, _checked(json.dumps(dict(stated)), NAME))


def _checked(content: str | bytes, name: str) -> dict[str, str]:
    try:
        return Stated.model_validate_json(content).root
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = " ".join(map(str, first["loc"]))
        raise InputError(f"{name}: {brief(first['msg'])} ({brief(where)}); {FORM}") from None
