"""Overlays: comments are kept, faults refused before writing, and DVC reads flags back as the same values."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from btlib.core.runtime.errors import InputError
from btlib.core.runtime.nested import flatten
from btlib.core.settings.profile import apply, flags, read_overlay
from btlib.core.settings.schema import read_yaml

ROOT = Path(__file__).parents[3]
PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))


@pytest.fixture
def params(tmp_path):
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path))


@pytest.fixture
def overlay(tmp_path):
    def write(text):
        path = tmp_path / "overlay.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_profiles_are_found():
    assert "paper" in [path.stem for path in PROFILES]


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_every_profile_is_valid_and_holds_only_differences(profile, params):
    committed = flatten(read_yaml(params))
    overlay = flatten(read_overlay(profile))
    own = dict(read_yaml(profile))
    base = own.pop("extends", None)
    below = committed | (flatten(read_overlay(profile.with_name(base))) if base else {})
    same = [key for key, value in flatten(own).items() if key in below and below[key] == value]
    # a profile states the settings of its tables even where they happen to be the demo's (see below)
    assert [key for key in same if not key.startswith("ablations.common.")] == []
    assert apply(profile, params) == len(overlay)
    emptied = {key for key in committed for other in overlay if key.startswith(f"{other}.")}  # a section set to null
    assert flatten(read_yaml(params)) == {k: v for k, v in committed.items() if k not in emptied} | overlay


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_flags_give_dvc_the_same_values_as_apply(profile, params, tmp_path):
    by_dvc = Path(shutil.copy(params, tmp_path / "by_dvc.yaml"))
    apply_overrides(by_dvc, shlex.split(flags(profile, params))[1::2])
    apply(profile, params)
    assert read_yaml(by_dvc) == read_yaml(params)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_tables_of_a_profile_keep_no_setting_of_the_demo(profile, params):
    """Settings that make the demo's tables fast must not reach a study: each is the profile's or the main model's."""
    overlay = read_overlay(profile)
    if "ablations" not in overlay:
        return
    apply(profile, params)
    common = flatten(read_yaml(params)["ablations"]["common"] or {})
    main, own = flatten(read_yaml(params)), flatten(overlay["ablations"].get("common") or {})
    assert {key: value for key, value in common.items() if key not in own and main[key] != value} == {}


def test_only_the_named_values_change(params, overlay):
    before = params.read_text(encoding="utf-8").splitlines()
    apply(overlay("mixup_alpha: 0.4\nimages:\n  clahe:\n    enabled: false\n"), params)
    after = params.read_text(encoding="utf-8").splitlines()
    assert len(after) == len(before)
    assert [(a, b) for a, b in zip(before, after, strict=True) if a != b] == [
        (
            "mixup_alpha: 0.1          # Beta(α, α); 0 turns Mixup off; paper 0.2",
            "mixup_alpha: 0.4          # Beta(α, α); 0 turns Mixup off; paper 0.2",
        ),
        ("    enabled: true", "    enabled: false"),
    ]


@pytest.mark.parametrize(
    "value", ["/data/my images", "../a=b", 'say "x", y', "it's", "", "null", "/data/Größe", "1e3", "true", "a[0]"]
)
def test_awkward_text_survives_apply_and_flags(value, params, overlay, tmp_path):
    profile = overlay(f"images:\n  source: folder\n  root: '{value.replace(chr(39), chr(39) * 2)}'\n")
    by_dvc = Path(shutil.copy(params, tmp_path / "by_dvc.yaml"))
    apply_overrides(by_dvc, shlex.split(flags(profile, params))[1::2])
    apply(profile, params)
    assert read_yaml(params)["images"]["root"] == value
    assert read_yaml(by_dvc)["images"]["root"] == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mixup_alfa: 0.4", r"unknown key 'mixup_alfa' \(did you mean 'mixup_alpha'\?\)"),
        ("images: {clahe: {tile: 4}}", "unknown key 'images.clahe.tile'"),
        ("images: folder", "images: should be a section of keys, found 'folder'"),
        ("lr_stage1: fast", "lr_stage1: should be a valid number, found 'fast'"),
        ("- image_size", "should hold keys of params.yaml"),
        ("", "should hold keys of params.yaml, found None"),
    ],
)
def test_a_faulty_overlay_changes_nothing(text, message, params, overlay):
    before = params.read_bytes()
    with pytest.raises(InputError, match=message):
        apply(overlay(text), params)
    with pytest.raises(InputError, match=message):
        flags(overlay(text), params)
    assert params.read_bytes() == before


def test_an_overlay_overrides_the_one_that_it_extends(overlay, tmp_path):
    (tmp_path / "below.yaml").write_text("image_size: 64\nimages:\n  clahe: {enabled: false, tiles: 4}\n")
    above = overlay("extends: below.yaml\nimages:\n  clahe:\n    tiles: 6\n")
    assert read_overlay(above) == {"image_size": 64, "images": {"clahe": {"enabled": False, "tiles": 6}}}
    (tmp_path / "below.yaml").write_text("extends: lowest.yaml\nimage_size: 64\n")
    (tmp_path / "lowest.yaml").write_text("image_size: 32\nsplit_by: image\n")
    assert read_overlay(above) == {"split_by": "image", "image_size": 64, "images": {"clahe": {"tiles": 6}}}


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("../params.yaml", r"extends: should be the name of a file beside it, found '../params.yaml'"),
        ("''", "extends: should be the name of a file beside it, found ''"),
        ("[below.yaml]", "extends: should be the name of a file beside it"),
        ("absent.yaml", "absent.yaml: no such file"),
        ("overlay.yaml", "overlay.yaml: extends: 'overlay.yaml' already extends this file"),
        ("circle.yaml", "circle.yaml: extends: 'overlay.yaml' already extends this file"),
    ],
)
def test_only_another_overlay_beside_it_can_be_extended(base, message, params, overlay, tmp_path):
    (tmp_path / "circle.yaml").write_text("extends: overlay.yaml\n")
    with pytest.raises(InputError, match=message):
        apply(overlay(f"extends: {base}\n"), params)


def test_command_line(params, overlay):
    profile = overlay("mixup_alpha: 0.4\n")

    def call(*arguments):
        command = [sys.executable, "-m", "btlib.cli", "profile", *arguments]
        return subprocess.run(command, cwd=params.parent, capture_output=True, text=True)

    assert call("flags", "overlay.yaml").stdout == "-S mixup_alpha=0.4\n"
    assert read_yaml(params)["mixup_alpha"] == 0.1
    assert call("apply", "overlay.yaml").stdout.startswith("params.yaml: 1 keys set from overlay.yaml")
    assert read_yaml(params)["mixup_alpha"] == 0.4
    missing = call("apply", "absent.yaml")
    assert missing.returncode == 1
    assert missing.stderr.strip() == "btlib: absent.yaml: no such file; run from the project's root"
    assert profile.exists()


def test_a_comment_beside_an_emptied_list_does_not_break_the_file(params, overlay):
    text = params.read_text(encoding="utf-8")
    params.write_text(text.replace("  sensitivity:\n", "  sensitivity:   # Table 8\n", 1), encoding="utf-8")
    apply(overlay("ablations: {sensitivity: [], seeds: [3]}"), params)
    changed = read_yaml(params)["ablations"]
    assert changed["sensitivity"] == [] and changed["seeds"] == [3]
