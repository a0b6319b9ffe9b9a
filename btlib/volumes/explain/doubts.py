"""How sure networks are of cases: one pass, Monte-Carlo dropout and ensembles, put together here for every use.

Evaluation and ablation count the doubts, explanations and new scans show them as maps.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np
from tqdm import tqdm

from btlib.core.runtime.workers import side_by_side
from btlib.volumes.data.store import Case
from btlib.volumes.evaluation.uncertainty import Doubts
from btlib.volumes.explain.maps import Explanation
from btlib.volumes.explain.sampling import Method, all_methods, binary_uncertainty
from btlib.volumes.nets.inference import CasePrediction, mc_samples, predict_case, stacked
from btlib.volumes.nets.network import JointNet
from btlib.volumes.nets.windows import Window

Member = tuple[JointNet, Window]


def network_doubts(
    member: Member, cases: Sequence[Case], predicted: Sequence[CasePrediction], samples: int, seed: int
) -> Doubts:
    """Of one network: its one pass and MC dropout.

    Args:
        predicted: what the network says of each case without dropout.
    """
    methods = partial(_of_network, member=member, samples=samples, seed=seed)
    return _counted(cases, side_by_side(methods, list(zip(cases, predicted, strict=True))))


def ensemble_doubts(members: Sequence[Member], cases: Sequence[Case], samples: int, seed: int) -> Doubts:
    """Of the first network its one pass and MC dropout, and of all of them as an ensemble."""
    methods = partial(_of_ensemble, members=members, samples=samples, seed=seed)
    return _counted(cases, side_by_side(methods, cases))


def explanation(
    member: Member, case: Case, predicted: CasePrediction, heat: np.ndarray | None, samples: int, seed: int
) -> Explanation:
    """All maps of one case: what is predicted, where the network looks and where it is unsure.

    Without dropout there is the entropy of the one pass and no mutual information.

    Args:
        heat: Grad-CAM of the grade, where it is wanted.
    """
    if predicted.regions is None:
        return Explanation(None, predicted.attention, heat, None, None)
    drawn = mc_samples(member[0], case, member[1], samples, seed)
    found = binary_uncertainty(np.stack([sample.regions[0] for sample in drawn or [predicted]]))
    information = found.mutual_information if drawn else None
    return Explanation(predicted.regions, predicted.attention, heat, found.entropy, information)


def _of_network(asked: tuple[Case, CasePrediction], member: Member, samples: int, seed: int) -> dict[str, Method]:
    (case, plain), (net, window) = asked, member
    return _methods({"softmax": [plain], "mc": mc_samples(net, case, window, samples, seed)})


def _of_ensemble(case: Case, members: Sequence[Member], samples: int, seed: int) -> dict[str, Method]:
    """The passes are made here, case by case: those of all cases together would fill the memory."""
    every = [predict_case(net, case, window) for net, window in members]
    net, window = members[0]
    drawn = {"softmax": every[:1], "mc": mc_samples(net, case, window, samples, seed), "ensemble": every}
    return _methods(drawn)


def _methods(drawn: Mapping[str, Sequence[CasePrediction]]) -> dict[str, Method]:
    return all_methods({name: stacked(found) for name, found in drawn.items() if found})


def _counted(cases: Sequence[Case], answers: Iterable[Mapping[str, Method]]) -> Doubts:
    doubts = Doubts()
    for case, found in zip(tqdm(cases, desc="uncertainty", unit="case"), answers, strict=True):
        doubts.add_case(case, found)
    return doubts
