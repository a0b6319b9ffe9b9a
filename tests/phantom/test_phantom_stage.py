"""Stage phantom: the demo set, or an empty folder for other sources."""

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
    monkeypatch.setattr("btlib.phantom.dataset.load_atlas", lambda: atlas)

    def run(source):
        yaml = YAML()
        params = yaml.load(ROOT / "params.yaml")
        params["images"]["source"] = source
        params["images"]["phantom"] = {
            "subjects_per_class": 3,
            "slices_per_subject": 1,
            "image_size": 64,
            "duplicates": 3,
        }
        yaml.dump(params, Path("params.yaml"))
        runpy.run_path(str(ROOT / "stages/phantom.py"))["main"](out=Path("raw/phantom"))

    return run


def test_demo_set_has_the_size_that_params_ask_for(stage):
    stage("phantom")
    table = pd.read_csv("raw/phantom/subjects.csv")
    assert len(table) == 4 * 3 + 3
    assert all(Path("raw/phantom", path).is_file() for path in table.path)


def test_other_sources_get_an_empty_folder(stage, capsys):
    Path("raw/phantom/images").mkdir(parents=True)
    stage("folder")
    assert list(Path("raw/phantom").iterdir()) == []
    assert "no phantoms made" in capsys.readouterr().out
