"""params.yaml: rejected content and its messages."""

import re
from copy import deepcopy
from pathlib import Path
from typing import get_args

import pytest

from btlib.core.runtime.errors import InputError
from btlib.core.settings.params import load_params
from btlib.core.settings.schema import Volumes, check_params, known_keys, read_params, read_yaml
from btlib.volumes.data.labels import CONVENTIONS

ROOT = Path(__file__).parents[3]
EXTERNAL = {"name": "far", "root": "a", "layout": "tumour_folders", "annotations": None}


@pytest.fixture(scope="module")
def committed():
    return read_yaml(ROOT / "params.yaml")


def changed(raw, **values):
    """A copy with `a__b=value` set at a.b; the value `...` deletes the key."""
    raw = deepcopy(raw)
    for name, value in values.items():
        *sections, last = name.split("__")
        section = raw
        for part in sections:
            section = section[part]
        if value is ...:
            del section[last]
        else:
            section[last] = value
    return raw


def faults(raw):
    with pytest.raises(InputError) as caught:
        check_params(raw, "params.yaml")
    title, *lines = str(caught.value).splitlines()
    assert title == "params.yaml:"
    return [line.removeprefix("  - ") for line in lines]


def test_committed_file_is_valid_and_holds_every_known_key(committed):
    # their keys are keys of other sections, or names
    free = {"ablations.common", "ablations.keep_networks", "joint.ablation.common"}

    def dotted(section, prefix=""):
        for key, value in section.items():
            yield prefix + key
            if isinstance(value, dict) and prefix + key not in free:
                yield from dotted(value, f"{prefix}{key}.")

    check_params(committed, "params.yaml")
    assert set(dotted(committed)) == set(known_keys())


def test_all_faults_are_named_at_once(committed):
    raw = changed(committed, mixup_alfa=0.2, mixup_alpha=..., lr_stage1="abc", images__clahe__tile=8)
    assert sorted(faults(raw)) == [
        "lr_stage1: should be a valid number, found 'abc'",
        "missing key 'mixup_alpha'",
        "unknown key 'images.clahe.tile' (did you mean 'images.clahe.tiles'?)",
        "unknown key 'mixup_alfa' (did you mean 'mixup_alpha'?)",
    ]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"split_by": "gruop"},
            "split_by: should be 'group', 'image', 'folder' or 'file', found 'gruop' (did you mean 'group'?)",
        ),
        (
            {"volumes__source": "fodler"},
            "volumes.source: should be 'phantom' or 'folder', found 'fodler' (did you mean 'folder'?)",
        ),
        (
            {"focal_alpha": "inverse_freqency"},
            "focal_alpha: should be 'inverse_frequency' or a valid number, found 'inverse_freqency' "
            "(did you mean 'inverse_frequency'?)",
        ),
        ({"focal_alpha": -1}, "focal_alpha: should be 'inverse_frequency' or greater than 0, found -1"),
        ({"tiles": 3}, "unknown key 'tiles' (did you mean 'images.clahe.tiles'?)"),
        ({"images": None}, "images: should be a section of keys, found None"),
        ({"backbones": ["tf_efficientnet_lite0", 2]}, "backbones.1: should be a valid string, found 2"),
        ({"seed": True}, "seed: should be a valid integer, found True"),
        ({"lr_stage1": float("nan")}, "lr_stage1: should be a finite number, found nan"),
        ({"focal_gamma": float("inf")}, "focal_gamma: should be a finite number, found inf"),
        ({"images": ...}, "missing key 'images'"),
        (
            {"joint__postprocess": "yes"},
            "joint.postprocess: should be a valid boolean or a section of keys, found 'yes'",
        ),
        ({"joint__postprocess": {"smallest_lession": 0.1}}, "unknown key 'joint.postprocess.smallest_lession'"),
        (
            {"joint__postprocess": {"et": {"threshold": 2}}},
            "joint.postprocess.et.threshold: should be less than or equal to 1, found 2",
        ),
    ],
)
def test_one_fault_is_one_line(committed, change, line):
    assert faults(changed(committed, **change)) == [line]


