"""Stages ingest_volumes and split_volumes: what they write, and that a failed run leaves nothing behind."""

import runpy
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from btlib.core.runtime.artifacts import read_json
from btlib.core.runtime.dealing import SPLITS
from btlib.core.runtime.errors import InputError
from btlib.volumes.data.manifest import read_manifest
from btlib.volumes.data.splits import cases_of
from tests.volumes.data.volume_samples import make_brats2020

STAGES = Path(__file__).parents[2] / "stages"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder: the demo's params.yaml, and cases of BraTS 2020 in raw/."""
    (tmp_path / "params.yaml").write_text((STAGES.parent / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    make_brats2020(tmp_path / "raw", "HLHLHLHLHL")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def main_of(stage):
    return runpy.run_path(str(STAGES / f"{stage}.py"))["main"]


def test_from_a_folder_to_splits(project, capsys):
    manifest, splits = Path("volumes/manifest.csv"), Path("volumes/splits.csv")
    main_of("ingest_volumes")(Path("raw"), manifest)
    out = capsys.readouterr().out
    assert "10 cases of 10 patients, 10 segmented\n" in out
    assert "labels of 10 segmentations read as brats: 1 necrotic_core, 2 edema, 4 enhancing" in out
    main_of("split_volumes")(manifest, splits, Path("metrics.json"))
    counts = read_json(Path("metrics.json"))
    assert {name: counts[name] for name in ("val", "test")} == {
        name: {"LGG": 1, "HGG": 1, "ungraded": 0} for name in ("val", "test")
    }
    table = read_manifest(manifest)
    assert sorted(case for name in SPLITS for case in cases_of(splits, table, name)) == table["case"].tolist()
    assert len(cases_of(splits, table, "train")) == 6


def test_over_the_folds_in_params_every_case_is_tested_once(project):
    manifest, yaml, tested = Path("volumes/manifest.csv"), YAML(), []
    main_of("ingest_volumes")(Path("raw"), manifest)
    params = yaml.load(Path("params.yaml"))
    for fold in range(3):
        params["volumes"] |= {"folds": 3, "fold": fold}
        yaml.dump(params, Path("params.yaml"))
        main_of("split_volumes")(manifest, Path("splits.csv"), Path("metrics.json"))
        tested += cases_of(Path("splits.csv"), read_manifest(manifest), "test")
    assert sorted(tested) == read_manifest(manifest)["case"].tolist()


def test_a_broken_case_stops_the_ingest_with_one_message(project):
    (project / "raw/BraTS20_Training_003/BraTS20_Training_003_t1.nii.gz").write_bytes(b"x")
    with pytest.raises(
        InputError, match=r"1 fault\(s\):\n  - BraTS20_Training_003/.*_t1\.nii\.gz: not a valid NIfTI file"
    ):
        main_of("ingest_volumes")(Path("raw"), Path("volumes/manifest.csv"))
    assert not Path("volumes").exists()
