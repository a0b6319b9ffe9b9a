"""Whole inputs of every kind, tiny and always the same: one folder for each."""

import io
import json
import struct
import zipfile
from pathlib import Path

import cv2
import gdcm
import h5py
import nibabel as nib
import numpy as np
import torch
from PIL import Image
from pydicom import dcmread, dcmwrite, uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from safetensors.torch import save_file

from btlib.app.models.packed_classifier import save_packed
from btlib.core.training.resume import ResumeState, SavedArm, SavedRun
from btlib.images.data.classes import CLASSES
from btlib.images.nets.classifier import Architecture, Classifier
from btlib.volumes.data.conventions import MODALITIES
from btlib.volumes.data.grid import MIN_SIDE
from btlib.volumes.data.normalize import normalize
from btlib.volumes.data.store import case_path, save_case
from tests.app import joint_make, slice_make
from tests.fuzz.trial import PATIENT
from tests.images.data.samples import make_case

SHAPE = (12, 11, 9)  # voxels
AFFINE = nib.affines.from_matvec(np.diag([-4.0, -4, 5]), [20, 20, -20])


def gray(key: int, height: int = 20, width: int = 24) -> np.ndarray:
    """uint8 [height, width], smooth."""
    small = np.random.default_rng(key).integers(0, 256, (5, 6), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _images(folder: Path, ending: str, kinds: dict[str, tuple[Image.Image, dict]]) -> None:
    for name, (image, options) in kinds.items():
        (folder / name).mkdir()
        image.save(folder / name / f"x.{ending}", **options)


def _modes(*modes: str) -> dict[str, tuple[Image.Image, dict]]:
    """The same picture in several modes of Pillow."""
    color = Image.merge("RGB", [Image.fromarray(gray(key)) for key in (1, 2, 3)])
    return {mode.lower(): (color.convert(mode), {}) for mode in modes}


def _sixteen() -> Image.Image:
    return Image.fromarray(gray(4).astype(np.uint16) * 200)


def png(folder: Path) -> None:
    kinds = _modes("1", "L", "LA", "P", "RGB", "RGBA") | {"i16": (_sixteen(), {})}
    palette = _modes("P")["p"][0]
    exif = Image.Exif()
    exif[0x0112] = 6
    _images(
        folder, "png", kinds | {"clear": (palette, {"transparency": 3}), "turned": (kinds["rgb"][0], {"exif": exif})}
    )
    (folder / "rgb16").mkdir()
    cv2.imwrite(str(folder / "rgb16/x.png"), np.dstack([gray(key).astype(np.uint16) * 250 for key in (1, 2, 3)]))


def jpeg(folder: Path) -> None:
    kinds = _modes("L", "RGB", "CMYK")
    image, exif = kinds["rgb"][0], Image.Exif()
    exif[0x0112] = 8
    more = {"progressive": {"progressive": True}, "restarts": {"restart_marker_blocks": 1}, "turned": {"exif": exif}}
    _images(folder, "jpg", kinds | {name: (image, options) for name, options in more.items()})


def tiff(folder: Path) -> None:
    kinds = _modes("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "F", "I") | {"i16": (_sixteen(), {})}
    ways = ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "tiff_deflate")
    kinds |= {way: (kinds["rgb"][0], {"compression": way}) for way in ways}
    kinds |= {way: (kinds["1"][0], {"compression": way}) for way in ("group3", "group4")}
    kinds |= {"strips": (kinds["l"][0], {"strip_size": 48, "compression": "packbits"})}
    kinds |= {"turned": (kinds["l"][0], {"tiffinfo": {274: 6}})}
    kinds |= {"refused-pages": (kinds["l"][0], {"save_all": True, "append_images": [kinds["l"][0]]})}
    _images(folder, "tif", kinds)
    for order in "<>":
        (folder / f"tiles{'<>'.index(order)}").mkdir()
        (folder / f"tiles{'<>'.index(order)}/x.tif").write_bytes(_tiled(order))


def _tiled(order: str) -> bytes:
    """Two tiles of 16 × 16 grey pixels beside each other, with 16 bits where the order is big-endian."""
    bits, pixels = (8, gray(5, 32, 16).tobytes()) if order == "<" else (16, gray(5, 32, 16).astype(">u2").tobytes())
    size = len(pixels) // 2
    entries = [
        (256, 3, 32),
        (257, 3, 16),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, 1),
        (277, 3, 1),
        (322, 3, 16),
        (323, 3, 16),
    ]
    place = 8 + 2 + 12 * (len(entries) + 2) + 4
    out = [b"II*\0" if order == "<" else b"MM\0*", struct.pack(order + "IH", 8, len(entries) + 2)]
    out += [struct.pack(order + "HHIHH", tag, kind, 1, value, 0) for tag, kind, value in entries]
    out += [struct.pack(order + "HHII", 324, 4, 2, place), struct.pack(order + "HHII", 325, 4, 2, place + 8)]
    return b"".join([*out, struct.pack(order + "5I", 0, place + 16, place + 16 + size, size, size), pixels])


