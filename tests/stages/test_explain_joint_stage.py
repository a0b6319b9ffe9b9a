"""The stage on a small joint network, with the committed params.yaml."""

import importlib.util
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from btlib.core.metrics.score_table import read_scores
from btlib.core.runtime.artifacts import write_csv, write_json
from btlib.core.runtime.errors import InputError
from btlib.report.figures.numbers import PERCENT
from btlib.volumes.data.conventions import REGIONS
from btlib.volumes.data.store import Case, save_case
from btlib.volumes.evaluation.masks import PLAIN, Postprocessing, RegionRule
from btlib.volumes.evaluation.tables import GRADE_UNCERTAINTY, PREDICTIONS, SEGMENTATION, VOXEL_ERRORS
from btlib.volumes.nets.network import JointArchitecture, build_joint
from btlib.volumes.nets.store import save_joint
from btlib.volumes.nets.windows import Window

STAGE = Path(__file__).parents[2] / "stages/explain_joint.py"
GRADES = ["HGG", "HGG", "HGG", "LGG", "LGG", "LGG", ""]
P_HGG = [0.973, 0.8, 0.3, 0.1, 0.2, 0.6, 0.7]  # H2 and L2 are wrong
NAMES = ["H0", "H1", "H2", "L0", "L1", "L2", "U"]
NATIVE = np.array([[0, -2, 0, 30], [-2, 0, 0, 30], [0, 0, 2, -20], [0, 0, 0, 1.0]])  # axes swapped and turned


