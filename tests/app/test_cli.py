"""The command line `btlib`."""

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.uid import generate_uid

from btlib import cli
from btlib.app import export
from btlib.app.predict import dispatch
from btlib.app.scans.case_files import find_cases
from btlib.core.runtime.artifacts import read_csv
from btlib.core.runtime.errors import InputError
from tests.app.joint_make import TILTED, brain, write_case, write_modality
from tests.app.slice_make import write_model, write_picture

ROOT = Path(__file__).parents[2]


@pytest.fixture
def typed(monkeypatch, capsys):
    """Runs a command line; returns exit code, stdout and stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["btlib", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        done = capsys.readouterr()
        return end.value.code or 0, done.out, done.err

    return run


@pytest.fixture
def called(monkeypatch):
    """Records which network is called with which arguments, without calling it."""
    calls = []
    monkeypatch.setattr(dispatch, "predict_slices", lambda *given: calls.append(("2D", *given)) or 7)
    monkeypatch.setattr(dispatch, "predict_cases", lambda *given: calls.append(("3D", *given)) or 2)
    return calls


def write_volume(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8), np.int16), np.eye(4)), path)
    return path


def test_help_lists_commands_and_disclaimer(typed):
    code, out, _ = typed("--help")
    assert code == 0 and "Research software, not a medical device." in " ".join(out.split())
    assert all(f"  {name} " in out for name in ("predict", "export", "serve"))
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("command", ["predict", "export", "serve"])
def test_help_of_each_command(typed, command):
    code, out, _ = typed(command, "--help")
    words = " ".join(out.split())
    assert code == 0 and words.startswith(f"Usage: btlib {command} ") and "[default: models/deploy]" in words
    options = [line for line in out.splitlines() if line.strip().startswith("--")]
    assert all(len(line.split("  ")) > 2 or "--help" in line for line in options), options


def test_as_a_module_and_without_loading_a_network():
    """Help must not wait for PyTorch to load."""
    code = "import runpy, sys; sys.argv = ['btlib', '--help']; runpy.run_module('btlib.cli', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: btlib ") and "| typer" in done.stderr.replace("  ", "")
    assert not any(line.endswith("| torch") for line in done.stderr.replace("  ", "").splitlines())


def test_predicting_images(typed, tmp_path):
    write_model(tmp_path / "models/classifier")
    write_picture(tmp_path / "scans/a.png")
    given = ("predict", tmp_path / "scans", "--out", tmp_path / "out", "--models", tmp_path / "models")
    code, out, _ = typed(*given)
    assert (code, out) == (0, f"1 predicted: {tmp_path / 'out'}\n")
    assert len(read_csv(tmp_path / "out/slices.csv")) == 1
    code, _, err = typed(*given)
    assert code == 1 and "out: not an empty folder; choose a new one" in err


def test_unreadable_file_gives_exit_code_1_but_others_are_predicted(typed, tmp_path):
    write_model(tmp_path / "models/classifier")
    write_picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    paths = (tmp_path / "a.png", tmp_path / "b.png")
    code, _, err = typed("predict", *paths, "--out", tmp_path / "out", "--models", tmp_path / "models")
    assert code == 1 and f"  - {tmp_path / 'b.png'}: zero bytes" in err
    assert len(read_csv(tmp_path / "out/slices.csv")) == 1


def test_missing_model_error_names_the_command(typed, tmp_path):
    picture = write_picture(tmp_path / "a.png")
    code, _, err = typed("predict", picture, "--out", tmp_path / "out", "--models", tmp_path)
    assert code == 1 and "no such model folder; create it with `dvc repro package_classifier` or fetch" in err
    code, _, err = typed("export", "--out", tmp_path / "out", "--models", tmp_path / "none")
    assert code == 1 and "`dvc repro package_classifier package_joint` makes them" in err
    assert not (tmp_path / "out").exists()


def test_images_go_to_the_2d_network_and_volumes_to_the_3d_one(called, typed, tmp_path):
    picture, volume = write_picture(tmp_path / "images/a.png"), write_volume(tmp_path / "case/t1.nii.gz")
    models, out = tmp_path / "models", tmp_path / "out"
    for paths in ([picture], [picture.parent], [picture, picture.parent]):
        assert dispatch.predict(paths, models, out, None, dispatch.VolumeOptions()) == 7
        assert called.pop() == ("2D", paths, models / "classifier", out, False)
    for paths in ([volume], [volume.parent]):
        assert dispatch.predict(paths, models, out, None, dispatch.VolumeOptions(resample=True)) == 2
        assert called.pop() == ("3D", find_cases(paths), models / "joint", out, True, None, "canonical", False)
    with pytest.raises(InputError, match=r"case holds volumes and .*a\.png images; predict them separately"):
        dispatch.predict([picture, volume.parent], models, out, None, dispatch.VolumeOptions())
    with pytest.raises(InputError, match=r"x: no such file or folder\n.*y: no such file or folder"):
        dispatch.predict([tmp_path / "x", picture, tmp_path / "y"], models, out, None, dispatch.VolumeOptions())
    for odd in ("a" * 300, "a\0b"):
        with pytest.raises(InputError, match="no such file or folder"):
            dispatch.predict([tmp_path / odd], models, out, None, dispatch.VolumeOptions())
    assert called == []


def test_kind_of_paths_can_be_set(called, typed, tmp_path):
    write_modality(tmp_path / "series", brain(0)[0], TILTED, generate_uid(), "t1ce")
    given = ("predict", tmp_path / "series", "--out", tmp_path / "out")
    assert typed(*given)[0] == 0 and called.pop()[0] == "3D"
    assert typed(*given, "--as", "volumes")[0] == 0 and called.pop()[0] == "3D"
    assert typed(*given, "--as", "images")[0] == 0 and called.pop()[:2] == ("2D", [tmp_path / "series"])
    assert typed(*given, "--as", "scans")[0] == 2
    (case,) = find_cases([tmp_path / "series"]).cases
    with pytest.raises(InputError, match="To predict the slices of one series as single images, give --as images"):
        case.choose()


def test_a_case_can_be_stated_volume_by_volume(called, typed, tmp_path):
    case = write_case(tmp_path / "c1", 0, names={"t1": "a.nii", "t1ce": "b.nii", "t2": "c.nii", "flair": "d.nii"})
    scans = ("--t1", case / "a.nii", "--t1ce", case / "b.nii", "--t2", case / "c.nii", "--flair", case / "d.nii")
    wishes = ("--assume-orientation", "LPS", "--labels", "brats", "--resample", "--resume")
    assert typed("predict", *scans, "--out", tmp_path / "out", *wishes)[0] == 0
    network, found, _, _, *options = called.pop()
    assert network == "3D" and options == [True, "LPS", "brats", True] and [one.name for one in found.cases] == ["c1"]
    assert [source.file for source in found.cases[0].choose().sources.values()] == ["a.nii", "b.nii", "c.nii", "d.nii"]
    for words, message in (
        (scans[:4], "--t2, --flair: not given; name all four volumes"),
        ((case, *scans), "name one case of volumes; predict images and other cases separately"),
        (("--as", "images", *scans), "name one case of volumes"),
        ((), "nothing to predict: give images, folders or cases, or --t1, --t1ce, --t2, --flair"),
        ((case, "--labels", "roman"), "--labels roman: unknown numbering; choose from brats, canonical, msd"),
    ):
        code, _, err = typed("predict", *words, "--out", tmp_path / "out")
        assert code == 1 and message in " ".join(err.split())
    assert called == []


def test_export_prints_differences_from_pytorch(typed, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "export_models", lambda models, out: {out / "classifier.onnx": 2.2e-7})
    code, out, _ = typed("export", "--out", tmp_path)
    assert (code, out) == (0, f"{tmp_path / 'classifier.onnx'}: differs from PyTorch by at most 2.2e-07\n")


def test_serve_takes_port_and_models(typed, monkeypatch):
    from btlib.app.serve import server

    served = []
    monkeypatch.setattr(server, "serve", lambda *given: served.append(given))
    assert typed("serve", "--port", "8123")[0] == 0 and typed("serve", "--models", "elsewhere")[0] == 0
    assert served == [(Path("models/deploy"), 8123), (Path("elsewhere"), 8000)]
    assert typed("serve", "--port", "70000")[0] == 2
