"""Pictures within the page: intact and small."""

from base64 import b64decode
from io import BytesIO

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from btlib.report import pictures
from btlib.report.pictures import drawn, embedded


def decoded(picture):
    head, _, data = picture.uri.partition(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(BytesIO(b64decode(data))).convert("RGB"))


def test_a_drawing_keeps_every_pixel(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    picture = embedded(tmp_path / "x.png")
    assert (picture.width, picture.height) == (30, 20)
    assert np.array_equal(decoded(picture), pixels)


def test_a_large_picture_becomes_small_with_little_loss(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "LARGE", 1000)
    ramp = np.linspace(0, 255, 128)
    smooth = (ramp[:, None] + ramp) / 2 + np.random.default_rng(0).normal(0, 2, (128, 128))
    pixels = np.repeat(smooth.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    path = tmp_path / "x.png"
    Image.fromarray(pixels).save(path)
    picture = embedded(path)
    assert len(picture.uri) < path.stat().st_size / 2
    assert np.abs(decoded(picture).astype(int) - pixels).mean() < 3


def test_a_figure_made_by_the_page_keeps_its_size():
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    picture = drawn(figure)
    assert (picture.width, picture.height) == (220, 110)
    pixels = decoded(picture)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels.min() < 60
    assert drawn(figure) == picture
