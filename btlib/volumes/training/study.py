"""Trains the arms of the joint network's ablation for several seeds, together if they use the same volumes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from lightning_fabric import Fabric

from btlib.core.runtime.arm_names import RADIOMICS, SEGMENTATION_ONLY
from btlib.core.runtime.workers import side_by_side
from btlib.core.training.recipe import Recipe
from btlib.core.training.resume import ResumeState, run_hash
from btlib.volumes.nets.inference import predict_case
from btlib.volumes.nets.network import JointArchitecture, build_joint
from btlib.volumes.nets.plain import PlainArchitecture, VolumeNet, build_plain
from btlib.volumes.nets.windows import Window
from btlib.volumes.training.learner import BatchSpec, JointSettings, drawn, train_joint_arms
from btlib.volumes.training.main import VolumeData
from btlib.volumes.training.mask_grader import MaskGrader, refuse_few_patients
from btlib.volumes.training.recipe import arm_architecture, batch_spec, joint_settings


@dataclass
class TrainedJoint:
    """One arm under one seed: its network, or why training failed, and its training history.

    grader: grades from the masks of the network, which only segments; None: the network is the arm.
    """

    arm: str
    seed: int
    net: VolumeNet
    window: Window
    history: list[dict[str, Any]] = field(default_factory=list)
    failed: str = ""
    grader: MaskGrader | None = None


class Job(NamedTuple):
    """Arms of one seed with the same batches, and their untrained networks."""

    spec: BatchSpec
    arms: list[tuple[JointSettings, VolumeNet]]
    resume: ResumeState


class JointStudy:
    """The joint network's ablation; arms of a seed start from the same draws as far as their networks agree.

    An arm with grader RADIOMICS trains no network: it is fitted to the masks that SEGMENTATION_ONLY predicts for the
    training cases. The network has seen these cases, so their masks are better than those of test cases. But true
    masks would be better still, and the joint network's head, too, learns from regions that it predicts for its own
    training cases.

    Args:
        arms: arm name -> recipe with all keys but the seed.
        roi_size: voxels per side of the input cubes, which are downsampled to an arm's own `size`.

    Raises:
        InputError: there are too few graded patients for RADIOMICS.
    """

    def __init__(self, arms: Mapping[str, Recipe], data: VolumeData, roi_size: int, fabric: Fabric):
        self.arms = arms
        self.radiomics = [name for name, recipe in arms.items() if recipe.get("grader") == RADIOMICS]
        self.data = data
        self.roi_size = roi_size
        self.fabric = fabric
        self.fingerprint = run_hash((), data.arrays, [])
        self.resumable: list[ResumeState] = []
        if self.radiomics:
            rows = self._graded_rows()
            refuse_few_patients(data.volumes.grades[rows], data.patients[rows])

    def train(self, seeds: Sequence[int]) -> Iterator[TrainedJoint]:
        """Trains all arms, then yields each under each seed, seed by seed, in the order of the arms."""
        jobs = [job for seed in seeds for job in self._jobs(seed)]
        jobs.sort(key=lambda job: -len(job.arms))  # longest first, so that no core is idle at the end
        self.resumable = [job.resume for job in jobs]
        # processes that sum gradients must take their steps in the same order
        parts = map(self._train, jobs) if self.fabric.world_size > 1 else side_by_side(self._train, jobs)
        trained = {(done.arm, done.seed): done for part in parts for done in part}
        for arm in self.radiomics:
            masks = [trained[SEGMENTATION_ONLY, seed] for seed in seeds]
            trained |= {(arm, done.seed): replace(done, arm=arm) for done in side_by_side(self._with_grader, masks)}
        yield from (trained[arm, seed] for seed in seeds for arm in self.arms)

    def forget(self) -> None:
        """Deletes the resumable states, after the results are written."""
        for resume in self.resumable:
            resume.delete()

    def _jobs(self, seed: int) -> list[Job]:
        recipes = {name: {**recipe, "seed": seed} for name, recipe in self.arms.items() if name not in self.radiomics}
        groups: dict[BatchSpec, list[str]] = {}
        for name, recipe in recipes.items():
            groups.setdefault(batch_spec(recipe, self.roi_size), []).append(name)
        return [self._job(spec, {name: recipes[name] for name in names}) for spec, names in groups.items()]

    def _job(self, spec: BatchSpec, recipes: Mapping[str, Recipe]) -> Job:
        settings = [joint_settings(recipe, name) for name, recipe in recipes.items()]
        shapes = [arm_architecture(recipe) for recipe in recipes.values()]
        nets = [_build(shape, own.seed) for own, shape in zip(settings, shapes, strict=True)]
        resume = ResumeState("ablate_joint", run_hash((self.fingerprint, spec, settings, shapes), [], []))
        return Job(spec, list(zip(settings, nets, strict=True)), resume)

    def _train(self, job: Job) -> list[TrainedJoint]:
        print(f"joint, seed {job.spec.seed}: {', '.join(own.name for own, _ in job.arms)}", flush=True)
        arms = train_joint_arms(job.arms, self.data.task(job.spec), self.fabric, job.resume)
        return [
            TrainedJoint(
                arm.settings.name,
                arm.settings.seed,
                arm.net.eval(),
                job.spec.window,
                arm.readouts[0].progress.history,
                arm.failed,
            )
            for arm in arms
        ]

    def _with_grader(self, masks: TrainedJoint) -> TrainedJoint:
        """A network that segments, with a grader fitted to its masks of the training cases."""
        if masks.failed:
            return replace(masks, history=[], failed=f"{masks.arm} failed: {masks.failed}")
        print(f"radiomics, seed {masks.seed}: features of the masks of {masks.arm}", flush=True)
        rows = self._graded_rows()
        cases = (self.data.volumes.cases[row] for row in rows)
        masked = ((case, predict_case(masks.net, case, masks.window).regions) for case in cases)
        grader = MaskGrader(masked, self.data.volumes.grades[rows], self.data.patients[rows])
        return replace(masks, history=[], grader=grader)

    def _graded_rows(self) -> np.ndarray:
        """Row numbers of the training cases, and of the phantoms trained on, whose grade is known."""
        share = self.arms[self.radiomics[0]]["phantom_share"]
        rows = np.concatenate(drawn(share, self.data.train, self.data.phantoms))
        return rows[self.data.volumes.grades[rows] >= 0]


def _build(architecture: JointArchitecture | PlainArchitecture, seed: int) -> VolumeNet:
    if isinstance(architecture, PlainArchitecture):
        return build_plain(architecture, seed)
    return build_joint(architecture, seed)
