"""Result folders: one row per image, nothing overwritten, nothing lost."""

import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from btlib.app.predict import slice_results
from btlib.app.predict.overlays import LINE, outlined, overlay
from btlib.app.predict.slice_results import predict_slices
from btlib.app.predict.slices import SlicePredictor
from btlib.app.scans.slice_pictures import picture_of
from btlib.core.runtime.artifacts import read_csv, read_json
from btlib.core.runtime.errors import InputError
from tests.app.slice_make import picture, write_dicom, write_model, write_picture


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "classifier")


def test_a_row_and_an_overlay_for_each_image(model, tmp_path):
    for seed in range(3):
        write_picture(tmp_path / f"scans/{seed}.png", seed)
    write_dicom(tmp_path / "scans/ct.dcm", np.uint16(picture(5)[..., 0]), Modality="CT")
    assert predict_slices([tmp_path / "scans"], model, tmp_path / "out") == 4
    table = read_csv(tmp_path / "out/slices.csv", text=("remarks",))
    predictor = SlicePredictor.load(model)
    answers = predictor.answer([picture(seed) for seed in range(3)], heat=True)
    assert table["path"].tolist() == [str(tmp_path / "scans" / name) for name in ("0.png", "1.png", "2.png", "ct.dcm")]
    assert table["label"].tolist()[:3] == [answer.label for answer in answers]
    for number, answer in enumerate(answers):
        assert table["confidence"][number] == pytest.approx(answer.confidence, abs=1e-6)
        assert table[f"p_{answer.label}"][number] == table["confidence"][number]
        shown = np.asarray(Image.open(tmp_path / "out" / table["overlay"][number]))
        assert np.abs(shown.astype(int) - overlay(picture(number), answer.heat)).max() <= 1
    assert table["unfamiliar"].tolist() == [answer.unfamiliar for answer in answers] + [True]
    assert table["remarks"][3].startswith("DICOM modality CT, not MR")
    said = read_json(tmp_path / "out/slices.json")
    assert [row.pop("lesion_share") for row in said["slices"]] == [None] * 4 and table.pop("lesion_share").isna().all()
    assert pd.DataFrame(said["slices"])[list(table.columns)].equals(table)
    assert said["model"]["data_note"] == "phantom data" and said["model"]["unsure"]["threshold"] == 0.3
    assert len(read_csv(tmp_path / "out/unused.csv")) == 0
    everything = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert not any(secret in everything for secret in (b"Doe", b"SECRET", b"secret"))


def test_outline_and_share_of_a_network_with_a_lesion_head(tmp_path):
    model = write_model(tmp_path / "classifier", lesion=True)
    for seed in range(3):
        write_picture(tmp_path / f"scans/{seed}.png", seed)
    predict_slices([tmp_path / "scans"], model, tmp_path / "out")
    table = read_csv(tmp_path / "out/slices.csv")
    answers = SlicePredictor.load(model).answer([picture(seed) for seed in range(3)], heat=True)
    assert table["lesion_share"].tolist() == pytest.approx([answer.lesion_share for answer in answers])
    assert [row["lesion_share"] for row in read_json(tmp_path / "out/slices.json")["slices"]] == [
        *table["lesion_share"]
    ]
    for number, answer in enumerate(answers):
        shown = np.asarray(Image.open(tmp_path / "out" / table["overlay"][number]))
        drawn = (outlined(picture(number), answer.lesion) != picture(number)).any(axis=2)
        assert (shown == LINE[:3]).all(axis=2).sum() > 30
        assert np.abs(shown.astype(int) - overlay(picture(number), answer.heat))[~drawn].max() <= 1


def test_files_of_the_same_name_get_separate_overlays(model, tmp_path):
    for name in ("a/Scan.png", "b/scan.png", "b/scan.bmp", "b/scan-2.png"):
        write_picture(tmp_path / name)
    predict_slices([tmp_path / "a", tmp_path / "b"], model, tmp_path / "out")
    table = read_csv(tmp_path / "out/slices.csv")
    names = dict(zip([path.removeprefix(f"{tmp_path}/") for path in table["path"]], table["overlay"], strict=True))
    assert names == {
        "a/Scan.png": "overlays/Scan.png",
        "b/scan-2.png": "overlays/scan-2.png",
        "b/scan.bmp": "overlays/scan-3.png",
        "b/scan.png": "overlays/scan-4.png",
    }
    assert sorted(path.name for path in (tmp_path / "out/overlays").iterdir()) == [
        "Scan.png",
        "scan-2.png",
        "scan-3.png",
        "scan-4.png",
    ]


