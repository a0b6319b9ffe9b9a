"""ImageNet weights from the Hugging Face hub: safetensors alone, each file pinned by its commit and SHA-256.

The first download of a network pins what came; from then on that very commit is asked for, and other bytes are refused.
huggingface_hub's own cache and variables apply: HF_HOME, HF_ENDPOINT (a mirror), HF_HUB_OFFLINE, HF_TOKEN.
"""

import re
from pathlib import Path
from typing import Annotated

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from timm.models import get_pretrained_cfg

from btlib.core.runtime.artifacts import read_json, sha256
from btlib.core.runtime.errors import InputError, brief, guarded

LOCK = "weights.lock.json"
FILE = "model.safetensors"
SHA256 = re.compile("[0-9a-f]{64}")
LOGIN = "Accept its terms on its page if it has any, and set HF_TOKEN"
NO_NETWORK = (
    "Connect this machine; or fill the cache on another one (HF_HOME, by the same stage), copy it here and set "
    "HF_HUB_OFFLINE=1"
)


class Pin(BaseModel):
    """What was fetched for a network; the repository as timm names it, such as timm/resnet50.a1_in1k."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    repository: str
    revision: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]  # the commit
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]  # of the file


def read_pins(path: Path) -> dict[str, Pin]:
    """Network -> pin from `weights.lock.json`; none if there is no such file. Raises InputError if it is invalid."""
    if not path.exists():
        return {}
    with guarded(str(path), "record of pinned weights", "take it from git again, or correct the entry"):
        return TypeAdapter(dict[str, Pin]).validate_python(read_json(path))


def fetch(name: str, pin: Pin | None) -> tuple[Path, Pin]:
    """A network's weights in huggingface_hub's cache, downloaded if they are not there, and their pin.

    Args:
        name: timm's name of the network.
        pin: what it must be; None at its first download, or to accept whatever the hub has now.

    Raises:
        InputError: they cannot be had, are damaged, or are not what was pinned.
    """
    repository = _repository(name)
    if pin and pin.repository != repository:
        raise InputError(
            f"{LOCK} has weights from {pin.repository}, but the installed timm names {repository}, which may need "
            f"other preprocessing. Install the timm of before (requirements.lock), or {_accept(name)}"
        )
    path = _download(name, repository, pin)
    # the cache keeps a file as snapshots/<commit>/<file>
    found = Pin(repository=repository, revision=path.parent.name, sha256=sha256(path))
    _check(name, path, found, pin)
    return path, found


def _repository(name: str) -> str:
    config = get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        raise InputError("timm knows no weights of it on the hub.")
    return config.hf_hub_id


def _download(name: str, repository: str, pin: Pin | None) -> Path:
    try:
        return Path(hf_hub_download(repository, FILE, revision=pin.revision if pin else None))
    except Exception as error:  # of many kinds, from the hub's client and from the HTTP client below it
        raise InputError(f"could not fetch {FILE} of {repository}: {_reason(name, error, pin)}.") from error


def _reason(name: str, error: Exception, pin: Pin | None) -> str:
    """Why a download failed, and the remedy."""
    if isinstance(error, LocalEntryNotFoundError) and error.__cause__:
        error = error.__cause__  # the request that failed, since the cache has no copy either
    response = getattr(error, "response", None)
    if isinstance(error, OfflineModeIsEnabled):
        return (
            f"HF_HUB_OFFLINE is set, and the cache {constants.HF_HUB_CACHE} does not hold it. Run once with a network, "
            "or copy a filled cache there"
        )
    if isinstance(error, RevisionNotFoundError) and pin:
        return f"the pinned commit {pin.revision} is no longer there. To have the newest one, {_accept(name)}"
    if isinstance(error, GatedRepoError):
        return f"the hub refuses access to it. {LOGIN}"
    if isinstance(error, RepositoryNotFoundError):
        return f"the hub has no such repository, or not without a login. {LOGIN}"
    if isinstance(error, FileMetadataError):
        return f"{constants.ENDPOINT} does not answer as a model hub, but perhaps as a proxy's page. {NO_NETWORK}"
    if isinstance(error, HfHubHTTPError) and response is not None:
        return _status(response.status_code)
    if isinstance(error, OSError) and "Consistency check" in str(error):
        return "the download was cut short, or is another file. Run the same command again"
    return f"{brief(f'{type(error).__name__}: {error}')}. Is there a network? {NO_NETWORK}"


def _status(code: int) -> str:
    if code in (401, 403):
        return f"the hub refuses access to it ({code}). {LOGIN}"
    if code == 404:
        return "the repository does not hold it, and btlib loads no other kind of file"
    return f"the hub answered with error {code}. Try again later"


def _check(name: str, path: Path, found: Pin, pin: Pin | None) -> None:
    """The bytes against the pin, and against the SHA-256 that the hub gave, under which the cache keeps large files."""
    stated = path.resolve().name
    if SHA256.fullmatch(stated) and stated != found.sha256:
        raise InputError(
            f"{path.resolve()}: damaged: its SHA-256 is {found.sha256}, but the hub stated the one in its name. "
            "Delete this file and run the same command again."
        )
    if pin and pin.sha256 != found.sha256:
        raise InputError(
            f"{path}: its SHA-256 is {found.sha256}, but {LOCK} has {pin.sha256} for the same commit {pin.revision}. "
            f"Delete the cached file and run the same command again; if the hub has changed it and you trust that, "
            f"{_accept(name)}"
        )


def _accept(name: str) -> str:
    return f"remove the entry '{name}' from {LOCK} and run `dvc repro weights`"