def bmp(folder: Path) -> None:
    _images(folder, "bmp", _modes("1", "L", "P", "RGB", "RGBA"))


def webp(folder: Path) -> None:
    rgb, rgba = (image for image, _ in _modes("RGB", "RGBA").values())
    kinds = {"lossy": (rgb, {}), "lossless": (rgb, {"lossless": True}), "alpha": (rgba, {"lossless": True})}
    _images(
        folder, "webp", kinds | {"refused-moving": (rgb, {"save_all": True, "append_images": [rgba.convert("RGB")]})}
    )


def mask(folder: Path) -> None:
    spot = Image.fromarray(np.where(gray(6) > 128, 255, 0).astype(np.uint8))
    for ending in ("png", "tif", "bmp"):
        (folder / ending).mkdir()
        spot.save(folder / ending / f"x.{ending}")
        spot.convert("1").save(folder / ending / f"x.{ending}")


def mat(folder: Path) -> None:
    for name in ("plain", "packed"):
        make_case(folder / name / "x.mat", patient="100360", side=16)
    with h5py.File(folder / "packed/x.mat", "a") as file:
        for field in ("image", "tumorMask"):
            values = file[f"cjdata/{field}"][:]
            del file[f"cjdata/{field}"]
            file.create_dataset(f"cjdata/{field}", data=values, compression="gzip", chunks=(8, 8))


def _slice(values: np.ndarray, number: int = 0, **tags) -> Dataset:
    """An MR slice of 16 bits, with names in it."""
    file = Dataset()
    file.SOPClassUID, file.SOPInstanceUID = uid.MRImageStorage, f"1.2.3.{number + 1}"
    file.PatientName = file.PatientID = file.StudyDescription = file.InstitutionName = PATIENT
    file.Modality, file.StudyInstanceUID, file.SeriesInstanceUID = "MR", "1.2.4", "1.2.5"
    file.Rows, file.Columns = values.shape[-2:]
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = 8 * values.dtype.itemsize
    file.HighBit, file.PixelRepresentation = file.BitsStored - 1, int(values.dtype.kind == "i")
    file.PixelData = values.tobytes() + bytes(values.nbytes % 2)
    for name, value in tags.items():
        setattr(file, name, value)
    file.file_meta = FileMetaDataset()
    file.file_meta.MediaStorageSOPClassUID, file.file_meta.MediaStorageSOPInstanceUID = (
        file.SOPClassUID,
        file.SOPInstanceUID,
    )
    file.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    return file


def _write(path: Path, file: Dataset, syntax: str = uid.ExplicitVRLittleEndian) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    file.file_meta.TransferSyntaxUID = syntax
    dcmwrite(path, file, enforce_file_format=True)


def _encoded(path: Path, pixels: bytes, syntax: str) -> None:
    file = _slice(gray(7))
    file.PixelData = encapsulate([pixels])
    file["PixelData"].VR = "OB"
    _write(path, file, syntax)


