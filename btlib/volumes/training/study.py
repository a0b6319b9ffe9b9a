"""Trains the arms of the joint network's ablation for several seeds, together if they use the same volumes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lightning_fabric import Fabric

from btlib.core.runtime.workers import side_by_side
from btlib.core.training.recipe import Recipe
from btlib.core.training.resume import ResumeState, run_hash
from btlib.volumes.nets.network import JointNet, build_joint
from btlib.volumes.nets.windows import Window
from btlib.volumes.training.learner import BatchSpec, JointSettings, train_joint_arms
from btlib.volumes.training.main import VolumeData
from btlib.volumes.training.recipe import batch_spec, joint_architecture, joint_settings


@dataclass
class TrainedJoint:
    """One arm under one seed: its network, or why training failed, and its training history."""

    arm: str
    seed: int
    net: JointNet
    window: Window
    history: list[dict[str, Any]] = field(default_factory=list)
    failed: str = ""


class Job(NamedTuple):
    """Arms of one seed with the same batches, and their untrained networks."""

    spec: BatchSpec
    arms: list[tuple[JointSettings, JointNet]]
    resume: ResumeState


class JointStudy:
    """The joint network's ablation; arms of a seed start from the same draws as far as their networks agree.

    Args:
        arms: arm name -> recipe with all keys but the seed.
        roi_size: voxels per side of the input cubes, which are downsampled to an arm's own `size`.
    """

    def __init__(self, arms: Mapping[str, Recipe], data: VolumeData, roi_size: int, fabric: Fabric):
        self.arms = arms
        self.data = data
        self.roi_size = roi_size
        self.fabric = fabric
        self.fingerprint = run_hash((), data.arrays, [])
        self.resumable: list[ResumeState] = []

    def train(self, seeds: Sequence[int]) -> Iterator[TrainedJoint]:
        """Trains all arms, then yields each under each seed, seed by seed, in the order of the arms."""
        jobs = [job for seed in seeds for job in self._jobs(seed)]
        jobs.sort(key=lambda job: -len(job.arms))  # longest first, so that no core is idle at the end
        self.resumable = [job.resume for job in jobs]
        # processes that sum gradients must take their steps in the same order
        parts = map(self._train, jobs) if self.fabric.world_size > 1 else side_by_side(self._train, jobs)
        trained = {(done.arm, done.seed): done for part in parts for done in part}
        yield from (trained[arm, seed] for seed in seeds for arm in self.arms)

    def forget(self) -> None:
        """Deletes the resumable states, after the results are written."""
        for resume in self.resumable:
            resume.delete()

    def _jobs(self, seed: int) -> list[Job]:
        recipes = {name: {**recipe, "seed": seed} for name, recipe in self.arms.items()}
        groups: dict[BatchSpec, list[str]] = {}
        for name, recipe in recipes.items():
            groups.setdefault(batch_spec(recipe, self.roi_size), []).append(name)
        return [self._job(spec, {name: recipes[name] for name in names}) for spec, names in groups.items()]

    def _job(self, spec: BatchSpec, recipes: Mapping[str, Recipe]) -> Job:
        settings = [joint_settings(recipe, name) for name, recipe in recipes.items()]
        shapes = [joint_architecture(recipe) for recipe in recipes.values()]
        nets = [build_joint(shape, own.seed) for own, shape in zip(settings, shapes, strict=True)]
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