@pytest.mark.parametrize(
    ("change", "start"),
    [
        ({"model__heads": 3}, "model.width: 256 is not a multiple of model.heads (3)"),
        ({"backbones": ["tf_efficientnet_lite0"]}, "fusion: 'gated_cross_attention' needs 2 backbones, found 1"),
        ({"backbones": ["tf_efficientnet_lite0"] * 2}, "backbones: 'tf_efficientnet_lite0' is listed twice"),
        ({"epochs_stage1": 0, "epochs_stage2": 0}, "epochs_stage1 and epochs_stage2: both are 0"),
        ({"weights__source": "file"}, "weights.folder: name the folder"),
        ({"training__train_batchnorm": True, "training__devices": 2}, "training.train_batchnorm: batch statistics"),
        ({"split__fold": 1}, "split.fold: 1 is not below split.folds (1); folds are counted from 0"),
        ({"split__folds": 5, "split__fold": 5}, "split.fold: 5 is not below split.folds (5)"),
        (
            {"split__folds": 5, "split_by": "folder"},
            "split.folds: split_by: folder has one test set; set split.folds: 1",
        ),
        (
            {"split__folds": 5, "split_by": "file", "split__file": "s.csv"},
            "split.folds: split_by: file has one test set",
        ),
        ({"split__val": 0.5, "split__test": 0.5}, "split.val and split.test: 0.5 and 0.5 leave nothing to train on"),
        ({"split__folds": 2, "split__val": 0.5}, "split.folds: a test fold of 1/2 and split.val 0.5 leave nothing"),
        ({"split_by": "file"}, "split.file: required with split_by: file, else null"),
        ({"split__file": "s.csv"}, "split.file: required with split_by: file, else null"),
        ({"external": [EXTERNAL, EXTERNAL | {"root": "b"}]}, "external: 'far' is the name of more than one set"),
        (
            {"images__reference__same_patient": "[a"},
            "images.reference.same_patient: not a valid regular expression (unterminated",
        ),
    ],
)
def test_incompatible_values(committed, change, start):
    (line,) = faults(changed(committed, **change))
    assert line.startswith(start)


@pytest.mark.parametrize(
    "change",
    [
        {"split__folds": 5, "split__fold": 4},
        {"split__folds": 5, "split__test": 0.8},  # ignored with folds
        {"split__folds": 5, "split_by": "image"},
        {"split_by": "file", "split__file": "s.csv"},
        {"external": []},
        {"external": [EXTERNAL, EXTERNAL | {"name": "far_2"}]},
        {"images__reference__same_patient": ""},
        {"volumes__folds": 3, "volumes__fold": 2},
        {"volumes__folds": 2, "volumes__held_out": 0.99},  # half of it, and half of the patients
        {"volumes__phantom__share": 1},
        {"joint__postprocess": {"smallest_lesion": 0.1, "et": {"threshold": 0.4}}},
    ],
)
def test_compatible_values(committed, change):
    check_params(changed(committed, **change), "params.yaml")


@pytest.mark.parametrize("name", ["../up", "a b", "", "Far", "-x"])
def test_a_name_that_cannot_be_part_of_a_path_is_refused(committed, name):
    (line,) = faults(changed(committed, external=[EXTERNAL | {"name": name}]))
    assert line.startswith("external.0: should match pattern") or "pattern" in line


@pytest.mark.parametrize("raw", [None, [], "text"])
def test_a_file_that_is_not_a_mapping_is_refused(raw):
    assert faults(raw) == [f"the whole file: should be a section of keys, found {raw!r}"]


def test_exponents_without_a_dot_are_numbers(tmp_path):
    """`dvc exp run -S lr_stage2=5e-5` writes 5e-05, which YAML 1.1 parsers read as text."""
    text = re.sub(r"lr_stage2: \S+", "lr_stage2: 5e-05", (ROOT / "params.yaml").read_text(encoding="utf-8"))
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    assert read_params(tmp_path / "params.yaml").lr_stage2 == 5e-5


@pytest.mark.parametrize("text", ["seed: [1", "seed: 1\nseed: 2\n"])
def test_broken_yaml_names_the_file(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"params\.yaml: not valid YAML"):
        read_params(path)


@pytest.mark.parametrize(("text", "reason"), [("[" * 5000, "RecursionError"), (f"seed: {'1' * 5000}", "4300 digits")])
def test_yaml_that_crashes_its_parser_is_refused_too(tmp_path, text, reason):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=rf"params\.yaml: not a valid YAML file \(.*{reason}"):
        read_params(path)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file; run from the project's root"):
        read_params(tmp_path / "params.yaml")


def test_load_params_gives_the_declared_keys_and_no_others(monkeypatch):
    monkeypatch.chdir(ROOT)
    p = load_params("seed", "images.clahe", "images.source")
    assert (p.seed, p.images.clahe.tiles, p.images.source) == (0, 8, "phantom")
    with pytest.raises(AttributeError):
        _ = p.batch_size
    with pytest.raises(AttributeError):
        _ = p.images.root


