"""Trains the arms of the joint network's ablation for several seeds, together if they use the same volumes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lightning_fabric import Fabric

from btlib.core.runtime.arm_names import RADIOMICS, SEGMENTATION_ONLY
from btlib.core.runtime.workers import Shared, make_fabric, side_by_side
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


class Material(NamedTuple):
    """What all jobs use."""

    data: VolumeData
    fabric: Fabric


def open_material(normalized: Path, splits: Path, phantoms: Path, devices: int, precision: str) -> Material:
    """Opens the cases (see `VolumeData`), and launches training (see `make_fabric`)."""
    fabric = make_fabric(devices, precision)
    return Material(VolumeData(normalized, splits, phantoms, fabric), fabric)


class JointStudy:
    """The joint network's ablation; arms of a seed start from the same draws as far as their networks agree.

    An arm with grader RADIOMICS trains no network: it is fitted to the masks that SEGMENTATION_ONLY predicts for the
    training cases. The network has seen these cases, so their masks are better than those of test cases. But true
    masks would be better still, and the joint network's head, too, learns from regions that it predicts for its own
    training cases.

    Args:
        arms: arm name -> recipe with all keys but the seed.
        material: from `open_material`.
        roi_size: voxels per side of the input cubes, which are downsampled to an arm's own `size`.

    Raises:
        InputError: there are too few graded patients for RADIOMICS.
    """

    def __init__(self, arms: Mapping[str, Recipe], material: Shared[Material], roi_size: int):
        self.arms = arms
        self.radiomics = [name for name, recipe in arms.items() if recipe.get("grader") == RADIOMICS]
        self.material = material
        self.roi_size = roi_size
        data = material.value.data
        self.fingerprint = run_hash((), data.arrays, [])
        self.resumable: list[ResumeState] = []
        if self.radiomics:
            self.graded = self._graded_rows(data)
            refuse_few_patients(data.volumes.grades[self.graded], data.patients[self.graded])

    def train(self, seeds: Sequence[int]) -> Iterator[TrainedJoint]:
        """Trains all arms, then yields each under each seed, seed by seed, in the order of the arms."""
        jobs = [job for seed in seeds for job in self._jobs(seed)]
        jobs.sort(key=lambda job: -len(job.arms))  # longest first, so that no core is idle at the end
        self.resumable = [job.resume for job in jobs]
        train = partial(_train, material=self.material)
        # processes that sum gradients must take their steps in the same order
        parts = map(train, jobs) if self.material.value.fabric.world_size > 1 else side_by_side(train, jobs)
        trained = {(done.arm, done.seed): done for part in parts for done in part}
        for arm in self.radiomics:
            masks = [trained[SEGMENTATION_ONLY, seed] for seed in seeds]
            graders = side_by_side(partial(_grader, material=self.material, rows=self.graded), masks)
            trained |= {(arm, of.seed): _graded(arm, of, grader) for of, grader in zip(masks, graders, strict=True)}
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

    def _graded_rows(self, data: VolumeData) -> np.ndarray:
        """Row numbers of the training cases, and of the phantoms trained on, whose grade is known."""
        share = self.arms[self.radiomics[0]]["phantom_share"]
        rows = np.concatenate(drawn(share, data.train, data.phantoms))
        return rows[data.volumes.grades[rows] >= 0]


def _train(job: Job, material: Shared[Material]) -> list[TrainedJoint]:
    print(f"joint, seed {job.spec.seed}: {', '.join(own.name for own, _ in job.arms)}", flush=True)
    data, fabric = material.value
    arms = train_joint_arms(job.arms, data.task(job.spec), fabric, job.resume)
    return [
        TrainedJoint(
            arm.settings.name,
            arm.settings.seed,
            arm.net.eval().cpu(),  # which leaves the GPU to the next, and may be sent from any computer to any
            job.spec.window,
            arm.readouts[0].progress.history,
            arm.failed,
        )
        for arm in arms
    ]


def _grader(masks: TrainedJoint, material: Shared[Material], rows: np.ndarray) -> MaskGrader | None:
    """A grader fitted to the masks that a network predicts for these cases; None if its training failed."""
    if masks.failed:
        return None
    print(f"radiomics, seed {masks.seed}: features of the masks of {masks.arm}", flush=True)
    data = material.value.data
    cases = (data.volumes.cases[row] for row in rows)
    masked = ((case, predict_case(masks.net, case, masks.window).regions) for case in cases)
    return MaskGrader(masked, data.volumes.grades[rows], data.patients[rows])


def _graded(arm: str, masks: TrainedJoint, grader: MaskGrader | None) -> TrainedJoint:
    """A network that segments, as the arm that grades with its masks."""
    failed = f"{masks.arm} failed: {masks.failed}" if masks.failed else ""
    return replace(masks, arm=arm, history=[], failed=failed, grader=grader)


def _build(architecture: JointArchitecture | PlainArchitecture, seed: int) -> VolumeNet:
    if isinstance(architecture, PlainArchitecture):
        return build_plain(architecture, seed)
    return build_joint(architecture, seed)
