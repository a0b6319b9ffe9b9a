"""The last words of `make repro`."""

import json

from btlib.summary import JOINT_SCORES, contamination, headline, joint_headline, stage_names, times

KEY = "test_near_duplicates_in_train_any_orientation_by_split"


def test_headline_shows_score_and_interval():
    names = ("accuracy", "macro_f1", "roc_auc_macro", "ece")
    scores = dict.fromkeys(names, 0.9) | {"ci95": {name: [0.85, 0.951] for name in names}}
    lines = headline(scores | {"n_test": 60, "errors": 6})
    assert lines[0] == "accuracy   0.9000  [0.8500, 0.9510]"
    assert len(lines) == 5
    assert lines[-1].startswith("on 60 test images, 6 of them wrong")


def test_headline_of_the_volumes_leaves_out_what_is_undefined():
    scores = dict.fromkeys(JOINT_SCORES, 0.8) | {"grade_auc": None, "n_test": 16}
    lines = joint_headline(scores | {"ci95": {name: [0.7, 0.9] for name in JOINT_SCORES}})
    assert lines[0] == "Dice, whole tumour  0.8000  [0.7000, 0.9000]"
    assert len(lines) == 5
    assert lines[-1] == "on 16 test cases; intervals: 95 %"


def test_contamination_of_both_splits_even_where_one_is_impossible():
    lines = contamination({KEY: {"image": 0.2537, "group": 0.0}})
    assert lines == ["split by group  0.0%", "split by image  25.4%"]
    assert "not possible here" in contamination({KEY: {"image": None}})[0]


def test_times_add_up_and_say_what_did_not_run(tmp_path):
    for name, seconds in (("a", 1.5), ("b", 60.25)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"seconds": seconds, "peak_gib": 1.25}))
    assert [line.split() for line in times(["a", "missing", "b"], tmp_path)] == [
        ["a", "1.5", "s", "peak", "1.2", "GiB"],
        ["missing", "not", "run", "here", "(taken", "from", "the", "cache)"],
        ["b", "60.2", "s", "peak", "1.2", "GiB"],
        ["all", "61.8", "s"],
    ]


def test_stages_with_items_count_once_per_item(tmp_path):
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  a:\n    cmd: x\n  b:\n    foreach: [one, two]\n    do:\n      cmd: y ${item}\n  c:\n    cmd: z\n"
    )
    assert stage_names(tmp_path / "dvc.yaml") == ["a", "b@one", "b@two", "c"]
