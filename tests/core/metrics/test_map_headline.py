from btlib.core.metrics.headlines import MAP_LEVELS, map_headline
from btlib.core.metrics.score_table import read_scores, score_table, write_scores

HEAT = {"n_test": 3, "maps": {"fused": {"all": {"n": 2}, "glioma": {"n": 2}}}}
WITH_OUTLINES = HEAT | {
    "lesion_outline": {"all": {"dice": 0.5, "ci95": {"dice": [0.4, 0.6]}}, "glioma": {"dice": 0.5, "ci95": None}}
}


def test_headlines_are_the_scores_over_all_images():
    assert map_headline(HEAT) == {"n_test": 3, "maps": {"fused": {"all": {"n": 2}}}}
    found = map_headline(WITH_OUTLINES)
    assert found["lesion_outline"] == {"all": {"dice": 0.5, "ci95": {"dice": [0.4, 0.6]}}}
    assert found["maps"] == {"fused": {"all": {"n": 2}}}


def test_the_class_of_an_outlines_score_is_a_column_of_the_table(tmp_path):
    table = score_table(WITH_OUTLINES, MAP_LEVELS).set_index("key")
    assert table.loc["/lesion_outline/glioma/dice"].tolist() == ["", "glioma", "dice", "0.5", "", ""]
    assert table.loc["/lesion_outline/all/ci95/dice"].tolist() == ["", "all", "ci95 dice", "", "0.4", "0.6"]
    write_scores(tmp_path / "scores.csv", WITH_OUTLINES, MAP_LEVELS)
    assert read_scores(tmp_path / "scores.csv") == WITH_OUTLINES