def _picture_bytes(kind: str, **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(gray(7)).save(out, kind, **options)
    return out.getvalue()


def dicom_slice(folder: Path) -> None:
    plain = gray(7).astype(np.uint16) * 9
    _write(folder / "explicit/x.dcm", _slice(plain))
    _write(folder / "implicit/x.dcm", _slice(plain), uid.ImplicitVRLittleEndian)
    _write(folder / "deflated/x.dcm", _slice(plain), uid.DeflatedExplicitVRLittleEndian)
    _write(folder / "signed/x.dcm", _slice(plain.astype(np.int16) - 900, RescaleSlope=2.5, RescaleIntercept=-1000))
    _write(folder / "window/x.dcm", _slice(plain, WindowCenter=[900, 100], WindowWidth=[1200, 50]))
    _write(folder / "inverted/x.dcm", _slice(plain, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0))
    _write(folder / "bytes/x.dcm", _slice(gray(7)))
    _write(folder / "refused-frames/x.dcm", _slice(np.stack([plain, plain]), NumberOfFrames=2))
    rle = _slice(plain)
    rle.compress(uid.RLELossless, generate_instance_uid=False)
    _write(folder / "rle/x.dcm", rle, uid.RLELossless)
    _encoded(folder / "jpeg/x.dcm", _picture_bytes("JPEG"), uid.JPEGBaseline8Bit)
    _encoded(folder / "jpeg2000/x.dcm", _picture_bytes("JPEG2000", no_jp2=True), uid.JPEG2000Lossless)
    _encoded(folder / "jpeg2000boxed/x.dcm", _picture_bytes("JPEG2000"), uid.JPEG2000)
    for name, syntax in (("lossless", "JPEGLosslessProcess14_1"), ("ls", "JPEGLSLossless")):
        _recoded(folder / "explicit/x.dcm", folder / name / "x.dcm", getattr(gdcm.TransferSyntax, syntax))
    whole = (folder / "explicit/x.dcm").read_bytes()
    (folder / "bare").mkdir()
    (folder / "bare/x.dcm").write_bytes(whole[132:])


def _recoded(source: Path, target: Path, syntax: int) -> None:
    """The pixels as GDCM encodes them; of its file, which has the time in it, no more is kept."""
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(source))
    target.parent.mkdir()
    writer.SetFileName(str(target))
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    if not reader.Read():
        raise ValueError(f"{source}: not read")
    change.SetInput(reader.GetImage())
    if not change.Change():
        raise ValueError(f"{source}: not encoded")
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise ValueError(f"{target}: not written")
    made, file = dcmread(target), dcmread(source)
    file.PixelData = made.PixelData
    file["PixelData"].VR = "OB"
    _write(target, file, made.file_meta.TransferSyntaxUID)


WORDS = {"t1": "AX T1", "t1ce": "AX T1 POST", "t2": "AX T2", "flair": "AX T2 FLAIR"}
TIMES = {"t1": (10, 500, 0), "t1ce": (10, 500, 0), "t2": (100, 4000, 0), "flair": (120, 9000, 2500)}  # TE, TR, TI in ms


def dicom_study(folder: Path) -> None:
    """Four series of eight slices, the fewest that make a volume."""
    for name, syntax in (("explicit", uid.ExplicitVRLittleEndian), ("implicit", uid.ImplicitVRLittleEndian)):
        for number, (modality, values) in enumerate(zip(MODALITIES, brain(0), strict=True)):
            for k in range(MIN_SIDE):
                file = _slice(np.ascontiguousarray(np.pad(values[:, :, k].T, 3)), 100 * number + k)
                file.SeriesInstanceUID, file.SeriesDescription = f"1.2.5.{number}", f"{WORDS[modality]} {PATIENT}"
                file.EchoTime, file.RepetitionTime, file.InversionTime = TIMES[modality]
                file.ContrastBolusAgent = "Gadovist" if modality == "t1ce" else ""
                file.ImagePositionPatient, file.ImageOrientationPatient = [-30, -30, 5 * k], [1, 0, 0, 0, 1, 0]
                file.PixelSpacing, file.InstanceNumber = [4, 4], k + 1
                _write(folder / name / f"s{number}_{k}", file, syntax)


def dicom_folder(folder: Path) -> None:
    """Single slices beside pictures and other files."""
    dicom_slice(folder / "made")
    for number, kinds in enumerate((("explicit", "rle"), ("implicit", "bare", "bytes"))):
        place = folder / f"mixed{number}"
        place.mkdir()
        for kind in kinds:
            (folder / "made" / kind / "x.dcm").rename(place / f"{kind}.dcm")
        Image.fromarray(gray(8)).save(place / "picture.png")
        (place / "notes.txt").write_text("notes")
    for path in sorted((folder / "made").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder / "made").rmdir()


