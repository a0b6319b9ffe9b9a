"""Stage phantom: the demo set and that of the other hospital, or empty folders for other sources."""

import runpy
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stage(atlas, tmp_path, monkeypatch):
    """Runs the stage in an empty project with another source and a tiny demo set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("btlib.phantom.atlas.load_atlas", lambda: atlas)

    def run(source):
        yaml = YAML()
        params = yaml.load(ROOT / "params.yaml")
        params["images"]["source"] = source
        params["images"]["phantom"] = {
            "subjects_per_class": 3,
            "slices_per_subject": 1,
            "image_size": 64,
            "duplicates": 3,
            "training_subjects": 2,
            "pasted": 0,
            "share": 0.5,
            "external_subjects": 2,
        }
        yaml.dump(params, Path("params.yaml"))
        runpy.run_path(str(ROOT / "stages/phantom.py"))["main"](Path("raw/phantom"), Path("raw/elsewhere"))

    return run


def test_demo_set_has_the_size_that_params_ask_for(stage):
    stage("phantom")
    table = pd.read_csv("raw/phantom/subjects.csv")
    assert len(table) == 4 * 3 + 3
    assert all(Path("raw/phantom", path).is_file() for path in table.path)


def test_the_other_hospital_has_the_people_that_params_ask_for(stage):
    stage("phantom")
    table = pd.read_csv("raw/elsewhere/slices.csv")
    assert table.patient.nunique() == 2 and len(table) == 2 * 6
    assert all(Path("raw/elsewhere", path).is_file() for path in [*table.path, *table.mask_path.dropna()])


def test_other_sources_get_empty_folders(stage, capsys):
    Path("raw/phantom/images").mkdir(parents=True)
    stage("folder")
    assert list(Path("raw/phantom").iterdir()) == list(Path("raw/elsewhere").iterdir()) == []
    assert "no phantoms made" in capsys.readouterr().out
