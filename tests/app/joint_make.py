"""Tiny cases, DICOM studies and joint networks for the tests of prediction."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, from_matvec
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from scipy.spatial.transform import Rotation

from btlib.app.models.model_card import Calibration, Limit, Unsure
from btlib.app.models.novelty import fit_novelty
from btlib.app.models.packed_joint import Dropout, JointCard, PackedJoint, Preprocessing, save_packed
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.normalize import normalize
from btlib.volumes.nets.features import encoder_features
from btlib.volumes.nets.network import JointArchitecture, build_joint
from btlib.volumes.nets.windows import Window

SHAPE = (20, 18, 12)
# 1.5 × 2 × 3 mm, axes permuted and mirrored, oblique
TILTED = from_matvec(
    Rotation.from_euler("xyz", (8, -5, 12), degrees=True).as_matrix() @ [[0, -2, 0], [-1.5, 0, 0], [0, 0, 3]],
    (12.0, 20, -30),
)
SECRET = "DOE^JANE"  # in every header, must not be in any output


def brain(key: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """int16 [4, X, Y, Z]: noise in a box, 0 around it, and a bright block in every modality but T1."""
    rng = np.random.default_rng(key)
    images = np.zeros((4, *shape), np.int16)
    inside = (slice(None), *(slice(2, side - 2) for side in shape))
    images[inside] = rng.normal(500, 60, images[inside].shape)
    images[1:, 6:11, 6:11, 4:8] += 400
    return images


def write_case(folder: Path, key: int, affine: np.ndarray = TILTED, names: dict[str, str] | None = None) -> Path:
    """Four NIfTI files, named after the folder as in BraTS 2020, or as `names` says by modality."""
    folder.mkdir(parents=True)
    for modality, values in zip(MODALITIES, brain(key), strict=True):
        image = nib.Nifti1Image(values, affine)
        image.header["descrip"] = SECRET
        nib.save(image, folder / (names[modality] if names else f"{folder.name}_{modality}.nii.gz"))
    return folder


def packed(seed: int = 0, **architecture) -> PackedJoint:
    """An untrained network that looks through one window of 16 voxels at 3 mm."""
    plan = {"width": 8, "attention": True, "segmentation": True, "grading": "regions", "dropout": 0.2} | architecture
    net, window = build_joint(JointArchitecture(**plan), seed), Window(16, 16)
    cases = [normalize(str(key), brain(key), None, TILTED, 3.0, (0.5, 99.5)) for key in range(100, 108)]
    features = np.stack([encoder_features(net, case, window) for case in cases])
    novelty = fit_novelty(features[:5], features[5:], 0.99)
    graded = plan["grading"] != "none"
    card = JointCard(
        preprocessing=Preprocessing(spacing=3.0, clip_percentiles=(0.5, 99.5)),
        calibration=Calibration(temperature=2.0) if graded else None,
        unsure=Unsure(error_rate=0.05, threshold=0.9, validation_answers=9, validation_kept=4, validation_errors=0)
        if graded
        else None,
        novelty=Limit(quantile=0.99, threshold=novelty.threshold),
        mc_dropout=Dropout(samples=3, seed=0),
        data_note="phantom data",
        intended_use="tests",
    )
    return PackedJoint(net, window, novelty, card)


def write_model(folder: Path, **architecture) -> Path:
    save_packed(folder, packed(**architecture), {})
    return folder


TIMES = {"t1": (10, 500, 0), "t1ce": (10, 500, 0), "t2": (100, 4000, 0), "flair": (120, 9000, 2500)}  # TE, TR, TI in ms
WORDS = {"t1": "AX T1", "t1ce": "AX T1 POST", "t2": "AX T2", "flair": "AX T2 FLAIR"}


def write_series(folder: Path, values: np.ndarray, affine: np.ndarray, study: str, words: str, **tags) -> list[Path]:
    """One file per slice, in random order, with uninformative names.

    Args:
        values: integers [columns, rows, slices].
        affine: [4, 4] of that grid, RAS, following the DICOM standard (C.7.6.2.1.1): pixel (row r, column c) of a
            slice is at ImagePositionPatient + c · spacing · the first direction + r · spacing · the second one, LPS.
        words: SeriesDescription.
        tags: further tags, or overrides.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1, -1, 1, 1]) @ affine
    sizes = nib.affines.voxel_sizes(affine)
    directions = lps[:3, :3] / sizes
    series, rng = generate_uid(), np.random.default_rng(len(words))
    written = []
    for name, k in enumerate(rng.permutation(values.shape[2])):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, generate_uid()
        image.Modality, image.PatientName, image.PatientID = "MR", SECRET, SECRET
        image.StudyInstanceUID, image.SeriesInstanceUID = study, series
        image.StudyDescription, image.SeriesDescription = SECRET, f"{words} {SECRET}"
        image.InstanceNumber = int(k) + 1
        image.SliceThickness = 99  # must be ignored
        image.ImagePositionPatient = apply_affine(lps, (0, 0, k)).round(9).tolist()
        image.ImageOrientationPatient = [*directions[:, 0].round(12), *directions[:, 1].round(12)]
        image.PixelSpacing = [float(sizes[1]), float(sizes[0])]  # between rows, between columns
        image.Columns, image.Rows = values.shape[:2]
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
        image.PixelData = np.ascontiguousarray(values[:, :, k].T.astype("<i2")).tobytes()
        for tag, value in tags.items():
            setattr(image, tag, value)
        path = folder / f"{words.replace(' ', '')[:2]}{series[-6:]}{name:03}"
        image.save_as(path, enforce_file_format=True)
        written.append(path)
    return written


def write_study(folder: Path, key: int = 0, affine: np.ndarray = TILTED, without: tuple[str, ...] = ()) -> Path:
    """Four series of one patient in one folder; the contrast agent is also in its tag."""
    study = generate_uid()
    for modality, values in zip(MODALITIES, brain(key), strict=True):
        if modality not in without:
            write_modality(folder, values, affine, study, modality)
    return folder


def write_modality(folder: Path, values: np.ndarray, affine: np.ndarray, study: str, modality: str, **tags):
    times = dict(zip(("EchoTime", "RepetitionTime", "InversionTime"), TIMES[modality], strict=True))
    agent = {"ContrastBolusAgent": "Gadovist"} if modality == "t1ce" else {}
    return write_series(folder, values, affine, study, WORDS[modality], **times, **agent, **tags)
