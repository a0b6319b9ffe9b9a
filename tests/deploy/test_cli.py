"""The command `btlib` as it is typed."""

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from btlib import cli
from btlib.artifacts import read_csv
from btlib.deploy import export, roads
from btlib.errors import InputError
from tests.deploy.slice_make import write_model, write_picture

ROOT = Path(__file__).parents[2]


@pytest.fixture
def typed(monkeypatch, capsys):
    """Runs a command line; gives the exit code and what it wrote to stdout and stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["btlib", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        done = capsys.readouterr()
        return end.value.code or 0, done.out, done.err

    return run


@pytest.fixture
def called(monkeypatch):
    """Which road was taken with what, instead of taking it."""
    calls = []
    monkeypatch.setattr(roads, "predict_slices", lambda *given: calls.append(("2D", *given)) or 7)
    monkeypatch.setattr(roads, "predict_cases", lambda *given: calls.append(("3D", *given)) or 2)
    return calls


def write_volume(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8), np.int16), np.eye(4)), path)
    return path


def test_help_names_the_commands_and_says_what_this_is_not(typed):
    code, out, _ = typed("--help")
    assert code == 0 and "Research software, not a medical device." in " ".join(out.split())
    assert all(f"  {name} " in out for name in ("predict", "export", "serve"))
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("command", ["predict", "export", "serve"])
def test_each_command_says_what_its_options_are(typed, command):
    code, out, _ = typed(command, "--help")
    words = " ".join(out.split())
    assert code == 0 and words.startswith(f"Usage: btlib {command} ") and "[default: models/deploy]" in words
    options = [line for line in out.splitlines() if line.strip().startswith("--")]
    assert all(len(line.split("  ")) > 2 or "--help" in line for line in options), options


def test_as_a_module_and_without_loading_a_network():
    """Help must not take the seconds that PyTorch takes to load."""
    code = "import runpy, sys; sys.argv = ['btlib', '--help']; runpy.run_module('btlib.cli', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: btlib ") and "| typer" in done.stderr.replace("  ", "")
    assert not any(line.endswith("| torch") for line in done.stderr.replace("  ", "").splitlines())


def test_images_are_predicted_whole(typed, tmp_path):
    write_model(tmp_path / "models/classifier")
    write_picture(tmp_path / "scans/a.png")
    given = ("predict", tmp_path / "scans", "--out", tmp_path / "out", "--models", tmp_path / "models")
    code, out, _ = typed(*given)
    assert (code, out) == (0, f"1 predicted: {tmp_path / 'out'}\n")
    assert len(read_csv(tmp_path / "out/slices.csv")) == 1
    code, _, err = typed(*given)
    assert code == 1 and "out: not an empty folder; name a new one" in err


def test_a_file_that_cannot_be_read_gives_exit_code_1_with_the_others_predicted(typed, tmp_path):
    write_model(tmp_path / "models/classifier")
    write_picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    paths = (tmp_path / "a.png", tmp_path / "b.png")
    code, _, err = typed("predict", *paths, "--out", tmp_path / "out", "--models", tmp_path / "models")
    assert code == 1 and f"  - {tmp_path / 'b.png'}: zero bytes" in err
    assert len(read_csv(tmp_path / "out/slices.csv")) == 1


def test_without_a_model_it_says_what_to_run(typed, tmp_path):
    picture = write_picture(tmp_path / "a.png")
    code, _, err = typed("predict", picture, "--out", tmp_path / "out", "--models", tmp_path)
    assert code == 1 and "no such model folder; `dvc repro package_classifier` makes it, `dvc pull" in err
    code, _, err = typed("export", "--out", tmp_path / "out", "--models", tmp_path / "none")
    assert code == 1 and "`dvc repro package_classifier package_joint` makes them" in err
    assert not (tmp_path / "out").exists()


def test_images_go_to_the_2d_network_and_volumes_to_the_3d_one(called, typed, tmp_path):
    picture, volume = write_picture(tmp_path / "images/a.png"), write_volume(tmp_path / "case/t1.nii.gz")
    models, out = tmp_path / "models", tmp_path / "out"
    for paths in ([picture], [picture.parent], [picture, picture.parent]):
        assert roads.predict(paths, models, out, False) == 7
        assert called.pop() == ("2D", paths, models / "classifier", out)
    for paths in ([volume], [volume.parent]):
        assert roads.predict(paths, models, out, True) == 2
        assert called.pop() == ("3D", paths, models / "joint", out, True)
    code, out_text, _ = typed("predict", volume.parent, "--out", out, "--models", models, "--resample")
    assert (code, out_text) == (0, f"2 predicted: {out}\n") and called.pop()[-1] is True
    with pytest.raises(InputError, match=r"case holds volumes and .*a\.png images; predict them apart"):
        roads.predict([picture, volume.parent], models, out, False)
    with pytest.raises(InputError, match=r"x: no such file or folder\n.*y: no such file or folder"):
        roads.predict([tmp_path / "x", picture, tmp_path / "y"], models, out, False)
    assert called == []


def test_export_tells_how_far_each_file_is_from_pytorch(typed, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "export_models", lambda models, out: {out / "classifier.onnx": 2.2e-7})
    code, out, _ = typed("export", "--out", tmp_path)
    assert (code, out) == (0, f"{tmp_path / 'classifier.onnx'}: differs from PyTorch by at most 2.2e-07\n")


def test_serve_takes_port_and_models(typed, monkeypatch):
    from btlib.web import server

    served = []
    monkeypatch.setattr(server, "serve", lambda *given: served.append(given))
    assert typed("serve", "--port", "8123")[0] == 0 and typed("serve", "--models", "elsewhere")[0] == 0
    assert served == [(Path("models/deploy"), 8123), (Path("elsewhere"), 8000)]
    assert typed("serve", "--port", "70000")[0] == 2
