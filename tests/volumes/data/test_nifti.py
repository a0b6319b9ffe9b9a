import gzip
import io

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from btlib.core.runtime.errors import InputError
from btlib.volumes.data.nifti import MAX_SPARE, read_nifti
from tests.volumes.data.volume_samples import AFFINE, SHAPE, brain

PLAIN = nib.Nifti1Image(brain(0), AFFINE).to_bytes()


@pytest.fixture
def read(tmp_path):
    """Returns a function that reads bytes as a file."""

    def of(content: bytes, orientation: str | None = None):
        path = tmp_path / "x.nii.gz"
        path.write_bytes(content)
        return read_nifti(path, "x.nii.gz", orientation)

    return of


def with_header(**fields) -> bytes:
    """The uncompressed file with raw `fields` in its header."""
    header = nib.Nifti1Header.from_fileobj(io.BytesIO(PLAIN))
    for name, value in fields.items():
        header[name] = value
    return header.binaryblock + PLAIN[len(header.binaryblock) :]


def test_compression_is_detected_by_content(read):
    for content in (PLAIN, gzip.compress(PLAIN)):
        found = read(content)
        assert_array_equal(found.values[..., 0], brain(0))
        assert_array_equal(found.affine, AFFINE)
        assert (found.values.dtype, found.positioned, found.remarks) == (np.float32, True, ())


def test_values_match_nibabel(read):
    """Also with scaling and in the other byte order."""
    for kind, values in {
        np.dtype(">i2"): brain(1),
        np.dtype("u1"): brain(1) // 5,
        np.dtype("<f8"): np.random.default_rng(0).normal(size=SHAPE),
    }.items():
        for form in (nib.Nifti1Image, nib.Nifti2Image):
            image = form(values.astype(kind), AFFINE, form.header_class(endianness=kind.str[0].replace("|", "<")))
            image.header.set_slope_inter(0.37, -12.3)
            content = image.to_bytes()
            assert_array_equal(read(content).values[..., 0], form.from_bytes(content).get_fdata(dtype=np.float32))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dim": [3, 30000, 30000, 30000, 1, 1, 1, 1]}, "30000×30000×30000 voxels by its header, more than the"),
        ({"dim": [4, 400, 400, 400, 32000, 1, 1, 1]}, r"4,096,000,000,000 bytes of voxels from byte 352 by its"),
        (
            {"dim": [4, 8, 9, 10, 32000, 1, 1, 1]},
            r"not a valid NIfTI file \(ValueError: 1,792 bytes, but .* by its header",
        ),
        ({"dim": [4, 8, 9, 10, 0, 1, 1, 1]}, "8×9×10×0 voxels, expected one volume or a series of them"),
        ({"dim": [3, 8, 9, 0, 1, 1, 1, 1]}, "8×9×0 voxels, expected a volume of at least 8"),
        ({"dim": [3, 8, 9, -10, 1, 1, 1, 1]}, "8×9×-10 voxels, expected a volume of at least 8"),
        ({"dim": [5, 8, 9, 10, 2, 3, 1, 1]}, "8×9×10×2×3 voxels, expected one volume or a series of them"),
        ({"dim": [0, 8, 9, 10, 1, 1, 1, 1]}, "voxels, expected a volume of at least 8"),
        ({"datatype": 128, "bitpix": 24}, "expected integers or real numbers"),
        ({"srow_x": [-1, 0, 0, np.nan]}, "the position in its header is NaN or infinite"),
        ({"quatern_b": np.nan, "qform_code": 1}, "sform or qform in its header is NaN or infinite"),
        ({"quatern_b": 2, "qform_code": 1}, r"not a valid NIfTI file \(ValueError: "),
        ({"pixdim": [1, np.inf, 1, 1, 1, 1, 1, 1]}, "sform or qform in its header is NaN or infinite"),
        ({"xyzt_units": 1}, "lengths in metres by its header, expected millimetres; repair xyzt_units"),
        ({"xyzt_units": 3 + 8}, "lengths in micrometres by its header"),
        ({"vox_offset": 0}, r"1,440 bytes of voxels from byte 0 by its header, expected .* between 348 and"),
        ({"vox_offset": 1e30}, r"1,440 bytes of voxels from byte 1,000,000,0\S* by its header"),
        ({"magic": b"ni1"}, r"the header of a pair of files \(.hdr and .img\); convert the pair"),
        ({"magic": b"xyz"}, r"not a valid NIfTI file \(HeaderDataError: "),
    ],
)
def test_headers_are_not_trusted(read, fields, message):
    with pytest.raises(InputError, match=f"^x.nii.gz: .*({message})"):
        read(with_header(**fields))


