import h5py
import numpy as np
import pytest

from btlib.core.runtime.errors import InputError
from btlib.images.data.mat import mat_image, mat_label, mat_mask
from tests.images.data.samples import make_case

SECRET = np.arange(32 * 40, dtype=np.int16).tobytes()


@pytest.fixture
def case(tmp_path):
    """A complete case, and beside it a file that must not be read through it."""
    make_case(tmp_path / "1.mat")
    (tmp_path / "secret").write_bytes(SECRET)
    make_case(tmp_path / "other.mat", label=1)
    return tmp_path / "1.mat"


def replace(case, field: str, make) -> None:
    """Replaces a field by the result of `make(group, name)`."""
    with h5py.File(case, "r+") as file:
        del file[f"cjdata/{field}"]
        make(file["cjdata"], field)


def external_link(group, name):
    group[name] = h5py.ExternalLink("other.mat", f"cjdata/{name}")


def soft_link(group, name):
    group[name] = h5py.SoftLink("/cjdata/tumorBorder")


def external_storage(group, name):
    place = str(group.file.filename).replace("1.mat", "secret")
    group.create_dataset(name, (40, 32), np.int16, external=[(place, 0, len(SECRET))])


def virtual(group, name):
    layout = h5py.VirtualLayout((40, 32), np.int16)
    layout[:] = h5py.VirtualSource("other.mat", "cjdata/image", (40, 32))
    group.create_virtual_dataset(name, layout)


def plug_in(group, name):
    pipeline = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    pipeline.set_chunk((40, 32))
    pipeline.set_filter(32_001, h5py.h5z.FLAG_OPTIONAL)  # Blosc's number
    h5py.h5d.create(group.id, name.encode(), h5py.h5t.NATIVE_INT16, h5py.h5s.create_simple((40, 32)), pipeline)


def unwritten(group, name):
    group.create_dataset(name, (40, 32), np.int16, chunks=(20, 32))[:20] = 7


def never_written(group, name):
    group.create_dataset(name, (40, 32), np.int16)


def text(group, name):
    group[name] = "a text"


def three_dimensions(group, name):
    group[name] = np.zeros((40, 32, 1))


@pytest.mark.parametrize("field", ["image", "tumorMask"])
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (external_link, "is a link to another file"),
        (soft_link, "is a link to another file"),
        (external_storage, "is stored in another file or needs a plug-in to decode it"),
        (virtual, "is stored in another file or needs a plug-in to decode it"),
        (plug_in, "is stored in another file or needs a plug-in to decode it"),
        (unwritten, "not all of cjdata/.* is in the file"),
        (never_written, "not all of cjdata/.* is in the file"),
        (text, "is not a numeric field"),
        (three_dimensions, "expected a matrix"),
    ],
)
def test_only_plain_numeric_fields_are_read(case, field, make, reason):
    replace(case, field, make)
    with pytest.raises(InputError, match=rf"^1\.mat: .*{reason}"):
        (mat_image if field == "image" else mat_mask)(case, "1.mat")


@pytest.mark.parametrize("field", ["label", "PID"])
@pytest.mark.parametrize("make", [external_link, soft_link, external_storage, virtual, plug_in, text])
def test_only_plain_numeric_labels_are_read(case, field, make):
    replace(case, field, make)
    with pytest.raises(InputError, match=rf"^1\.mat: cjdata/{field} "):
        mat_label(case, "1.mat")


def test_a_group_in_another_file(case):
    with h5py.File(case, "r+") as file:
        del file["cjdata"]
        file["cjdata"] = h5py.ExternalLink("other.mat", "cjdata")
    with pytest.raises(InputError, match=r"1\.mat: cjdata is a link to another file"):
        mat_label(case, "1.mat")


def test_plain_compression_is_read(case):
    stored = np.arange(1280, dtype=np.int16).reshape(40, 32)
    replace(
        case,
        "image",
        lambda group, name: group.create_dataset(
            name, data=stored, chunks=(16, 10), compression="gzip", shuffle=True, fletcher32=True
        ),
    )
    assert np.array_equal(mat_image(case, "1.mat")[:, :, 0], np.rint(stored.T * (255 / 1279)))


@pytest.mark.parametrize(("field", "shape"), [("PID", (2**28,)), ("PID", (65, 1)), ("label", (2, 1))])
def test_sizes_are_checked_before_reading(case, field, shape):
    replace(case, field, lambda group, name: group.create_dataset(name, shape, np.uint16, chunks=(1,) * len(shape)))
    with pytest.raises(InputError, match=rf"1\.mat: cjdata/{field} is "):
        mat_label(case, "1.mat")


def test_chunk_sizes_are_checked_before_reading(case):
    replace(
        case,
        "image",
        lambda group, name: group.create_dataset(name, (40, 32), np.int8, maxshape=(None, None), chunks=(2**14, 2**13)),
    )
    with pytest.raises(InputError, match=r"1\.mat: cjdata/image is \(40, 32\), more than the 50,000,000 numbers"):
        mat_image(case, "1.mat")


@pytest.mark.parametrize("label", [[np.nan], [np.inf], [1.5], []])
def test_labels_that_are_not_integers(case, label):
    replace(case, "label", lambda group, name: group.create_dataset(name, data=label))
    with pytest.raises(InputError, match=r"^1\.mat: "):
        mat_label(case, "1.mat")


@pytest.mark.parametrize(
    ("codes", "patient"),
    [([32, 32], ""), ([0, 0], ""), ([], ""), ([32, 77, 49, 32], "M1"), ([0x8FD0], "\u8fd0")],
)
def test_patients(case, codes, patient):
    replace(case, "PID", lambda group, name: group.create_dataset(name, data=np.array(codes, np.uint16)))
    assert mat_label(case, "1.mat") == (2, patient)


@pytest.mark.parametrize("code", [10, 0xD800, 0x110000, -1])
def test_patients_that_are_not_text(case, code):
    replace(case, "PID", lambda group, name: group.create_dataset(name, data=np.array([77, code])))
    with pytest.raises(InputError, match=r"^1\.mat: "):
        mat_label(case, "1.mat")


def test_a_mask_with_nan(case):
    replace(case, "tumorMask", lambda group, name: group.create_dataset(name, data=np.full((40, 32), np.nan)))
    with pytest.raises(InputError, match=r"1\.mat: .*NaN"):
        mat_mask(case, "1.mat")


def test_filter_plug_ins_are_never_loaded(case):
    h5py.h5pl.append(b"/tmp")
    mat_image(case, "1.mat")
    assert h5py.h5pl.size() == 0
