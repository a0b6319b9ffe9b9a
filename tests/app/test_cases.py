"""Predictions of the packed joint network, and the files written by prediction."""

import os
import signal

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from nibabel.affines import from_matvec

from btlib.app.models.model_card import Unsure
from btlib.app.models.packed_joint import load_packed, save_packed
from btlib.app.predict import case_results
from btlib.app.predict.case_results import predict_cases
from btlib.app.predict.cases import CasePredictor, normalized, volumes_ml
from btlib.app.scans.case_files import find_cases
from btlib.app.scans.scans import Scans
from btlib.core.metrics.calibration import scale
from btlib.core.runtime.artifacts import read_csv, read_json, write_json
from btlib.core.runtime.errors import InputError
from btlib.volumes.data.conventions import GRADES
from btlib.volumes.evaluation.masks import PLAIN, Postprocessing, RegionRule, native_labels
from btlib.volumes.nets.inference import predict_case
from tests.app.joint_make import SECRET, SHAPE, TILTED, brain, packed, write_case, write_model, write_study

FILES = ["heat.nii.gz", "overview.png", "seg.nii.gz", "uncertainty.nii.gz"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "joint")


def scans(key=0, images=None):
    return Scans("c", np.float32(brain(key) if images is None else images), TILTED, ())


def test_volumes_are_voxel_counts_times_voxel_size():
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[0, 0, :4] = 1  # core
    labels[1, 0, :5] = 2  # oedema
    labels[2, 0, :2] = 3  # enhancing
    tilted = from_matvec(TILTED[:3, :3] @ np.diag([1, 1, 2.0]), (7, 8, 9))  # 1.5 × 2 × 6 mm = 18 mm³
    found = volumes_ml(labels, tilted)
    assert found == pytest.approx({"wt": 11 * 0.018, "tc": 6 * 0.018, "et": 2 * 0.018})
    sheared = tilted @ from_matvec([[1, 0.4, 0], [0, 1, 0], [0, 0, 1]])  # keeps volumes, not lengths
    assert volumes_ml(labels, sheared) == pytest.approx(found)


def test_answer_is_the_pipelines_prediction_calibrated_on_the_input_grid(model):
    net, window, _, card = load_packed(model)
    answer = CasePredictor.load(model).answer(scans())
    case = normalized(scans(), card.preprocessing)
    plain = predict_case(net, case, window)
    expected = scale(plain.grade[None], 2.0)[0]
    assert answer.probabilities == pytest.approx(dict(zip(GRADES, expected, strict=True)))
    assert answer.confidence == max(answer.probabilities.values()) == answer.probabilities[answer.grade]
    np.testing.assert_array_equal(answer.labels, native_labels(plain.regions, case, PLAIN))
    np.testing.assert_array_equal(answer.affine, TILTED)
    assert answer.labels.shape == answer.heat.shape == answer.uncertainty.shape == SHAPE
    assert 0 < answer.heat.max() <= 1 and 0 < answer.uncertainty.max() <= np.log(2) + 1e-6
    assert answer.volumes_ml["wt"] == pytest.approx((answer.labels > 0).sum() * 9 / 1000)
    assert CasePredictor.load(model).answer(scans(), heat=False).heat is None


def test_permuting_input_axes_permutes_the_answer(model):
    """The same head stored with permuted axes: voxels at the same location get the same labels."""
    straight = nib.as_closest_canonical(nib.Nifti1Image(np.moveaxis(brain(0), 0, -1), TILTED))
    turned = Scans("c", np.float32(np.moveaxis(straight.get_fdata(), -1, 0)), straight.affine, ())
    predictor = CasePredictor.load(model)
    answer, again = predictor.answer(scans()), predictor.answer(turned)
    mine = nib.as_closest_canonical(nib.Nifti1Image(answer.labels, TILTED))
    np.testing.assert_array_equal(mine.get_fdata(), again.labels)
    assert again.probabilities == pytest.approx(answer.probabilities)


@pytest.mark.parametrize(("threshold", "unsure"), [(0.5, False), (2.0, True)])
def test_unsure_below_the_threshold(tmp_path, threshold, unsure):
    made = packed()
    card = made.card.model_copy(update={"unsure": Unsure(**made.card.unsure.model_dump() | {"threshold": threshold})})
    save_packed(tmp_path / "joint", made._replace(card=card), {})
    assert CasePredictor.load(tmp_path / "joint").answer(scans()).unsure is unsure


def test_out_of_distribution_input_is_unfamiliar(model):
    predictor = CasePredictor.load(model)
    usual = predictor.answer(scans(101))
    assert usual.novelty <= 1 and not usual.unfamiliar and usual.remarks == ()
    missing = brain(101)
    missing[1, missing[1] > 0] = np.indices(SHAPE)[0][missing[1] > 0] * 10  # a ramp is not a T1ce
    strange = predictor.answer(scans(images=missing))
    assert (
        strange.novelty > 1
        and strange.unfamiliar
        and "unlike the training volumes of the network" in str(strange.remarks)
    )