def brain(key: int) -> np.ndarray:
    """int16 [4, *SHAPE]: noise in a box, 0 around it."""
    rng, images = np.random.default_rng(key), np.zeros((4, *SHAPE), np.int16)
    images[:, 2:-2, 2:-2, 1:-1] = rng.normal(
        500, 60, (4, *(side - cut for side, cut in zip(SHAPE, (4, 4, 2), strict=True)))
    )
    images[1:, 4:7, 4:7, 3:6] += 400
    return images


def nifti(folder: Path) -> None:
    """Cases of four files, and one file of four volumes."""
    kinds = {
        "plain": (nib.Nifti1Image, np.int16, ".nii"),
        "packed": (nib.Nifti1Image, np.int16, ".nii.gz"),
        "real": (nib.Nifti1Image, np.float32, ".nii"),
        "second": (nib.Nifti2Image, np.uint16, ".nii.gz"),
    }
    for name, (kind, values, ending) in kinds.items():
        for modality, image in zip(MODALITIES, brain(1).astype(values), strict=True):
            _nifti(folder / name / f"x_{modality}{ending}", kind(image, AFFINE))
    for modality, image in zip(MODALITIES, brain(1), strict=True):
        moved = AFFINE if modality == "t1ce" else nib.affines.from_matvec(np.diag([4.0, -4, 5]), [-24, 20, -20])
        scaled = nib.Nifti1Image(image, moved)
        scaled.header.set_slope_inter(0.5, 10)
        swapped = scaled.header.as_byteswapped(">" if modality == "t2" else "<")
        _nifti(folder / "moved" / f"x_{modality}.nii", nib.Nifti1Image(image, moved, swapped))


def case_json(folder: Path) -> None:
    """Files whose names say nothing, and what the user states of them."""
    for modality, image in zip(MODALITIES, brain(1), strict=True):
        _nifti(folder / "plain" / f"{MODALITIES.index(modality)}.nii", nib.Nifti1Image(image, AFFINE))
    stated = {modality: f"{number}.nii" for number, modality in enumerate(MODALITIES)}
    text(folder, plain=("case.json", json.dumps(stated)))


def _nifti(path: Path, image: nib.Nifti1Image) -> None:
    path.parent.mkdir(exist_ok=True)
    image.header["descrip"] = PATIENT
    nib.save(image, path)


