"""Uncertainty of networks by a single pass, Monte Carlo dropout and ensembles.

Evaluation and ablation score the uncertainty; explanations and predictions for new scans show it as maps.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np
from tqdm import tqdm

from btlib.core.runtime.workers import side_by_side
from btlib.volumes.data.cases import of_case
from btlib.volumes.data.store import Case
from btlib.volumes.evaluation.masks import Postprocessing, masks_of
from btlib.volumes.evaluation.uncertainty import Doubts
from btlib.volumes.explain.maps import Explanation
from btlib.volumes.explain.sampling import Method, all_methods, binary_uncertainty
from btlib.volumes.nets.inference import CasePrediction, mc_samples, predict_case, stacked
from btlib.volumes.nets.network import JointNet
from btlib.volumes.nets.windows import Window

Member = tuple[JointNet, Window]


def network_doubts(
    member: Member,
    cases: Sequence[Case],
    predicted: Sequence[CasePrediction],
    rules: Postprocessing,
    samples: int,
    seed: int,
) -> Doubts:
    """Uncertainty of one network: by its single pass and by MC dropout.

    Args:
        predicted: the network's prediction for each case without dropout.
        rules: for the mask of the whole tumour, from either method's probability.
    """
    methods = partial(_network_methods, member=member, cases=cases, samples=samples, seed=seed)
    return _collect(Doubts(rules), cases, side_by_side(methods, list(enumerate(predicted))))


def ensemble_doubts(members: Sequence[Member], cases: Sequence[Case], samples: int, seed: int) -> Doubts:
    """Uncertainty of the first network, by its single pass and by MC dropout, and of all networks as an ensemble."""
    methods = partial(_ensemble_methods, members=members, samples=samples, seed=seed)
    answers = side_by_side(partial(of_case, function=methods, cases=cases), range(len(cases)))
    return _collect(Doubts(), cases, answers)


def explanation(
    member: Member,
    case: Case,
    predicted: CasePrediction,
    rules: Postprocessing,
    heat: np.ndarray | None,
    samples: int,
    seed: int,
) -> Explanation:
    """All maps of one case: prediction, attention, Grad-CAM and uncertainty.

    Without dropout there is only the entropy of the single pass, and no mutual information.

    Args:
        heat: Grad-CAM of the grade, if requested.
    """
    if predicted.regions is None:
        return Explanation(None, predicted.attention, heat, None, None)
    drawn = mc_samples(member[0], case, member[1], samples, seed)
    found = binary_uncertainty(np.stack([sample.regions[0] for sample in drawn or [predicted]]))
    information = found.mutual_information if drawn else None
    masks = masks_of(predicted.regions, case.affine, rules)
    return Explanation(masks, predicted.attention, heat, found.entropy, information)


def _network_methods(
    numbered: tuple[int, CasePrediction], member: Member, cases: Sequence[Case], samples: int, seed: int
) -> dict[str, Method]:
    number, predicted = numbered
    drawn = mc_samples(member[0], cases[number], member[1], samples, seed)
    return _methods({"softmax": [predicted], "mc": drawn})


def _ensemble_methods(case: Case, members: Sequence[Member], samples: int, seed: int) -> dict[str, Method]:
    """Predicts case by case, since the passes of all cases would not fit into memory."""
    every = [predict_case(net, case, window) for net, window in members]
    net, window = members[0]
    drawn = {"softmax": every[:1], "mc": mc_samples(net, case, window, samples, seed), "ensemble": every}
    return _methods(drawn)


def _methods(drawn: Mapping[str, Sequence[CasePrediction]]) -> dict[str, Method]:
    return all_methods({name: stacked(found) for name, found in drawn.items() if found})


def _collect(doubts: Doubts, cases: Sequence[Case], answers: Iterable[Mapping[str, Method]]) -> Doubts:
    for case, found in zip(tqdm(cases, desc="uncertainty", unit="case"), answers, strict=True):
        doubts.add_case(case, found)
    return doubts
