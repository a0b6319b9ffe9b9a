"""Which lesions of a batch count, and whether the class may teach the map."""

import numpy as np
import pytest
import torch

from btlib.images.data.classes import CLASSES
from btlib.images.data.lesion_maps import UNKNOWN
from btlib.images.data.resident import Phantoms, ResidentImages
from btlib.images.nets.trunk import FrozenTrunk
from btlib.images.training.learner import ClassificationTask
from tests.images.training.make import make_spec

OUTLINED, UNLINKED, HEALTHY, PHANTOM = 0, 1, 2, 48  # rows: a glioma, a meningioma, no tumour, a phantom


@pytest.fixture
def known(task, make_net, fabric):
    """Rows whose lesions count, and whether they guide what is read, for a spec."""
    data, train, val = task
    lesions = data.lesions(np.arange(48))[0].mul(254).byte().numpy()
    lesions[UNLINKED], lesions[HEALTHY] = UNKNOWN, 0
    phantoms = Phantoms(data._phantoms, data.labels[48:].numpy(), data._phantom_lesions)
    data = ResidentImages(data._images, data.labels[:48].numpy(), torch.device("cpu"), lesions, phantoms)
    rows = np.array([OUTLINED, UNLINKED, HEALTHY, PHANTOM])

    def of(**changes):
        net = make_net()
        made = ClassificationTask(
            FrozenTrunk(net, net.cuts_for(0.0)),
            data,
            train,
            val,
            CLASSES,
            make_spec(mixup_alpha=0.0, **changes),
            fabric,
        )
        batch = made.batch(rows, (0, 0, 0), torch.arange(4))
        return batch.known.tolist(), batch.guided

    return of


@pytest.mark.parametrize(
    ("settings", "counted"),
    [
        ({}, [True, False, True, True]),
        ({"healthy": False}, [True, False, False, True]),
        ({"outlines": False}, [False, False, False, True]),
    ],
)
def test_what_counts(known, settings, counted):
    assert known(phantom_share=0.5, **settings) == (counted, True)


def test_without_any_outline_the_class_is_the_only_teacher(known):
    assert known()[1]  # outlines of the images
    assert not known(outlines=False)[1]
