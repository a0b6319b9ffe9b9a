"""The schema's choices match the registries in the code; the schema cannot import these itself."""

from typing import Any, Literal, get_args, get_origin

import pytest
import torch

from btlib.core.runtime.arm_names import RADIOMICS
from btlib.core.settings import schema
from btlib.core.settings.schema import Params
from btlib.images.data import external
from btlib.images.data.sources.sources import SOURCES
from btlib.images.nets.classifier import Architecture
from btlib.images.nets.fusion import FUSIONS, NONE
from btlib.report.figures import paper
from btlib.report.sections import ablations
from btlib.volumes.data.labels import CONVENTIONS
from btlib.volumes.nets.plain import NETWORKS, PlainArchitecture, build_plain


def choices(key: str) -> set[str]:
    """The schema's choices for a dotted key; for a union, those of its literal part."""
    model: Any = Params
    for name in key.split("."):
        annotation = model.model_fields[name].annotation
        model = get_args(annotation)[0] if get_origin(annotation) is list else annotation
    parts = [model, *get_args(model)]
    return {choice for part in parts if get_origin(part) is Literal for choice in get_args(part)}


REGISTRIES = {
    "fusion": {NONE, *FUSIONS},
    "images.source": set(SOURCES),
    "images.reference.source": {"none", *SOURCES} - {"phantom"},
    "external.layout": set(external.LAYOUTS),
    "volumes.labels": {"auto", *CONVENTIONS},
}


@pytest.mark.parametrize("key", REGISTRIES)
def test_the_schema_offers_every_registry_entry(key):
    assert choices(key) == REGISTRIES[key]


def test_a_model_card_may_name_every_fusion():
    assert set(get_args(Architecture.__annotations__["fusion"])) == choices("fusion")


@pytest.mark.parametrize("name", FUSIONS)
def test_every_fusion_has_the_declared_output_size(name):
    fusion = FUSIONS[name]((3, 5), 8, 2)
    fused = fusion((torch.rand(2, 3, 4, 4), torch.rand(2, 5, 2, 2)))
    assert fused.vector_BD.shape == (2, fusion.out_features)


def test_every_ablation_table_has_a_title_and_the_papers_numbers():
    assert set(schema.TABLES) == set(ablations.TABLES) == set(paper.TABLES)


def test_the_schema_offers_every_grader():
    assert set(schema.GRADERS) == {RADIOMICS, *NETWORKS}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_plain_network_works_from_the_smallest_size_that_the_schema_lets_it_have(name):
    side, net = schema.SMALLEST.get(name, 16), build_plain(PlainArchitecture(name, 8), 0)
    assert net(torch.rand(1, 4, side, side, side)).grade.shape == (1, 2)
    if name in schema.SMALLEST:
        with pytest.raises(RuntimeError):
            net(torch.rand(1, 4, side - 8, side - 8, side - 8))
