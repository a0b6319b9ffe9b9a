"""Finding images in folders, reading them by content, and refusals without any text about the patient."""

import os
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from btlib.app.scans.case_files import is_case
from btlib.app.scans.dicom_pixels import read_pixels
from btlib.app.scans.slice_files import find_slices, not_mr, read_slice
from btlib.core.runtime.errors import InputError
from tests.app.slice_make import picture, write_dicom, write_picture

RAMP = np.arange(20 * 24).reshape(20, 24)


def gray(path):
    image = read_slice(path)
    assert image.dtype == np.uint8 and image.ndim == 3
    assert (image == image[:, :, :1]).all()
    return image[:, :, 0]


def refusal(path):
    with pytest.raises(InputError) as error:
        read_slice(path)
    for secret in ("Doe", "SECRET", "secret", str(path.parent)):
        assert secret not in str(error.value)
    return str(error.value)


def test_picture_is_read_as_in_the_pipeline(tmp_path):
    assert np.array_equal(read_slice(write_picture(tmp_path / "a.png", 3)), picture(3))
    assert np.array_equal(read_slice(write_picture(tmp_path / "b.bmp", 3)), picture(3))


def test_dicom_without_window_uses_its_range_of_values(tmp_path):
    expected = np.rint(RAMP * 255 / RAMP.max())
    assert np.array_equal(gray(write_dicom(tmp_path / "a", RAMP)), expected)
    assert np.array_equal(gray(write_dicom(tmp_path / "b", RAMP - 240, RescaleSlope=3, RescaleIntercept=-7)), expected)


def test_a_window_is_applied_after_the_rescaling(tmp_path):
    """Values 2 · v − 100, and a window of 200 about 300, so from 200 to 400: v = 150 is black, 250 white."""
    tags = {"RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": [300, 50], "WindowWidth": [200, 9]}
    shown = gray(write_dicom(tmp_path / "a.dcm", RAMP, **tags)).ravel()
    assert (shown[:151] == 0).all() and (shown[250:] == 255).all() and shown[200] == 128
    assert shown[175] == 64


@pytest.mark.parametrize("tags", [{"WindowCenter": 5, "WindowWidth": 0}, {"WindowCenter": 5}])
def test_invalid_window_is_ignored(tmp_path, tags):
    assert np.array_equal(gray(write_dicom(tmp_path / "a.dcm", RAMP, **tags)), np.rint(RAMP * 255 / RAMP.max()))


def test_monochrome1_shows_small_values_bright(tmp_path):
    plain = gray(write_dicom(tmp_path / "a.dcm", RAMP))
    assert np.array_equal(
        gray(write_dicom(tmp_path / "b.dcm", RAMP, PhotometricInterpretation="MONOCHROME1")), 255 - plain
    )


def test_padding_is_black_and_excluded_from_scaling(tmp_path):
    padded = np.where(RAMP < 48, -2000, RAMP)
    expected = np.where(RAMP < 48, 0, np.rint((RAMP - 48) * 255 / (RAMP.max() - 48)))
    assert np.array_equal(gray(write_dicom(tmp_path / "a.dcm", padded, PixelPaddingValue=-2000)), expected)
    limits = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1990}
    assert np.array_equal(gray(write_dicom(tmp_path / "b.dcm", np.where(RAMP < 48, -1995, RAMP), **limits)), expected)
    bright = np.where(RAMP < 48, 0, 255 - np.rint((RAMP - 48) * 255 / (RAMP.max() - 48)))
    inverted = gray(
        write_dicom(tmp_path / "c.dcm", padded, PixelPaddingValue=-2000, PhotometricInterpretation="MONOCHROME1")
    )
    assert np.abs(inverted.astype(int) - bright).max() <= 1
    with pytest.raises(InputError, match="blank"):
        read_slice(write_dicom(tmp_path / "d.dcm", np.full_like(RAMP, 7), PixelPaddingValue=7))