def test_scans_with_nonzero_background_are_unfamiliar(model):
    noisy = brain(101) + np.random.default_rng(0).integers(1, 9, (4, *SHAPE))
    answer = CasePredictor.load(model).answer(scans(images=noisy))
    assert answer.unfamiliar
    assert "almost no background is 0: skull present, or noise in the air? Co-register and skull-strip" in str(
        answer.remarks
    )


def test_network_with_segmentation_only(tmp_path):
    predictor = CasePredictor.load(write_model(tmp_path / "joint", grading="none"))
    answer = predictor.answer(scans())
    assert (answer.grade, answer.probabilities, answer.confidence, answer.unsure, answer.heat) == (None,) * 5
    assert answer.labels is not None and predictor.card["calibration"] is predictor.card["unsure"] is None
    predict_cases(find_cases([write_case(tmp_path / "c1", 0)]), tmp_path / "joint", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out/c1").iterdir()) == FILES[1:]
    (row,) = read_json(tmp_path / "out/cases.json")["cases"]
    assert row["p_HGG"] is row["unsure"] is row["grade"] is None and row["volume_wt_ml"] >= 0


def test_network_with_grading_only(tmp_path):
    write_model(tmp_path / "joint", grading="global", segmentation=False, attention=False, dropout=0.0)
    predict_cases(find_cases([write_case(tmp_path / "c1", 0)]), tmp_path / "joint", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out/c1").iterdir()) == FILES[:2]
    (row,) = read_json(tmp_path / "out/cases.json")["cases"]
    assert row["mask"] is row["volume_wt_ml"] is None and row["p_LGG"] + row["p_HGG"] == pytest.approx(1)


def test_uncertainty_without_dropout_is_that_of_one_prediction(tmp_path):
    answer = CasePredictor.load(write_model(tmp_path / "joint", dropout=0.0)).answer(scans())
    assert answer.uncertainty.max() > 0 and answer.maps.mutual_information is None


@pytest.fixture(scope="module")
def written(model, tmp_path_factory):
    """The results of a NIfTI case and a DICOM study of the same head."""
    folder = tmp_path_factory.mktemp("written")
    paths = [write_case(folder / "nifti", 7), write_study(folder / "study", 7)]
    assert predict_cases(find_cases(paths), model, folder / "out") == 2
    return folder / "out"


def test_files_of_each_case(written):
    assert sorted(path.name for path in written.iterdir()) == [
        "btlib.journal",
        "cases.csv",
        "cases.json",
        "nifti",
        "study",
        "unused.csv",
    ]
    assert sorted(path.name for path in (written / "nifti").iterdir()) == FILES
    rows, table = read_json(written / "cases.json"), pd.read_csv(written / "cases.csv")
    assert rows["model"]["data_note"] == "phantom data" and rows["model"]["intended_use"] == "tests"
    assert [row["case"] for row in rows["cases"]] == table["case"].tolist() == ["nifti", "study"]
    assert list(table.columns) == [
        *("case", "grade", "p_LGG", "p_HGG", "confidence", "unsure", "novelty", "unfamiliar"),
        *("volume_wt_ml", "volume_tc_ml", "volume_et_ml", "mask", "labels", "t1", "t1ce", "t2", "flair", "why"),
        "remarks",
    ]
    mask = nib.load(written / table["mask"][0])
    assert table["volume_wt_ml"][0] == pytest.approx((mask.get_fdata() > 0).sum() * 9 / 1000, abs=1e-3)
    assert table["confidence"][0] == pytest.approx(table[["p_LGG", "p_HGG"]].loc[0].max())


def test_dicom_and_nifti_of_one_head_get_the_same_answer(written):
    first, second = read_json(written / "cases.json")["cases"]
    for name in ("p_HGG", "novelty", "volume_wt_ml"):
        assert first[name] == pytest.approx(second[name], rel=1e-4)
    masks = [nib.as_closest_canonical(nib.load(written / name / "seg.nii.gz")) for name in ("nifti", "study")]
    np.testing.assert_allclose(masks[0].affine, masks[1].affine, atol=1e-5)
    np.testing.assert_array_equal(masks[0].get_fdata(), masks[1].get_fdata())


def test_maps_are_on_the_input_grid_without_header_text(written):
    for name in FILES[:1] + FILES[2:]:
        image = nib.load(written / "nifti" / name)
        assert image.shape == SHAPE
        np.testing.assert_allclose(image.affine, TILTED, atol=1e-5)
    assert nib.load(written / "nifti/seg.nii.gz").get_data_dtype() == np.uint8
    unpacked = [
        nib.load(path).to_bytes() if path.name.endswith(".nii.gz") else path.read_bytes()
        for path in written.rglob("*")
        if path.is_file()
    ]
    assert len(unpacked) == 4 + 2 * len(FILES)
    assert not any(SECRET.encode() in content or b"DOE" in content for content in unpacked)


def test_faulty_cases_are_listed_and_the_others_predicted(model, tmp_path):
    for key, name in enumerate(("good", "flat", "lacks", "misstated", "copied", "worse")):
        write_case(tmp_path / "in" / name, key)
    nib.save(nib.Nifti1Image((brain(1)[0] > 0).astype(np.int16), TILTED), tmp_path / "in/flat/flat_t1.nii.gz")
    (tmp_path / "in/lacks/lacks_flair.nii.gz").unlink()
    (tmp_path / "in/misstated/case.json").write_text("{")
    copy = nib.load(tmp_path / "in/copied/copied_t2.nii.gz")
    nib.save(nib.Nifti1Image(copy.get_fdata() * 1.5, copy.affine), tmp_path / "in/copied/copied_flair.nii.gz")
    (tmp_path / "in/worse/worse_t2.nii.gz").write_bytes(b"")
    with pytest.raises(InputError) as found:
        predict_cases(find_cases([tmp_path / "in", tmp_path / "gone"]), model, tmp_path / "out")
    text = str(found.value)
    assert text.startswith(f"1 predicted, see {tmp_path / 'out'}; 6 could not be predicted:\n  - ")
    assert read_csv(tmp_path / "out/cases.csv")["case"].tolist() == ["good"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == ["good"]
    unused = read_csv(tmp_path / "out/unused.csv").set_index("path")["reason"]
    expected = {
        "in/flat": "case flat: t1 has the same value in the whole brain",
        "in/lacks": "case lacks: expected one volume of each modality, found 1 of t1, 1 of t1ce, 1 of t2, 0 of flair",
        "in/misstated": f"case misstated: {tmp_path / 'in/misstated/case.json'}: Invalid JSON",
        "in/copied": "case copied: t2 and flair are the same scan (copied/copied_t2.nii.gz, ",
        "in/worse": "worse/worse_t2.nii.gz: ",
        "gone": "no such file or folder",
    }
    assert len(unused) == len(expected)
    for path, reason in expected.items():
        assert unused[str(tmp_path / path)].startswith(reason) and f"  - {tmp_path / path}: {reason}" in text


def test_nothing_is_written_when_no_case_can_be_predicted(model, tmp_path):
    case = write_case(tmp_path / "c1", 0)
    (case / "c1_t2.nii.gz").write_bytes((case / "c1_t1.nii.gz").read_bytes())
    with pytest.raises(InputError, match=r"nothing could be predicted.*\n  - .*t1 and t2 are the same scan .*replace"):
        predict_cases(find_cases([case]), model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_case_that_exceeds_the_memory_is_listed(model, tmp_path, monkeypatch):
    cases = [write_case(tmp_path / name, key) for key, name in enumerate(("large", "small"))]
    answer = CasePredictor.answer
    monkeypatch.setattr(
        CasePredictor, "answer", lambda self, scans: exhaust() if scans.name == "large" else answer(self, scans)
    )
    with pytest.raises(InputError, match=r"1 predicted.*\n  - .*case large: does not fit into the memory"):
        predict_cases(find_cases(cases), model, tmp_path / "out")


def exhaust():
    raise torch.OutOfMemoryError


def test_outputs_name_the_source_of_each_modality(written):
    table = read_csv(written / "cases.csv", text=("t1", "why", "labels")).set_index("case")
    assert table.loc["nifti", ["t1", "t2", "flair"]].tolist() == [f"nifti_{m}.nii.gz" for m in ("t1", "t2", "flair")]
    assert table.loc["nifti", "why"].startswith("t1: named t1 in BraTS style; t1ce: named t1ce in BraTS style")
    why = table.loc["study", "why"]
    assert "t1ce: its description and its times say T1 with contrast; its tags mention an agent; EchoTime 10 ms" in why
    assert "the image agrees; t2: its description and its times say T2" in why
    rows = read_json(written / "cases.json")["cases"]
    assert [row["t1ce"] for row in rows] == table["t1ce"].tolist() and rows[1]["why"] == why
    assert (written.parent / "study" / table.loc["study", "t1ce"]).is_file()


def test_masks_in_the_users_numbering(model, written, tmp_path):
    case = write_case(tmp_path / "nifti", 7)
    predict_cases(find_cases([case]), model, tmp_path / "out", labels="brats")
    mine, theirs = (nib.load(out / "nifti/seg.nii.gz").get_fdata() for out in (written, tmp_path / "out"))
    assert (mine == 3).any()
    np.testing.assert_array_equal(theirs, np.where(mine == 3, 4, mine))
    said = read_json(tmp_path / "out/cases.json")["model"]
    assert said["labels"] == {"0": "background", "1": "necrotic_core", "2": "edema", "4": "enhancing"}
    assert said["numbering"] == "brats" and read_csv(tmp_path / "out/cases.csv")["labels"].tolist() == ["brats"]


def test_files_that_were_not_used_are_listed(model, tmp_path, capsys):
    case = write_case(tmp_path / "in/c1", 0, names={m: f"{m}.nii.gz" for m in ("t1", "t1ce", "t2", "flair")})
    for name, content in (("t1_mask.nii.gz", b"x"), ("empty.png", b""), ("notes.bin", b"x"), ("old.mha", b"x")):
        (case / name).write_bytes(content)
    predict_cases(find_cases([tmp_path / "in"]), model, tmp_path / "in/out")
    assert "4 files or folders were not used" in capsys.readouterr().out
    predict_cases(find_cases([tmp_path / "in"]), model, tmp_path / "again")
    reasons = read_csv(tmp_path / "again/unused.csv").set_index("path")["reason"]
    assert {path.removeprefix(f"{tmp_path}/in/"): reason.split(":")[0] for path, reason in reasons.items()} == {
        "c1/empty.png": "zero bytes",
        "c1/notes.bin": "not NIfTI, unlike the scans beside it",
        "c1/old.mha": "unsupported format; convert it to NIfTI, for example with SimpleITK",
        "c1/t1_mask.nii.gz": "not chosen",
        "out": "results of an earlier run, not scans",
    }


def crash(case, **_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_case_that_crashes_its_reader_is_reported(model, tmp_path, monkeypatch):
    case = write_case(tmp_path / "c1", 0)
    monkeypatch.setattr(case_results, "read_scans", crash)
    with pytest.raises(InputError, match="case c1: crashed the program that decodes it"):
        predict_cases(find_cases([case]), model, tmp_path / "out")


def test_nothing_is_overwritten(model, tmp_path):
    case = write_case(tmp_path / "c1", 0)
    with pytest.raises(InputError, match="c1: not an empty folder; choose a new one, nothing is overwritten"):
        predict_cases(find_cases([case]), model, case)
    assert len(list(case.iterdir())) == 4
    (tmp_path / "empty").mkdir()
    assert predict_cases(find_cases([case]), model, tmp_path / "empty") == 1


def test_a_missing_or_damaged_model_is_named(model, tmp_path):
    with pytest.raises(InputError, match=r"gone: no such model folder; create it with `dvc repro package_joint`"):
        CasePredictor.load(tmp_path / "gone")
    made = packed()
    save_packed(tmp_path / "joint", made, {})
    text = (tmp_path / "joint/card.json").read_text(encoding="utf-8")
    (tmp_path / "joint/card.json").write_text(text.replace("clip_percentiles", "clipped"), encoding="utf-8")
    with pytest.raises(InputError, match=r"card\.json: missing or wrong: preprocessing\.clip_percentiles"):
        CasePredictor.load(tmp_path / "joint")


def test_masks_and_volumes_follow_the_cards_post_processing(tmp_path):
    made = packed()
    never = RegionRule(threshold=1.0)
    rules = Postprocessing(wt=never, tc=never, et=never)
    save_packed(tmp_path / "joint", made._replace(card=made.card.model_copy(update={"postprocessing": rules})), {})
    predictor = CasePredictor.load(tmp_path / "joint")
    answer = predictor.answer(scans())
    assert not answer.labels.any() and set(answer.volumes_ml.values()) == {0} and not answer.maps.masks.any()
    assert predictor.card["postprocessing"]["wt"]["threshold"] == 1


def test_models_packaged_before_there_was_post_processing_predict_as_they_did(model, tmp_path):
    save_packed(tmp_path / "joint", packed(), {})
    card = read_json(tmp_path / "joint/card.json")
    del card["postprocessing"]
    write_json(tmp_path / "joint/card.json", card)
    old = CasePredictor.load(tmp_path / "joint")
    assert old.card["postprocessing"] == PLAIN.model_dump()
    np.testing.assert_array_equal(old.answer(scans()).labels, CasePredictor.load(model).answer(scans()).labels)


def test_resampling_adds_a_remark(model, tmp_path, capsys):
    case = write_case(tmp_path / "c1", 3)
    shifted = from_matvec(TILTED[:3, :3], TILTED[:3, 3] + 0.1)
    nib.save(nib.Nifti1Image(brain(3)[3], shifted), case / "c1_flair.nii.gz")
    with pytest.raises(InputError, match="give --resample"):
        predict_cases(find_cases([case]), model, tmp_path / "out")
    predict_cases(find_cases([case]), model, tmp_path / "out", resample=True)
    assert "case c1: flair resampled to the grid of t1ce by headers" in capsys.readouterr().out