def test_nothing_is_read_far_beyond_the_declared_end(read):
    """Some programs pad to whole blocks, but a small compressed file may contain endless zeros."""
    assert_array_equal(read(gzip.compress(PLAIN + bytes(1000))).values[..., 0], brain(0))
    with pytest.raises(InputError, match=r"longer than the 1,792 bytes of its header\)"):
        read(gzip.compress(PLAIN + bytes(MAX_SPARE + 1)))


def test_every_damaged_file_is_refused_or_read(read):
    """Each byte of the header changed in two ways, compressed or not, raises only InputError."""
    for place in range(352):
        for flipped in (0x01, 0xFF):
            content = bytearray(PLAIN)
            content[place] ^= flipped
            try:
                read(bytes(content))
            except InputError as error:
                assert str(error).startswith("x.nii.gz: ")


class TestForms:
    """sform and qform, with their codes, in one file."""

    @staticmethod
    def written(sform_code, qform_code, shift=0.0):
        image = nib.Nifti1Image(brain(0), None)
        image.set_sform(AFFINE, sform_code)
        image.set_qform(nib.affines.from_matvec(AFFINE[:3, :3], [0, shift, 0]), qform_code)
        return image.to_bytes()

    @pytest.mark.parametrize(("sform_code", "qform_code", "used"), [(2, 0, 0), (0, 1, 30), (2, 1, 0), (4, 4, 0)])
    def test_used_form(self, read, sform_code, qform_code, used):
        found = read(self.written(sform_code, qform_code, shift=30))
        assert found.affine[:3, 3].tolist() == [0, used, 0]
        assert (found.header.sform_code, found.header.qform_code) == (sform_code, qform_code)
        both = ("corners by sform and qform are 30.0 mm apart; sform is used",)
        assert found.remarks == (both if sform_code and qform_code else ())

    def test_rounding_is_not_a_contradiction(self, read):
        assert read(self.written(1, 1, shift=0.09)).remarks == ()
        assert read(self.written(1, 1, shift=0.11)).remarks != ()

    def test_voxel_sizes_that_contradict_the_sform(self, read):
        found = read(with_header(pixdim=[1, 2, 2, 2, 1, 1, 1, 1]))
        assert found.remarks == ("voxels of 1×1×1 mm by sform, of 2×2×2 mm by pixdim; sform is used",)

    def test_neither_needs_stated_axes(self, read):
        content = self.written(0, 0)
        with pytest.raises(InputError, match=r"no orientation .*; write one of them, or predict with --assume-or"):
            read(content)
        found = read(content, "LSP")
        assert (nib.aff2axcodes(found.affine), found.positioned) == (("L", "S", "P"), False)
        assert nib.affines.voxel_sizes(found.affine).tolist() == [1, 1, 1]
        assert found.remarks == ("axes assumed to be LSP, as stated",)
        assert read(PLAIN, "LSP").affine.tolist() == AFFINE.tolist()

    @pytest.mark.parametrize("orientation", ["", "RA", "RAR", "RLA", "ras", "RASI", "XYZ"])
    def test_invalid_orientations(self, read, orientation):
        with pytest.raises(InputError, match=rf"^orientation {orientation}: expected L or R, A or P, and I or S, each"):
            read(self.written(0, 0), orientation)