def segmentation(folder: Path) -> None:
    """A BraTS case with its labels."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:8, 4:8, 3:7], labels[5:7, 5:7, 4:6] = 2, 4
    labels[5, 5, 4] = 1
    for name, ending, values in (("whole", ".nii", labels), ("real", ".nii.gz", labels.astype(np.float32))):
        for modality, image in zip((*MODALITIES, "seg"), (*brain(2), values), strict=True):
            _nifti(folder / name / f"x_{modality}{ending}", nib.Nifti1Image(image, AFFINE))


def stored_case(folder: Path) -> None:
    """A case as stage normalize_volumes writes it."""
    for name, seg in (("plain", None), ("labelled", (brain(3)[0] > 0).astype(np.uint8))):
        case = normalize("x", brain(3).astype(np.float32), seg, AFFINE, 6.0, (0.5, 99.5))
        (folder / name).mkdir()
        save_case(case_path(folder / name, "x"), case)


def zips(folder: Path) -> None:
    content = {"study/a.png": _picture_bytes("PNG"), "study/b/c.txt": b"notes" * 20, "__MACOSX/a": b"junk"}
    for name, way in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
        (folder / name).mkdir()
        with zipfile.ZipFile(folder / name / "x.zip", "w", way) as archive:
            for path, data in content.items():
                archive.writestr(zipfile.ZipInfo(path), data, way)


def text(folder: Path, **kinds: tuple[str, str]) -> None:
    """Folders with one text file each: variant -> (name, content)."""
    for kind, (name, content) in kinds.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        (folder / kind / name).write_text(content, encoding="utf-8")


def subjects(folder: Path) -> None:
    rows = [f"{label}/{k}.png,{label},p{k},masks/{k}.png" for label in CLASSES for k in range(2)]
    text(folder, plain=("subjects.csv", "\n".join(["path,label,patient,mask_path", *rows, ""])))


def annotations(folder: Path) -> None:
    both = "path,patient,mask_path\nglioma/a.png,p1,masks/a.png\nglioma/b.png,p2,\n"
    text(folder, both=("table.csv", both), one=("table.csv", "path,patient\nglioma/a.png,p1\nb.png,p2\n"))


def own_split(folder: Path) -> None:
    text(folder, paths=("split.csv", "path,split\nx/a.png,train\nx/b.png,test\n"))
    text(folder, ids=("split.csv", "image_id,split\na,train\nb,val\n"))


def cases_csv(folder: Path) -> None:
    rows = [f"c{k},c{k}/t1.nii,c{k}/t1ce.nii.gz,4d.nii#0,c{k}/flair.nii,c{k}/seg.nii,HGG,p{k}" for k in range(2)]
    text(folder, plain=("cases.csv", "\n".join(["case,t1,t1ce,t2,flair,seg,grade,patient", *rows, ""])))


def cases_csv_of_volumes(folder: Path) -> None:
    """A table of columns, and the volumes that it names."""
    names = {modality: f"{number}.nii" for number, modality in enumerate(MODALITIES)}
    for name, image in zip(names.values(), brain(1), strict=True):
        _nifti(folder / "plain" / name, nib.Nifti1Image(image, AFFINE))
    text(folder, plain=("cases.csv", f"case,{','.join(names)},seg,grade,patient\nc,{','.join(names.values())},,,\n"))


def name_mapping(folder: Path) -> None:
    table = "Grade,BraTS_2019_subject_ID,BraTS_2020_subject_ID\nHGG,NA,BraTS20_001\nLGG,B19,BraTS20_002\n"
    text(folder, plain=("name_mapping.csv", table))
    for name in ("BraTS20_001", "BraTS20_002"):
        (folder / "plain" / f"{name}_t1.nii").touch()


def dataset_json(folder: Path) -> None:
    """Of the Decathlon, and of nnU-Net's second version."""
    first = {
        "name": "BRATS",
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
        "training": [{"image": f"./imagesTr/B_{k}.nii.gz", "label": f"./labelsTr/B_{k}.nii.gz"} for k in range(2)],
        "test": ["./imagesTs/B_9.nii.gz"],
    }
    second = {
        "channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"},
        "labels": {"background": 0, "edema": 1, "necrosis": 2, "enhancing": 3},
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }
    text(folder, first=("dataset.json", json.dumps(first)), **{"refused-second": ("dataset.json", json.dumps(second))})


def tensors(folder: Path) -> None:
    parts = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3, dtype=torch.int64), "c": torch.zeros(0)}
    (folder / "plain").mkdir()
    save_file(parts, folder / "plain/x.safetensors", {"state": "{}"})


def classifier(folder: Path) -> None:
    """Of one small backbone; to build a network takes longer than all the rest."""
    packed = slice_make.packed_classifier()
    torch.manual_seed(0)
    net = Classifier(Architecture(("test_efficientnet",), "none", 16, 2, 0.0, CLASSES, False))
    save_packed(folder / "plain", packed._replace(net=net), {"stage": "stage2"})


def joint(folder: Path) -> None:
    joint_make.write_model(folder / "plain")


def resume(folder: Path) -> None:
    run = SavedRun(epoch=3, arms=[SavedArm(steps=7, failed="", readouts=[])])
    state = ResumeState("plain", "x", folder)
    state.save({"weight": torch.arange(6.0)}, run)
    whole = state.path.read_bytes()
    (length,) = struct.unpack_from("<Q", whole)
    header = json.dumps(json.loads(whole[8 : 8 + length]), sort_keys=True).encode()  # safetensors writes any order
    state.path.write_bytes(struct.pack("<Q", len(header)) + header + whole[8 + length :])


def params(folder: Path) -> None:
    text(folder, demo=("params.yaml", Path(__file__).parents[2].joinpath("params.yaml").read_text(encoding="utf-8")))


def upload_names(folder: Path) -> None:
    text(folder, plain=("names", "x_t1.nii.gz\nT1 + C.nii\nstudy/scan.png"))
