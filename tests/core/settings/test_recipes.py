"""Training recipes: every arm with all its values, in the order of params.yaml."""

from pathlib import Path

import pytest

from btlib.core.runtime.artifacts import write_json
from btlib.core.settings.recipes import OF_A_CLASSIFIER, all_recipes
from btlib.core.settings.schema import TABLES, check_params, read_yaml
from btlib.core.training.recipe import read_table

ROOT = Path(__file__).parents[3]


@pytest.fixture
def raw():
    return read_yaml(ROOT / "params.yaml")


def recipes_of(raw):
    return all_recipes(check_params(raw, "params.yaml"))


def test_an_arm_combines_the_main_the_common_and_its_own_values(raw):
    raw["ablations"] |= {"common": {"image_size": 40, "training": {"patience": 3}}}
    raw["ablations"]["fusion"] = [{"arm": "b", "fusion": "gated"}, {"arm": "a", "training.loss": "cross_entropy"}]
    found = recipes_of(raw)
    main, (proposed, b, a) = found["main"], found["fusion"]["arms"]
    assert [arm["arm"] for arm in (proposed, b, a)] == ["proposed", "b", "a"]
    common = main | {"image_size": 40, "training.patience": 3}
    assert main["image_size"] == 96 and main["training.augment.flip_horizontal"] == 0.5
    assert proposed["recipe"] == common
    assert b["recipe"] == common | {"fusion": "gated"}
    assert a["recipe"] == common | {"training.loss": "cross_entropy"}
    assert {key.split(".")[0] for key in main} == {*OF_A_CLASSIFIER, "images"}


def test_a_table_without_entries_is_switched_off(raw):
    raw["ablations"] |= {name: [] for name in TABLES}
    raw["ablations"]["keep_networks"] = {}
    raw["joint"]["ablation"]["arms"] = []
    found = recipes_of(raw)
    assert [found[name]["arms"] for name in (*TABLES, "joint")] == [[]] * 6
    assert found["backbones"] == {"names": sorted(raw["backbones"])}


def test_a_table_changes_only_with_the_values_that_its_arms_use(raw):
    """So that DVC does not retrain a table for a value that all its arms override."""
    before = recipes_of(raw)
    raw["image_size"], raw["lr_stage2"] = 128, 0.5
    raw["joint"] |= {"mc_samples": 33, "explained_cases": 9, "postprocess": True}
    after = recipes_of(raw)
    assert {name for name in before if before[name] != after[name]} == {"main"}


def test_a_written_table_is_read_in_the_same_order(raw, tmp_path):
    for name, content in recipes_of(raw).items():
        write_json(tmp_path / f"{name}.json", content)
    table = read_table(tmp_path / "sensitivity.json")
    assert list(table.arms) == ["proposed", *(arm["arm"] for arm in raw["ablations"]["sensitivity"])]
    assert table.arms["mixup_alpha_0.4"]["mixup_alpha"] == 0.4 and table.seeds == [0, 1]
    assert read_table(tmp_path / "baselines.json").keep_networks == ["plain_finetune"]
    joint = read_table(tmp_path / "joint.json")
    assert next(iter(joint.arms)) == "full" and joint.keep_networks == []
    assert joint.arms["grading_only"]["grading"] == "global" and joint.arms["full"]["epochs"] == 6


def test_arms_with_a_grader_have_only_the_values_that_it_uses(raw):
    arms = {arm["arm"]: arm["recipe"] for arm in recipes_of(raw)["joint"]["arms"]}
    assert arms["radiomics"] == {"grader": "radiomics", "phantom_share": 0.0}
    plain, full = arms["resnet10"], arms["full"]
    assert full.keys() - plain.keys() == {"attention", "segmentation", "grading", "dropout"}
    assert plain == {key: full[key] for key in full if key in plain} | {"grader": "resnet10"}
    assert [name for name, recipe in arms.items() if "grader" in recipe] == ["radiomics", "resnet10"]


def test_phantom_cases_are_made_only_if_the_joint_network_trains_on_them(raw):
    assert recipes_of(raw)["phantom_cases"] == {"cases": 0}
    before = recipes_of(raw)["joint"]
    raw["volumes"]["phantom"] |= {"share": 0.5, "training_cases": 30}
    found = recipes_of(raw)
    assert found["phantom_cases"] == {"cases": 30}
    assert {arm["recipe"]["phantom_share"] for arm in found["joint"]["arms"]} == {0.5} and found["joint"] != before
    raw["volumes"]["phantom"]["share"] = 0.0
    assert recipes_of(raw)["joint"] == before
