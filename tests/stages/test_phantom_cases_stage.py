"""Stage phantom_cases: as many as the recipe says, which are none where no recipe trains on them."""

import runpy
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from btlib.volumes.data.store import load_case, load_index

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stage(atlas, tmp_path, monkeypatch):
    """Checks params.yaml with these values for the phantoms, and runs the stage; gives its folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("btlib.phantom.atlas.load_atlas", lambda: atlas)

    def run(**phantom):
        yaml = YAML()
        params = yaml.load(ROOT / "params.yaml")
        params["volumes"]["spacing"] = 8.0
        params["volumes"]["phantom"] |= {"spacing": 8.0} | phantom
        yaml.dump(params, Path("params.yaml"))
        main_of("check")(Path("params.yaml"), Path("params.checked"), Path("recipes"))
        main_of("phantom_cases")(Path("recipes/phantom_cases.json"), Path("cases"))
        return Path("cases")

    return run


def main_of(stage):
    return runpy.run_path(str(ROOT / f"stages/{stage}.py"))["main"]


def test_as_many_as_params_ask_for(stage, capsys):
    cases = stage(share=0.5, training_cases=2)
    assert "2 phantom cases at 8 mm" in capsys.readouterr().out
    names = load_index(cases)["case"]
    assert len(names) == 2
    assert all(abs(load_case(cases, name).affine[0, 0]) == pytest.approx(8) for name in names)


def test_none_without_a_share_of_them(stage, capsys):
    cases = stage(share=0.0)
    assert "0 phantom cases" in capsys.readouterr().out
    assert [path.name for path in cases.iterdir()] == ["index.csv"] and load_index(cases).empty


def test_variety_reaches_the_cases(stage):
    usual, varied = (
        (stage(share=1.0, training_cases=1, variety=variety) / "phantom_00000.npy").read_bytes()
        for variety in (0.0, 1.0)
    )
    assert usual != varied
