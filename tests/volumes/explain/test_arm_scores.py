"""Scores of an ablation's arms: by their network alone, or graded by something else from its masks."""

import numpy as np
import pandas as pd
import pytest

from btlib.volumes.data.store import Case
from btlib.volumes.evaluation.tables import DICE
from btlib.volumes.explain.answers import Asked, modality_scores
from btlib.volumes.nets.inference import predict_case
from btlib.volumes.nets.network import JointArchitecture, build_joint
from btlib.volumes.nets.plain import PlainArchitecture, build_plain
from btlib.volumes.nets.windows import Window

MASKS = build_joint(JointArchitecture(width=8, attention=True, segmentation=True, grading="none", dropout=0.1), 0)
WINDOW = Window(16, 16)
EVERYTHING = "t1+t1ce+t2+flair"


def make_case(number):
    rng = np.random.default_rng(number)
    seg = rng.integers(0, 4, (12, 14, 10)).astype(np.uint8)
    return Case(f"c{number}", rng.normal(size=(4, 12, 14, 10)).astype(np.float16), seg, np.eye(4), np.eye(4), (6, 7, 5))


CASES = [make_case(number) for number in range(3)]
INDEX = pd.DataFrame({"case": ["c0", "c1", "c2"], "patient": ["a", "b", "c"], "grade": ["LGG", "HGG", ""]})


def test_a_grader_sees_the_networks_masks_and_gives_the_grade():
    seen = []

    def grader(case, regions):
        seen.append((case.name, regions))
        return np.array([0.9, 0.1]) + np.array([-0.1, 0.1]) * len(seen)

    scores = modality_scores([Asked("radiomics", 5, MASKS, WINDOW, EVERYTHING, grader)], CASES, INDEX)
    assert scores["p_HGG"].tolist() == pytest.approx([0.2, 0.3, 0.4])
    assert [name for name, _ in seen] == scores["case"].tolist() == ["c0", "c1", "c2"]
    for (_, regions), case in zip(seen, CASES, strict=True):
        np.testing.assert_array_equal(regions, predict_case(MASKS, case, WINDOW).regions)
    assert scores["grade"].tolist() == ["LGG", "HGG", ""] and set(scores["seed"]) == {5}


def test_a_segmentation_counts_for_its_own_arm_only():
    asked = [Asked("a", 0, MASKS, WINDOW, EVERYTHING, grader) for grader in (None, lambda case, regions: np.eye(2)[0])]
    own, graded = (modality_scores([one], CASES, INDEX) for one in asked)
    assert own[DICE].notna().all(axis=None) and own["p_HGG"].isna().all()
    assert graded[DICE].isna().all(axis=None) and (graded["p_HGG"] == 0).all()


def test_a_plain_network_is_scored_by_its_grade():
    net = build_plain(PlainArchitecture("resnet10", 8), 0)
    scores = modality_scores([Asked("resnet10", 0, net, WINDOW, EVERYTHING)], CASES, INDEX)
    assert scores["p_HGG"].tolist() == [predict_case(net, case, WINDOW).grade[1] for case in CASES]
    assert scores["p_HGG"].between(0, 1, inclusive="neither").all() and scores[DICE].isna().all(axis=None)