@pytest.mark.parametrize("skipped", ["preamble", "preamble and group 2"])
@pytest.mark.parametrize("implicit", [True, False])
def test_old_exports_without_a_preamble_are_read(tmp_path, skipped, implicit):
    plain = gray(write_dicom(tmp_path / "whole", RAMP))
    data = pydicom.dcmread(tmp_path / "whole")
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    data.save_as(tmp_path / "whole", implicit_vr=implicit, little_endian=True)
    raw = (tmp_path / "whole").read_bytes()[132:]
    start = 0 if skipped == "preamble" else 12 + int.from_bytes(raw[8:12], "little")
    (tmp_path / "bare").write_bytes(raw[start:])
    assert np.array_equal(gray(tmp_path / "bare"), plain)
    assert find_slices([tmp_path])[0] == [tmp_path / "bare", tmp_path / "whole"]


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless])
def test_lossless_compression_keeps_every_value(tmp_path, syntax):
    """Compressed by GDCM, decompressed by pydicom."""
    values = np.random.default_rng(0).integers(0, 4096, (20, 24))
    path = write_dicom(tmp_path / "plain.dcm", values)
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(tmp_path / "small.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert pydicom.dcmread(tmp_path / "small.dcm").file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(read_pixels(tmp_path / "small.dcm", "small.dcm", "").values[0], values)


def test_deflated_bomb_is_refused(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", RAMP)
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.save_as(path)
    assert np.array_equal(gray(path), np.rint(RAMP * 255 / RAMP.max()))
    data.add_new(0x7FE10010, "OW", bytes(2**27))
    data.save_as(path)
    assert path.stat().st_size < 2**18
    assert refusal(path) == "a.dcm: more than 64 MiB when unpacked; save it without deflation"


def test_jpeg_2000_boxes_of_zero_length_are_refused(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", RAMP)
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = JPEG2000Lossless
    data.PixelData = pydicom.encaps.encapsulate([b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\0ftyp" + bytes(200)])
    data["PixelData"].is_undefined_length = True
    data.save_as(path)
    assert "the pixels cannot be decoded (ValueError; JPEG 2000" in refusal(path)


def test_unreadable_file_does_not_stop_a_folder(tmp_path):
    write_picture(tmp_path / "good.png")
    (tmp_path / "cut.dcm").write_bytes(write_dicom(tmp_path / "whole", RAMP).read_bytes()[:400])
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe")
    files, refused = find_slices([tmp_path])
    assert {path.name for path in files} == {"good.png", "whole", "cut.dcm"}
    assert {path.name for path in refused} == {"gone.png", "loop.png", "pipe.png", "pipe"}
    assert not is_case(tmp_path)


def test_real_scanner_files():
    """Files included in pydicom: 64 × 64 pixels, one of them compressed."""
    plain, compressed = (Path(get_testdata_file(f"MR_small{kind}.dcm", download=False)) for kind in ("", "_RLE"))
    assert gray(plain).shape == (64, 64) and np.ptp(gray(plain)) > 100
    assert np.array_equal(gray(compressed), gray(plain))


def test_ct_is_reported_and_pictures_are_accepted(tmp_path):
    ct = Path(get_testdata_file("CT_small.dcm", download=False))
    assert gray(ct).shape == (128, 128)
    assert not_mr(ct) == "DICOM modality CT, not MR"
    assert not_mr(write_dicom(tmp_path / "mr.dcm", RAMP)) == ""
    assert not_mr(write_picture(tmp_path / "a.png")) == ""
    assert not_mr(write_dicom(tmp_path / "x.dcm", RAMP, Modality="DOE JANE")) == "DICOM modality unknown, not MR"
    assert not_mr(write_dicom(tmp_path / "y.dcm", RAMP, Modality=None)) == "DICOM modality unknown, not MR"


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"NumberOfFrames": 3}, "has 3 frames; save each slice as its own file"),
        ({"Rows": 0}, "without an image: a report, or truncated"),
        ({"PixelData": None}, "without an image: a report, or truncated"),
        ({"Rows": 65535, "Columns": 65535}, "65535×65535 pixels, more than the 50,000,000 allowed"),
        ({"Rows": 4, "Columns": 120}, "120×4 pixels, less than 16 on a side"),
        ({"Columns": 30}, r"the pixels cannot be decoded (ValueError; Explicit VR Little Endian); copy the file again"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "a colour DICOM file; save it as PNG"),
        ({"PixelData": bytes(960)}, "blank, every pixel has the same value"),
        ({"WindowCenter": 9000, "WindowWidth": 10}, "blank, every pixel has the same value"),
    ],
)
def test_dicom_other_than_one_grey_image_is_refused(tmp_path, tags, message):
    found = refusal(write_dicom(tmp_path / "case.dcm", RAMP, **tags))
    assert found.startswith("case.dcm: ") and message in found


def test_broken_files_are_refused(tmp_path):
    whole = write_dicom(tmp_path / "a.dcm", RAMP).read_bytes()
    rows = whole.index(b"US\x02\x00\x14\x00")  # 20 rows
    (tmp_path / "a.dcm").write_bytes(whole[: rows + 5])
    assert (
        refusal(tmp_path / "a.dcm") == "a.dcm: not a valid DICOM file (BytesLengthException); copy or download it again"
    )
    (tmp_path / "a.dcm").write_bytes(whole[:-10])
    assert "a.dcm: the pixels cannot be decoded (ValueError" in refusal(tmp_path / "a.dcm")
    (tmp_path / "b.dcm").write_bytes(whole[:rows] + b"SH\x02\x00XY" + whole[rows + 6 :])
    assert "Rows or Columns is not a number" in refusal(tmp_path / "b.dcm")
    (tmp_path / "c.png").write_bytes(b"")
    assert refusal(tmp_path / "c.png") == "c.png: zero bytes"
    (tmp_path / "d.png").write_text("Doe", encoding="utf-8")
    assert "d.png: not a supported JPEG, PNG, TIFF, BMP or WebP image" in refusal(tmp_path / "d.png")
    assert "no such file" in refusal(tmp_path / "e.png")


def test_random_damage_gives_only_error_messages(tmp_path):
    whole, rng = bytearray(write_dicom(tmp_path / "a.dcm", RAMP).read_bytes()), np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = whole.copy()
        for place in rng.integers(330, 900, 4):  # after the file header
            damaged[place] = rng.integers(256)
        (tmp_path / "a.dcm").write_bytes(damaged)
        try:
            assert read_slice(tmp_path / "a.dcm").dtype == np.uint8
            not_mr(tmp_path / "a.dcm")
        except InputError as error:
            assert str(error).startswith("a.dcm: ")
            refused += 1
    assert 10 < refused < 60


def test_folders_are_searched_in_order_and_every_file_is_reported(tmp_path):
    scans = tmp_path / "scans"
    for name in ("b/2.png", "b/1.JPG", "a/x.png", "c.tif"):
        write_picture(scans / name)
    write_dicom(scans / "a/IM0001", RAMP)
    for junk in ("notes.txt", ".hidden.png", "Thumbs.db", "DICOMDIR", "list.csv"):
        (scans / junk).write_text("x", encoding="utf-8")
    (scans / "net.onnx").write_text("x", encoding="utf-8")
    (scans / "z.png").symlink_to(write_picture(tmp_path / "outside.png"))
    (scans / "linked").symlink_to(scans / "a")
    files, refused = find_slices([scans, scans / "a/x.png", tmp_path / "outside.png"])
    assert files == [
        *(scans / name for name in ("c.tif", "a/IM0001", "a/x.png", "b/1.JPG", "b/2.png")),
        tmp_path / "outside.png",
    ]
    assert {path.name: reason.split(";")[0].split(" (")[0] for path, reason in refused.items()} == {
        "linked": "a linked folder",
        "net.onnx": "not a supported kind of file",
        "z.png": f"leads out of its root folder to {tmp_path / 'outside.png'}",
    }
