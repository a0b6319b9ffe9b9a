import numpy as np
import pytest
import torch

from btlib.images.training import framing
from btlib.images.training.augment import Strength, augmented
from btlib.images.training.framing import Frames


def frames(batch=1, **changes):
    """Nothing changes but what is named."""
    values = {
        "margins": torch.full((4, batch), torch.nan),
        "bars": torch.zeros(4, batch),
        "bar_gray": torch.zeros(batch),
        "back_gray": torch.full((batch,), torch.nan),
        "back_noise": torch.zeros(batch),
        "quality": torch.zeros(batch, dtype=torch.long),
        "noise_seed": 7,
    }
    return Frames(**values | changes)


@pytest.fixture
def head():
    """A grey square head of 32 pixels in a black image of 64, with a white lesion in its upper left quarter."""
    image, lesion = torch.zeros(1, 3, 64, 64), torch.zeros(1, 16, 16)
    image[..., 16:48, 16:48] = 0.5
    image[..., 20:28, 20:28] = 1.0
    lesion[..., 5:7, 5:7] = 1.0
    return image, lesion


def test_nothing_drawn_nothing_changed(head):
    image, lesion = framing.apply(*head, frames())
    assert torch.equal(image, head[0]) and torch.equal(lesion, head[1])


def test_the_box_of_the_head(head):
    assert framing.head_boxes(head[0]).flatten().tolist() == [0.25, 0.75, 0.25, 0.75]
    assert framing.head_boxes(torch.zeros(1, 3, 64, 64)).flatten().tolist() == [0, 1, 0, 1]


def test_margins_are_shares_of_the_head_and_the_map_follows(head):
    image, lesion = framing.apply(*head, frames(margins=torch.zeros(4, 1)))
    assert image[0, 0].min() >= 0.25  # the head fills the image, interpolated at its border
    torch.testing.assert_close(image[0, 0, 8:24, 8:24], torch.ones(16, 16), atol=0.3, rtol=0)
    assert lesion[0, 3:5, 3:5].min() == 1 and lesion.sum() == pytest.approx(16, abs=2)
    wide, _ = framing.apply(*head, frames(margins=torch.full((4, 1), 0.5)))
    torch.testing.assert_close(wide, head[0], atol=1e-5, rtol=0)  # margins of half the head: as it was


def test_the_background_alone_is_filled(head):
    image, _ = framing.apply(*head, frames(back_gray=torch.tensor([0.1]), back_noise=torch.tensor([0.02])))
    assert torch.equal(image[..., 16:48, 16:48], head[0][..., 16:48, 16:48])
    corner = image[0, 0, :12, :12]
    assert corner.mean().item() == pytest.approx(0.1, abs=0.01) and corner.std().item() == pytest.approx(
        0.02, abs=0.005
    )
    assert torch.equal(image[0, 0], image[0, 1])  # images are grey


def test_bars_cover_the_image_and_what_it_shows_of_the_lesion(head):
    bars = torch.tensor([[0.375], [0.0], [0.0], [0.25]])  # 24 rows above, 16 columns on the right
    image, lesion = framing.apply(*head, frames(bars=bars, bar_gray=torch.tensor([0.3])))
    np.testing.assert_allclose(image[0, :, :24].numpy(), 0.3, rtol=1e-6)
    np.testing.assert_allclose(image[0, :, :, 48:].numpy(), 0.3, rtol=1e-6)
    assert torch.equal(image[0, :, 24:, :48], head[0][0, :, 24:, :48])
    assert lesion[0, 5].max() == 0 and lesion[0, 6, 5:7].min() == 1


def test_compression_changes_little_and_less_at_a_better_quality(head):
    noise = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1).contiguous()
    rough, fine = (framing.apply(noise.clone(), head[1], frames(quality=torch.tensor([q])))[0] for q in (25, 90))
    assert 0.01 < (fine - noise).abs().mean() < (rough - noise).abs().mean() < 0.2


def test_draws_are_keyed_and_as_frequent_as_asked():
    one, again, other = (framing.draw(0.3, 4000, key) for key in ((0, 1), (0, 1), (0, 2)))
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(one[:-1], again[:-1], strict=True))
    assert not torch.equal(one.bars, other.bars)
    shares = [~one.margins[0].isnan(), one.bars.any(dim=0), ~one.back_gray.isnan(), one.quality > 0]
    assert [share.float().mean().item() for share in shares] == pytest.approx([0.3] * 4, abs=0.03)
    low, high = framing.QUALITY
    assert low <= one.quality[one.quality > 0].min() and one.quality.max() < high
    assert framing.draw(0.0, 8, (0,)).margins.isnan().all()


def test_images_and_maps_stay_together_through_all_augmentation():
    """The map of a white blob covers the blob wherever the two are moved."""
    images, lesions = torch.full((64, 3, 64, 64), 0.3), torch.zeros(64, 16, 16)
    images[..., 24:36, 28:40], lesions[..., 6:9, 7:10] = 1.0, 1.0
    strength = Strength(0.5, 0.5, 0.0, 0.0, rotation=20, zoom=0.2, shift=0.1, framing=0.5)
    images, lesions = augmented(images, lesions, strength, (0, 0))
    assert (images.min() >= 0) and (images.max() <= 1) and lesions.max() <= 1
    blob = torch.nn.functional.avg_pool2d((images[:, 0] > 0.8).float(), 4)
    covered, by_another = (
        (blob * maps).sum(dim=(1, 2)) / blob.sum(dim=(1, 2)) for maps in (lesions, lesions.roll(1, 0))
    )
    assert covered.median() > 0.7 and by_another.median() < 0.4