@pytest.mark.parametrize(
    ("table", "arm", "message"),
    [
        (
            "fusion",
            {"arm": "x", "fusin": "gated"},
            r"fusion, arm x: unknown key 'fusin' \(did you mean 'fusion'\?\)",
        ),
        ("fusion", {"arm": "x", "fusion": "gatd"}, "arm x: fusion: should be .* found 'gatd'"),
        ("fusion", {"arm": "x", "training": {"los": "focal"}}, "arm x: unknown key 'training.los'"),
        ("fusion", {"arm": "x", "backbones": ["tf_efficientnet_lite0"]}, "arm x: fusion: .* needs 2 backbones"),
        ("fusion", {"fusion": "gated"}, "ablations.fusion: an arm has no name"),
        ("fusion", {"arm": "proposed", "fusion": "gated"}, "'proposed' is the name of more than one arm"),
        ("sensitivity", {"arm": "x", "seed": 3}, "arm x: 'seed' is the same for all arms"),
        ("sensitivity", {"arm": "x", "images": {"root": "/"}}, "arm x: 'images.root' is the same for all arms"),
        ("sensitivity", {"arm": "x", "split": {"val": 0.2}}, "arm x: 'split.val' is the same for all arms"),
        ("sensitivity", {"arm": "x", "image_size": 512}, "arm x: image_size: 512 is above that of the stored images"),
    ],
)
def test_faulty_arms_are_named(committed, table, arm, message):
    committed["ablations"][table].append(arm)
    with pytest.raises(InputError, match=message):
        check_params(committed, "params.yaml")


def test_networks_to_keep_must_be_arms(committed):
    committed["ablations"]["keep_networks"]["fusion"] = ["late_fusin"]
    with pytest.raises(
        InputError, match=r"keep_networks.fusion: there is no arm 'late_fusin' \(did you mean 'late_fusion'\?\)"
    ):
        check_params(committed, "params.yaml")
    committed["ablations"]["keep_networks"] = {"fusin": []}
    with pytest.raises(InputError, match=r"no table 'fusin' \(did you mean 'fusion'\?\)"):
        check_params(committed, "params.yaml")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"joint__accumulate": 0}, "joint.accumulate: should be greater than or equal to 1"),
        (
            {"joint__accumulate": 3},
            r"joint.accumulate: a process has 2 of the joint.batch_size \(2\) cases, .* 3 parts",
        ),
        ({"joint__accumulate": 2, "training__devices": 2}, "joint.accumulate: a process has 1 of the joint.batch_size"),
        ({"training__devices": 3}, r"joint.batch_size: 2 is less than training.devices \(3\)"),
        ({"joint__ablation__arms": [{"arm": "x", "accumulate": 3}]}, "arm x: joint.accumulate: a process has 2"),
        ({"joint__size": 60}, "joint.size: should be a multiple of 8, found 60"),
        (
            {"joint__grading": "none", "joint__segmentation": False},
            "joint.segmentation and joint.grading: both are off",
        ),
        ({"joint__segmentation": False}, "joint.attention: needs the segmentation decoder"),
        ({"joint__segmentation": False}, "joint.grading: 'regions' needs the segmentation"),
        ({"joint__size": 24}, r"joint.coarse_epochs: half of joint.size \(24\) is too small"),
        ({"joint__attenton": True}, r"unknown key 'joint.attenton' \(did you mean 'joint.attention'\?\)"),
        ({"volumes__clip_percentiles": [99.5, 0.5]}, "volumes.clip_percentiles: 99.5 is not below 0.5"),
        ({"volumes__fold": 1}, r"volumes.fold: 1 is not below volumes.folds \(1\); counted from 0"),
        ({"volumes__folds": 3, "volumes__fold": 3}, r"volumes.fold: 3 is not below volumes.folds \(3\)"),
        ({"volumes__fold": -1}, "volumes.fold: should be greater than or equal to 0, found -1"),
        ({"volumes__phantom__share": 1.5}, "volumes.phantom.share: should be less than or equal to 1, found 1.5"),
        ({"volumes__phantom__variety": -0.1}, "volumes.phantom.variety: should be greater than or equal to 0"),
        ({"volumes__phantom__training_cases": 0}, "volumes.phantom.training_cases: should be greater than or equal"),
        ({"joint__ablation__arms": [{"grading": "none"}]}, "joint.ablation.arms: an arm has no name"),
        ({"joint__ablation__arms": [{"arm": "full"}]}, "'full' is the name of more than one arm"),
        ({"joint__ablation__arms": [{"arm": "x", "gradin": "none"}]}, "arm x: unknown key 'joint.gradin' .*grading"),
        ({"joint__ablation__arms": [{"arm": "x", "mc_samples": 3}]}, "arm x: 'joint.mc_samples' is the same for all"),
        ({"joint__ablation__arms": [{"arm": "x", "segmentation": False}]}, "arm x: joint.attention: needs"),
        ({"joint__ablation__common": {"size": 128}}, "joint.ablation.common: size: more than joint.size"),
    ],
)
def test_faults_of_the_joint_study_are_named(committed, values, message):
    with pytest.raises(InputError, match=message):
        check_params(changed(committed, **values), "params.yaml")