@pytest.fixture
def stage(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("explain_joint_stage", STAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(STAGE.parents[1])
    rng = np.random.default_rng(0)
    affine = np.array([[3, 0, 0, -10], [0, 3, 0, -14], [0, 0, 3, -12], [0, 0, 0, 1.0]])
    for name in NAMES:
        image, seg = np.zeros((4, 12, 14, 10), np.float16), np.zeros((12, 14, 10), np.uint8)
        image[:, 1:11, 1:13, 1:9] = rng.normal(size=(4, 10, 12, 8))
        seg[3:6, 4:8, 3:6] = 2
        seg[4, 5:7, 4] = 3
        case = Case(name, image, None if name == "U" else seg, affine, NATIVE, (24, 20, 18))
        save_case(tmp_path / f"normalized/{name}.npy", case)
    figures = {}
    monkeypatch.setattr(module.FigureFolder, "write", lambda folder, name, figure: figures.update({name: figure}))

    def run(dropout=0.2, grading="regions", segmentation=True, names=NAMES, rules=PLAIN):
        architecture = JointArchitecture(8, segmentation, segmentation, grading, dropout)
        save_joint(tmp_path / "model", build_joint(architecture, 0), Window(16, 16), {})
        p = np.full(len(NAMES), np.nan) if grading == "none" else np.array(P_HGG)
        test = pd.DataFrame({"case": names, "patient": names, "grade": GRADES, "p_LGG": 1 - p, "p_HGG": p})
        scored = [(name, region, 0.9, 2.0, 10.0, 9.0, 0.9) for name in NAMES[:-1] for region in REGIONS if segmentation]
        tables = {
            "val": test[:0],
            "test": test[PREDICTIONS],
            "segmentation": pd.DataFrame(scored, columns=SEGMENTATION),
            "voxel_errors": pd.DataFrame(columns=VOXEL_ERRORS),
            "grade_uncertainty": pd.DataFrame(columns=GRADE_UNCERTAINTY),
        }
        for name, table in tables.items():
            write_csv(tmp_path / f"predictions/{name}.csv", table)
        write_json(tmp_path / "predictions/postprocessing.json", rules.model_dump())
        inputs, outputs = ("model", "normalized", "predictions"), ("maps", "metrics", "scores_out", "figures")
        module.main(**{name: tmp_path / name for name in inputs + outputs})
        return read_scores(tmp_path / "scores_out"), tmp_path / "maps", figures

    return run


def title(figure):
    return figure.get_suptitle()


def test_heat_is_scored_over_all_test_cases_and_four_are_shown(stage):
    metrics, maps, figures = stage()
    assert metrics["n_test"] == 7 and metrics["n_explained"] == 4
    assert set(metrics["maps"]) == {"encoder", "decoder", "fused"}
    scores = metrics["maps"]["fused"]
    assert (scores["all"]["n"], scores["HGG"]["n"], scores["LGG"]["n"]) == (6, 3, 3)  # U has no segmentation
    assert scores["all"]["lesion_share"] == pytest.approx(36 / 960)  # of the brain, not of the grid
    assert 0 < scores["all"]["heat_share"] < 1
    shown = [Path(name).stem for name in figures]
    assert {"H2", "L2"} < set(shown) and [name[0] for name in shown] == ["H", "H", "L", "L"]
    assert title(figures["H2.png"]) == (
        f"H2: true grade HGG, predicted ✗ LGG 70.0{PERCENT}\n"
        "Dice: whole tumour 0.900, tumour core 0.900, enhancing tumour 0.900"
    )
    assert sorted(path.name for path in maps.iterdir()) == shown


def test_maps_lie_on_the_input_grid(stage):
    _, maps, _ = stage()
    files = sorted(path.name for path in (maps / "H2").iterdir())
    names = ["attention", "entropy", "gradcam", "mutual_information", "segmentation"]
    assert files == [f"{name}.nii.gz" for name in names]
    found = {name: nib.load(maps / "H2" / f"{name}.nii.gz") for name in names}
    for image in found.values():
        assert image.shape == (24, 20, 18)
        np.testing.assert_allclose(image.affine, NATIVE)
    values = {name: np.asarray(image.dataobj) for name, image in found.items()}
    assert 0 < values["gradcam"].max() <= 1 and 0 < values["attention"].max() <= 1
    assert 0 < values["mutual_information"].max() <= values["entropy"].max() <= np.log(2) + 1e-6
    assert values["segmentation"].dtype == np.uint8 and set(np.unique(values["segmentation"])) <= {0, 1, 2, 3}


def test_segmentations_are_post_processed(stage):
    """A whole tumour that needs a probability of one is nowhere, nor are the regions in it."""
    never = RegionRule(threshold=1.0)
    _, maps, figures = stage(rules=Postprocessing(wt=never, tc=never, et=never))
    assert not np.asarray(nib.load(maps / "H2/segmentation.nii.gz").dataobj).any()
    prediction = next(a for a in figures["H2.png"].axes if a.get_title() == "prediction, on T1ce")
    assert not prediction.collections


def test_a_network_that_only_segments(stage):
    metrics, maps, figures = stage(grading="none", dropout=0.0)
    assert metrics["maps"] == {}
    name = next(iter(figures))
    assert "not graded by this network" in title(figures[name])
    said = [text.get_text() for text in figures[name].findobj(Text)]
    assert "no grading head" in said and said.count("no segmentation\nor no dropout") == 1
    written = sorted(path.name for path in (maps / Path(name).stem).iterdir())
    assert written == ["attention.nii.gz", "entropy.nii.gz", "segmentation.nii.gz"], "of one pass there is the entropy"


def test_a_network_that_only_grades(stage):
    metrics, maps, figures = stage(grading="global", segmentation=False)
    assert set(metrics["maps"]) == {"encoder"} and metrics["maps"]["encoder"]["all"]["n"] == 6
    assert title(figures["H2.png"]) == f"H2: true grade HGG, predicted ✗ LGG 70.0{PERCENT}"
    assert [path.name for path in (maps / "H2").iterdir()] == ["gradcam.nii.gz"]


def test_a_stale_table_is_named(stage):
    with pytest.raises(InputError, match=r"gone\.npy: no such file; run `dvc repro`"):
        stage(names=[*NAMES[:-1], "gone"])
