import re

from btlib.core.metrics.classification import COMPARED
from btlib.report.figures.paper import HEADLINE, TABLES

GRID = {
    "batch_size": ["16", "32", "64"],
    "mixup_alpha": ["0.1", "0.2", "0.4", "0.6"],
    "focal_gamma": ["1", "2", "3"],
    "label_smoothing": ["0.01", "0.05", "0.1"],
    "focal_alpha": ["0.25", "0.5", "0.75"],
}


def test_the_proposed_model_is_the_best_arm_of_every_table_and_equals_the_rounded_headline():
    for table in filter(None, TABLES.values()):  # the paper has no table of the lesion head
        for name, value in table["proposed"].items():
            values = [arm[name] for arm in table.values() if arm]
            assert value == (min(values) if name == "ece" else max(values))
            digits = 4 if name == "accuracy" else 3
            assert value == round(HEADLINE[name], digits)


def test_the_sensitivity_table_holds_the_whole_grid():
    arms = [f"{parameter}_{value}" for parameter, values in GRID.items() for value in values]
    assert list(TABLES["sensitivity"]) == ["proposed", *arms]
    for parameter in GRID:
        best = [arm for arm, scores in TABLES["sensitivity"].items() if scores == {"accuracy": 0.9573}]
        assert sum(bool(re.fullmatch(rf"{parameter}_[\d.]+", arm)) for arm in best) == 1


def test_every_value_is_a_score_of_the_ablation():
    scores = [arm for table in TABLES.values() for arm in table.values() if arm]
    assert all(set(arm) <= set(COMPARED) and all(0 <= value <= 1 for value in arm.values()) for arm in scores)


def test_the_accuracy_is_673_of_the_papers_703_test_images():
    assert round(673 / 703, 4) == HEADLINE["accuracy"]
