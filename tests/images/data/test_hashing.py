import io

import numpy as np
import pytest
from PIL import Image

from btlib.images.data.hashing import difference_hash, hash_words, orientations, pixel_sha256, turned_hashes
from tests.images.data.samples import picture


def bits(text: str) -> np.ndarray:
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))


def differing(a: np.ndarray, b: np.ndarray) -> int:
    return int((bits(difference_hash(a)) != bits(difference_hash(b))).sum())


def test_ramps_by_hand():
    ramp = np.repeat(np.tile(np.arange(0, 255, 15, dtype=np.uint8), (16, 1))[:, :, None], 3, axis=2)
    assert ramp.shape == (16, 17, 3)
    assert difference_hash(ramp) == "f" * 64  # every cell is darker than its right neighbour
    assert difference_hash(ramp[:, ::-1]) == "0" * 64
    ramp[0] = ramp[0, ::-1].copy()
    assert difference_hash(ramp) == "0000" + "f" * 60  # the first row comes first


def test_near_copies_are_near_and_others_far():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (12, 12), dtype=np.uint8)
    image = np.asarray(Image.fromarray(small).resize((224, 224), Image.Resampling.BICUBIC).convert("RGB"))
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=60)
    recoded = np.asarray(Image.open(buffer))
    resized = np.asarray(Image.fromarray(image).resize((160, 160)))
    darker = (image * 0.8).astype(np.uint8)
    for copy in (recoded, resized, darker):
        assert differing(image, copy) <= 12
    assert differing(image, picture(1, 224, 224)) > 60


def test_sha_depends_only_on_pixels_and_shape():
    image = picture(3)
    assert pixel_sha256(image) == pixel_sha256(image.copy(order="F"))
    assert pixel_sha256(image) != pixel_sha256(image.reshape(32, 24, 3))
    changed = image.copy()
    changed[0, 0, 0] ^= 1
    assert pixel_sha256(image) != pixel_sha256(changed)


def test_hash_words():
    words = hash_words(["0" * 63 + "3", "8" + "0" * 63])
    assert words.dtype == np.uint64
    assert words.tolist() == [[0, 0, 0, 3], [2**63, 0, 0, 0]]
    with pytest.raises(ValueError, match="hex"):
        hash_words(["x" * 64])


def test_the_eight_orientations_are_different_and_closed():
    image = picture(0)[:, :24]
    views = {view.tobytes() for view in orientations(image)}
    assert len(views) == 8
    assert {view.tobytes() for view in orientations(image[::-1])} == views


def test_turned_hashes_equal_hashes_of_turned_images():
    image = picture(0)
    hashes = [turned_hashes(image)[start : start + 64] for start in range(0, 448, 64)]
    assert difference_hash(np.ascontiguousarray(image[:, ::-1])) in hashes
    assert difference_hash(np.ascontiguousarray(image[::-1])) in hashes
    assert difference_hash(np.ascontiguousarray(np.rot90(image))) in hashes
    assert difference_hash(image) not in hashes
    assert hash_words([turned_hashes(image), turned_hashes(image)]).shape == (14, 4)
