"""The schema of params.yaml: every key, its type and range, and what is wrong with a file that breaks it."""

import difflib
import re
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML, YAMLError

from btlib.errors import InputError, listed

PARAMS_FILE = Path("params.yaml")

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, lt=10)]


class Section(BaseModel):
    """Refuses unknown keys and silent conversions such as '5e-05' (a string) to a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Clahe(Section):
    enabled: bool
    clip_limit: Annotated[float, Field(gt=0)]
    tiles: Count


class Phantom(Section):
    subjects_per_class: Annotated[int, Field(ge=3)]
    slices_per_subject: Count
    image_size: Annotated[int, Field(ge=32)]
    duplicates: Annotated[int, Field(ge=0)]


class Images(Section):
    source: Literal["phantom", "folder", "figshare"]
    root: str
    allow_unreadable: bool
    allow_label_conflicts: bool
    near_duplicate_distance: Annotated[int, Field(ge=0, le=64)]
    clahe: Clahe
    phantom: Phantom


class Weights(Section):
    source: Literal["wheel", "hub", "file", "none"]
    folder: str | None


class Model(Section):
    width: Count
    heads: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Augment(Section):
    flip_horizontal: Fraction
    flip_vertical: Fraction
    brightness: Fraction
    contrast: Fraction


class Training(Section):
    optimizer: Literal["adam", "adamw"]
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Literal["constant", "cosine", "one_cycle"]
    loss: Literal["focal", "cross_entropy"]
    unfreeze_fraction: Fraction
    train_batchnorm: bool
    patience: Count
    augment: Augment
    devices: Count
    precision: Literal["auto", "fp32", "bf16"]


class Evaluation(Section):
    bootstrap: Annotated[int, Field(ge=100)]
    ece_bins: Annotated[int, Field(ge=2)]


class GradCam(Section):
    images_per_class: Count


class Params(Section):
    """The whole of params.yaml; the keys at the top are the paper's Table 3."""

    seed: Annotated[int, Field(ge=0)]
    image_size: Annotated[int, Field(ge=32)]
    batch_size: Annotated[int, Field(ge=2)]
    lr_stage1: Rate
    lr_stage2: Rate
    mixup_alpha: Annotated[float, Field(ge=0)]
    focal_gamma: Annotated[float, Field(ge=0)]
    focal_alpha: Literal["inverse_frequency"] | Annotated[float, Field(gt=0)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    epochs_stage1: Annotated[int, Field(ge=0)]
    epochs_stage2: Annotated[int, Field(ge=0)]
    backbones: Annotated[list[str], Field(min_length=1, max_length=2)]
    fusion: Literal["none", "concatenation", "gated", "cross_attention", "gated_cross_attention", "pooled_attention"]
    split_by: Literal["group", "image"]
    images: Images
    weights: Weights
    model: Model
    training: Training
    evaluation: Evaluation
    gradcam: GradCam


def read_params(path: Path = PARAMS_FILE) -> Params:
    """Reads and checks the whole file.

    Raises:
        InputError: the file is missing, is no YAML, or has faults; all of them are named at once, unknown keys with
            the nearest right one.
    """
    return check_params(read_yaml(path), str(path))


def read_yaml(path: Path) -> Any:
    """Parses YAML 1.2, where `5e-05` is a number (YAML 1.1 parsers read it as text)."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; run from the project's root")
    try:
        return YAML(typ="safe", pure=True).load(path)
    except YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from error


def check_params(raw: Any, origin: str) -> Params:
    """Validates plain values read from `origin` (named in the error)."""
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"{origin}:\n{listed(_faults(error))}") from None
    faults = _cross_checks(params)
    if faults:
        raise InputError(f"{origin}:\n{listed(faults)}")
    return params


def known_keys(model: type[BaseModel] = Params) -> list[str]:
    """All dotted keys of the schema."""
    keys = []
    for name, field in model.model_fields.items():
        keys.append(name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += [f"{name}.{key}" for key in known_keys(field.annotation)]
    return keys


def _faults(error: ValidationError) -> list[str]:
    """One line per key, although pydantic reports every branch of a union by itself."""
    by_key: dict[str, list[dict]] = {}
    for fault in error.errors():
        by_key.setdefault(_key(fault["loc"]), []).append(fault)
    return [_fault(key, faults) for key, faults in by_key.items()]


def _key(loc: tuple[str | int, ...]) -> str:
    """The dotted key of a fault, without pydantic's names for the branches of a union."""
    keys = known_keys()
    for end in range(1, len(loc) + 1):
        key = ".".join(str(part) for part in loc[:end])
        if key in keys and not any(other.startswith(f"{key}.") for other in keys):
            return ".".join([key, *(str(part) for part in loc[end:] if isinstance(part, int))])
    return ".".join(str(part) for part in loc) or "the whole file"


def _fault(key: str, faults: list[dict]) -> str:
    first = faults[0]
    if first["type"] == "extra_forbidden":
        return f"unknown key '{key}'{_nearest(key, known_keys())}"
    if first["type"] == "missing":
        return f"missing key '{key}'"
    expected = " or ".join(_expected(fault) for fault in faults)
    choices = [name for fault in faults for name in re.findall(r"'([^']+)'", fault.get("ctx", {}).get("expected", ""))]
    return f"{key}: should be {expected}, found {reprlib.repr(first['input'])}{_nearest(first['input'], choices)}"


def _expected(fault: dict) -> str:
    if fault["type"] == "model_type":
        return "a section of keys"
    return fault["msg"].removeprefix("Input should be ")


def _nearest(found: Any, choices: list[str]) -> str:
    """A hint at the choice that was probably meant; a key in the wrong section is found by its last part."""
    if not isinstance(found, str):
        return ""
    last = {choice.rpartition(".")[2]: choice for choice in choices}
    near = difflib.get_close_matches(found, choices, n=1)
    near = near or [last[name] for name in difflib.get_close_matches(found.rpartition(".")[2], last, n=1)]
    return f" (did you mean '{near[0]}'?)" if near else ""


def _cross_checks(params: Params) -> list[str]:
    faults = []
    if params.model.width % params.model.heads:
        faults.append(f"model.width: {params.model.width} is not a multiple of model.heads ({params.model.heads})")
    if (params.fusion == "none") != (len(params.backbones) == 1):
        faults.append(
            f"fusion: '{params.fusion}' with {len(params.backbones)} backbone(s); "
            "one backbone goes with 'none', two with any other fusion"
        )
    if params.epochs_stage1 + params.epochs_stage2 == 0:
        faults.append("epochs_stage1 and epochs_stage2: both are 0, so nothing would be trained")
    if params.training.train_batchnorm and params.training.devices > 1:
        faults.append("training.train_batchnorm: batch statistics are per process; use training.devices: 1")
    if params.weights.source == "file" and params.weights.folder is None:
        faults.append("weights.folder: name the folder that holds <backbone>.safetensors")
    return faults