def test_unreadable_files_are_listed_and_others_predicted(model, tmp_path):
    write_picture(tmp_path / "scans/good.png")
    (tmp_path / "scans/bad.png").write_bytes(b"")
    (tmp_path / "scans/model.bin").write_bytes(b"x")
    with pytest.raises(InputError) as error:
        predict_slices([tmp_path / "scans"], model, tmp_path / "out")
    assert f"1 predicted, see {tmp_path / 'out'}; 2 could not be predicted:" in str(error.value)
    assert f"  - {tmp_path / 'scans/bad.png'}: zero bytes" in str(error.value)
    assert [path.rsplit("/", 1)[1] for path in read_csv(tmp_path / "out/slices.csv")["path"]] == ["good.png"]
    listed = read_csv(tmp_path / "out/unused.csv").set_index("path")["reason"]
    assert listed[str(tmp_path / "scans/bad.png")] == "zero bytes" and len(listed) == 2


def test_results_of_an_earlier_run_are_skipped(model, tmp_path, capsys):
    write_picture(tmp_path / "scans/a.png")
    for name in ("first", "second"):
        assert predict_slices([tmp_path / "scans"], model, tmp_path / "scans" / name) == 1
    assert "1 files or folders were not used" in capsys.readouterr().out
    unused = read_csv(tmp_path / "scans/second/unused.csv")
    assert unused.to_numpy().tolist() == [[str(tmp_path / "scans/first"), "results of an earlier run, not scans"]]


def test_a_file_that_crashes_its_decoder_is_listed(model, tmp_path, monkeypatch):
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "bad.png")
    monkeypatch.setattr(slice_results, "picture_of", crash_on_bad)
    with pytest.raises(InputError, match=r"1 predicted, .*\n  - .*bad\.png: crashed the program that decodes"):
        predict_slices([tmp_path / "a.png", tmp_path / "bad.png"], model, tmp_path / "out")


def crash_on_bad(path):
    if path.stem == "bad":
        os.kill(os.getpid(), signal.SIGKILL)
    return picture_of(path)


def test_nothing_is_written_without_readable_images_or_over_files(model, tmp_path):
    (tmp_path / "scans").mkdir()
    with pytest.raises(InputError, match="nothing could be predicted, so nothing was written"):
        predict_slices([tmp_path / "scans"], model, tmp_path / "out")
    (tmp_path / "scans/bad.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"nothing could be predicted, .*\n  - .*bad\.png: zero bytes"):
        predict_slices([tmp_path / "scans"], model, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scans"]
    with pytest.raises(InputError, match="scans: not an empty folder; choose a new one"):
        predict_slices([tmp_path / "scans"], model, tmp_path / "scans")


def test_images_are_processed_in_small_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(slice_results, "BATCH", 3)
    monkeypatch.setattr(slice_results, "BATCH_PIXELS", 5000)  # two of 40 × 48
    files = [write_picture(tmp_path / f"{number}.png") for number in range(5)]
    Image.fromarray(picture(0, 100, 100)).save(tmp_path / "large.png")
    assert [len(batch) for batch in slice_results._batches(files)] == [2, 2, 1]
    mixed = list(slice_results._batches([files[0], tmp_path / "large.png", tmp_path / "none.png", files[1]]))
    assert [len(batch) for batch in mixed] == [1, 1, 2] and "no such file" in mixed[2][str(tmp_path / "none.png")]
    monkeypatch.setattr(slice_results, "BATCH_PIXELS", 50_000)
    assert [len(batch) for batch in slice_results._batches(files)] == [3, 2]


def test_a_thousand_namesakes_are_numbered():
    names = slice_results._unique_names([Path(f"{n}/{stem}") for n in range(1000) for stem in ("a.png", "A-7.png")])
    assert len({name.casefold() for name in names.values()}) == 2000
    assert [names[Path(f"{n}/a.png")] for n in (0, 1, 5, 6)] == ["a", "a-2", "a-6", "a-8"]
