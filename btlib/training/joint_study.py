"""Trains the arms of the joint network's ablation over seeds, those that see the same volumes beside each other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lightning_fabric import Fabric

from btlib.nets.joint import JointNet, build_joint
from btlib.nets.windows import Window
from btlib.training.joint import JointStream, train_joint_arms
from btlib.training.joint_main import VolumeData
from btlib.training.joint_recipe import joint_architecture, joint_settings, joint_stream
from btlib.training.recipe import Recipe
from btlib.training.resume import ResumeState, run_hash


@dataclass
class TrainedJoint:
    """One arm under one seed: its network, or why it failed, and its rows of training history."""

    arm: str
    seed: int
    net: JointNet
    window: Window
    history: list[dict[str, Any]] = field(default_factory=list)
    failed: str = ""


class JointStudy:
    """All arms of a seed start from the same draws as far as their networks agree.

    Args:
        arms: arm name -> recipe, all keys but the seed filled in.
        field: voxels per side of the cubes seen; an arm's own `size` says how small they are given to it.
    """

    def __init__(self, arms: Mapping[str, Recipe], data: VolumeData, field: int, fabric: Fabric):
        self.arms = arms
        self.data = data
        self.field = field
        self.fabric = fabric
        self.fingerprint = run_hash((), data.arrays, [])
        self.resumable: list[ResumeState] = []

    def train(self, seeds: Sequence[int]) -> Iterator[TrainedJoint]:
        """Yields each arm under each seed, seed by seed, in the order of the arms."""
        for seed in seeds:
            recipes = {name: {**recipe, "seed": seed} for name, recipe in self.arms.items()}
            streams: dict[JointStream, list[str]] = {}
            for name, recipe in recipes.items():
                streams.setdefault(joint_stream(recipe, self.field), []).append(name)
            done = {}
            for stream, names in streams.items():
                done |= self._train_stream(stream, {name: recipes[name] for name in names}, seed)
            yield from (done[name] for name in self.arms)

    def forget(self) -> None:
        """Deletes the resumable states, once the results are safe."""
        for resume in self.resumable:
            resume.delete()

    def _train_stream(self, stream: JointStream, recipes: Mapping[str, Recipe], seed: int) -> dict[str, TrainedJoint]:
        settings = [joint_settings(recipe, name) for name, recipe in recipes.items()]
        shapes = [joint_architecture(recipe) for recipe in recipes.values()]
        resume = ResumeState("ablate_joint", run_hash((self.fingerprint, stream, settings, shapes), [], []))
        self.resumable.append(resume)
        print(f"joint, seed {seed}: {', '.join(recipes)}", flush=True)
        nets = [build_joint(shape, seed) for shape in shapes]
        pairs, data = list(zip(settings, nets, strict=True)), self.data
        arms = train_joint_arms(pairs, data.resident, data.train, data.val, stream, self.fabric, resume)
        return {
            name: TrainedJoint(name, seed, arm.net.eval(), stream.window, arm.readouts[0].progress.history, arm.failed)
            for name, arm in zip(recipes, arms, strict=True)
        }