MASKS = {"arm": "segmentation_only", "grading": "none"}
RADIOMICS = {"arm": "x", "grader": "radiomics"}
USES_MASKS = r"arm x: grader: 'radiomics' uses the masks of another arm; add {arm: segmentation_only, grading: none}"


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        (
            [{"arm": "x", "grader": "resnt10"}],
            r"x: grader: should be radiomics, resnet10.* \(did you mean 'resnet10'\?\)",
        ),
        ([{"arm": "x", "grader": ["resnet10"]}], r"x: grader: should be radiomics, .*, found \['resnet10'\]"),
        (
            [{"arm": "x", "grader": "resnet10", "attention": False}],
            "x: 'attention' is of the joint network, which",
        ),
        ([{"arm": "x", "grader": "resnet10", "dropout": 0.2}], "x: 'dropout' is of the joint network, which"),
        (
            [{"arm": "x", "grader": "densenet121"}],
            "x: grader: 'densenet121' needs volumes of 32 voxels .* found 16; set coarse",
        ),
        (
            [{"arm": "x", "grader": "densenet121", "size": 16, "coarse_epochs": 0}],
            "x: grader: 'densenet121' needs volumes of 32 voxels per side, found 16; set a larger size",
        ),
        ([RADIOMICS], USES_MASKS),
        ([RADIOMICS, MASKS | {"grading": "global"}], USES_MASKS),
        ([RADIOMICS, MASKS | {"grader": "resnet10"}], USES_MASKS),
        ([MASKS, RADIOMICS | {"epochs": 3}], "arm x: 'epochs' has no effect: grader 'radiomics' trains no network"),
        ([MASKS, RADIOMICS | {"epoch": 3}], r"arm x: unknown key 'joint.epoch' \(did you mean 'joint.epochs'\?\)"),
    ],
)
def test_arms_whose_grader_cannot_work_are_refused(committed, arms, message):
    with pytest.raises(InputError, match=message) as caught:
        check_params(changed(committed, joint__ablation__arms=arms), "params.yaml")
    assert str(caught.value).count("joint.ablation.arms, arm x:") == 1


@pytest.mark.parametrize(
    "arm",
    [
        *({"grader": name} for name in ("radiomics", "resnet10", "resnet18")),
        {"grader": "resnet10", "width": 64, "grade_weight": 1.0, "augment": {"flip": 0.0}},
        {"grader": "densenet121", "coarse_epochs": 0},
        {"grader": "densenet121", "size": 64},
    ],
)
def test_arms_with_a_grader(arm):
    committed = read_yaml(ROOT / "params.yaml")
    check_params(changed(committed, joint__ablation__arms=[MASKS, {"arm": "x"} | arm]), "params.yaml")


def test_only_an_arm_may_grade_without_the_joint_network(committed):
    message = "joint.grader: only for arms of joint.ablation; the study's own network must also segment"
    with pytest.raises(InputError, match=message):
        check_params(changed(committed, joint__grader="resnet10"), "params.yaml")
    with pytest.raises(InputError, match=f"joint.ablation.common: {message}"):
        check_params(changed(committed, joint__ablation__common={"grader": "resnet10"}), "params.yaml")


def test_the_schema_offers_every_known_numbering():
    names, _ = get_args(Volumes.model_fields["labels"].annotation)
    assert get_args(names) == ("auto", *CONVENTIONS)


@pytest.mark.parametrize("numbering", ["msd", {1: "edema", 2: "necrotic_core", 9: "background"}])
def test_a_numbering_may_be_a_name_or_a_mapping(numbering):
    raw = changed(read_yaml(ROOT / "params.yaml"), volumes__labels=numbering)
    assert check_params(raw, "p").volumes.labels == numbering


@pytest.mark.parametrize(
    ("numbering", "message"),
    [
        ("nnunet", r"volumes\.labels: should be 'auto', 'brats'"),
        (
            {1: "oedema"},
            r"volumes\.labels\.1: should be 'background', .* found 'oedema' \(did you mean 'edema'",
        ),
        ({0: "necrotic_core"}, r"volumes\.labels\.0: should be greater than or equal to 1, found 0"),
        ({}, r"volumes\.labels: should be .*at least 1 item"),
    ],
)
def test_invalid_numberings_are_refused(committed, numbering, message):
    with pytest.raises(InputError, match=message):
        check_params(changed(committed, volumes__labels=numbering), "p")
