"""A tiny, untrained packed classifier, and files for it."""

import numpy as np
import torch
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from btlib.app.models.model_card import Calibration, Limit, Unsure
from btlib.app.models.novelty import fit_novelty
from btlib.app.models.packed_classifier import ClassifierCard, PackedClassifier, Preprocessing, save_packed
from btlib.images.data.classes import CLASSES
from btlib.images.data.preprocessing import Clahe, GrayLevels, preprocess
from btlib.images.nets.classifier import Architecture, Classifier
from btlib.images.nets.features import middle_features, see

SIZE = 32
LEVELS = GrayLevels(None, Clahe(enabled=True, clip_limit=2.0, tiles=4))


def picture(seed, height=40, width=48):
    """uint8 [height, width, 3]: grey blobs on black, similar for all seeds."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    gray = 200 * np.exp(-(((y - height / 2) / 12) ** 2) - ((x - width / 2) / 12) ** 2) + rng.uniform(0, 25, y.shape)
    return np.repeat(gray.astype(np.uint8)[:, :, None], 3, axis=2)


def packed_classifier(fusion="gated_cross_attention", flip_tta=False, lesion=False, tied=False):
    """With `lesion`, about half of every picture is outlined."""
    torch.manual_seed(0)
    names = ("test_efficientnet", "test_convnext")
    net = Classifier(Architecture(names, fusion, 16, 2, 0.0, CLASSES, flip_tta, lesion, tied)).eval()
    squares = np.stack([preprocess(picture(seed), SIZE, LEVELS) for seed in range(24)])
    if lesion:
        with torch.no_grad():
            net.lesion.logit.bias -= see(net, as_batch(squares)).lesion.median()
    features = middle_features(net, squares)
    novelty = fit_novelty(features[:16], features[16:], 0.99)
    card = ClassifierCard(
        preprocessing=Preprocessing(image_size=SIZE, clahe=LEVELS.clahe),
        calibration=Calibration(temperature=2.0),
        unsure=Unsure(error_rate=0.05, threshold=0.3, validation_answers=10, validation_kept=4, validation_errors=0),
        novelty=Limit(quantile=0.99, threshold=novelty.threshold),
        data_note="phantom data",
        intended_use="Tests.",
    )
    return PackedClassifier(net, novelty, card)


def as_batch(squares):
    """uint8 [N, H, W, 3] as the network takes it: float32 [N, 3, H, W] in 0 … 1."""
    return torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255


def write_model(folder, **changes):
    save_packed(folder, packed_classifier(**changes), {"stage": "stage2"})
    return folder


def write_picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed)).save(path)
    return path


def write_dicom(path, values, **tags):
    """A little-endian MR slice of integers [rows, columns], 16 bits, with patient names that must not leak."""
    values = np.asarray(values, np.int16 if np.min(values) < 0 else np.uint16)
    file = Dataset()
    file.SOPClassUID, file.SOPInstanceUID = MRImageStorage, generate_uid()
    file.PatientName, file.PatientID, file.StudyDescription = "Doe^Jane", "SECRET-1", "secret study"
    file.Modality, file.PhotometricInterpretation, file.SamplesPerPixel = "MR", "MONOCHROME2", 1
    file.Rows, file.Columns = values.shape[-2:]
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, 16, 15
    file.PixelRepresentation = int(values.dtype == np.int16)
    file.PixelData = values.tobytes()
    for name, value in tags.items():
        delattr(file, name) if value is None else setattr(file, name, value)
    file.file_meta = FileMetaDataset()
    file.file_meta.MediaStorageSOPClassUID, file.file_meta.TransferSyntaxUID = MRImageStorage, ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save_as(path, enforce_file_format=True)
    return path
