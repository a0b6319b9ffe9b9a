"""Trains the arms of one table for several seeds, sharing batches as far as their recipes allow."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import astuple, dataclass, field, replace
from typing import Any, NamedTuple

from lightning_fabric import Fabric
from torch import Tensor

from btlib.core.training.arms import Arm
from btlib.core.training.recipe import Recipe
from btlib.core.training.resume import ResumeState, run_hash
from btlib.images.nets.classifier import Classifier, build_classifier
from btlib.images.training.learner import BatchSpec, ClassifierSettings, train_arms
from btlib.images.training.main import TrainingData
from btlib.images.training.recipe import architecture, arm_settings, batch_spec


@dataclass
class Trained:
    """One arm under one seed: its network, or why training failed, and its training history."""

    arm: str
    seed: int
    recipe: dict[str, Any]
    net: Classifier
    history: list[dict[str, Any]] = field(default_factory=list)
    failed: str = ""
    trained_stages: int = 0


class Shared(NamedTuple):
    """Properties that arms must share to use the same batches and frozen trunk."""

    backbones: tuple[str, ...]
    image_size: int
    spec: BatchSpec


def groups_of(recipes: Mapping[str, Recipe], stage: int) -> dict[Shared, list[str]]:
    """The arms that can be trained together in stage 1 or 2, grouped by their shared properties."""
    groups: dict[Shared, list[str]] = {}
    for name, recipe in recipes.items():
        shared = Shared(tuple(recipe["backbones"]), recipe["image_size"], batch_spec(recipe, stage))
        groups.setdefault(shared, []).append(name)
    return groups


def streams_of(recipes: Mapping[str, Recipe]) -> list[list[str]]:
    """The arms in parts that share no batches in either stage, so that each can be trained by itself.

    Args:
        recipes: with a seed or all without, which makes no difference.
    """
    seeded = {name: {"seed": 0, **recipe} for name, recipe in recipes.items()}
    streams = [{name} for name in recipes]
    for together in [names for stage in (1, 2) for names in groups_of(seeded, stage).values()]:
        joined = [stream for stream in streams if stream & set(together)]
        streams = [stream for stream in streams if stream not in joined] + [set().union(*joined)]
    order = list(recipes)
    return sorted((sorted(stream, key=order.index) for stream in streams), key=lambda stream: order.index(stream[0]))


class Study:
    """The arms of one table.

    Arms with equal recipes are trained once. Arms that differ only in their EMA and start from the same weights are one
    run with two readouts. All arms of a seed start from the same draws, so that they differ only by their overrides.

    Args:
        table: its name, part of the path of resumable states.
        arms: arm name -> recipe with all keys but the seed.
        states: backbone name -> pretrained feature state.
        fingerprint: of everything else that the results depend on: data, splits, weights.
    """

    def __init__(
        self,
        table: str,
        arms: Mapping[str, Recipe],
        data: TrainingData,
        states: Mapping[str, dict[str, Tensor]],
        fabric: Fabric,
        fingerprint: str,
    ):
        self.table = table
        self.arms = arms
        self.data = data
        self.states = states
        self.fabric = fabric
        self.fingerprint = fingerprint
        self.resumable: list[ResumeState] = []

    def train(self, seeds: Sequence[int]) -> Iterator[Trained]:
        """Yields each arm under each seed after both training stages."""
        for seed in seeds:
            recipes = {name: {**recipe, "seed": seed} for name, recipe in self.arms.items()}
            first_of = {name: next(n for n in recipes if recipes[n] == recipes[name]) for name in recipes}
            runs = self._start(seed, {name: recipes[name] for name in recipes if first_of[name] == name})
            for stage in (1, 2):
                alive = {name: run.recipe for name, run in runs.items() if not run.failed}
                for shared, names in groups_of(alive, stage).items():
                    if shared.spec.epochs:
                        self._train_stream(shared, [runs[name] for name in names], stage)
            for name in recipes:
                yield replace(runs[first_of[name]], arm=name)

    def forget(self) -> None:
        """Deletes the resumable states, after the results are written."""
        for resume in self.resumable:
            resume.delete()

    def _start(self, seed: int, recipes: Mapping[str, Recipe]) -> dict[str, Trained]:
        """Each arm with its network; arms of the same architecture get copies, which are faster than new draws."""
        shapes = {name: architecture(recipe, self.data.classes) for name, recipe in recipes.items()}
        drawn = {shape: build_classifier(shape, self.states, seed) for shape in set(shapes.values())}
        return {
            name: Trained(name, seed, dict(recipe), deepcopy(drawn[shapes[name]])) for name, recipe in recipes.items()
        }

    def _train_stream(self, shared: Shared, runs: list[Trained], stage: int) -> None:
        families = families_of(runs, stage)
        settings = [_joint_settings(family, stage) for family in families]
        key = [(s, [run.recipe for run in family]) for s, family in zip(settings, families, strict=True)]
        resume = ResumeState(f"ablate_{self.table}", run_hash((self.fingerprint, shared, stage, key), [], []))
        self.resumable.append(resume)
        print(f"{self.table}, seed {runs[0].seed}, stage {stage}: {', '.join(run.arm for run in runs)}", flush=True)
        images, data = self.data.resident_at(shared.image_size), self.data
        nets = [family[0].net for family in families]
        arms = train_arms(
            list(zip(settings, nets, strict=True)), images, data.train, data.val, shared.spec, self.fabric, resume
        )
        for arm, family in zip(arms, families, strict=True):
            _store_results(arm, family, stage)


def families_of(runs: Sequence[Trained], stage: int) -> list[list[Trained]]:
    """Groups runs that differ only in their EMA and start from the same weights: one training per group.

    In stage 2 each arm starts from its own averaged weights, so every arm is a group of its own.
    """
    families: dict[Any, list[Trained]] = {}
    for run in runs:
        same = astuple(replace(arm_settings(run.recipe, stage, name=""), ema_decays=()))
        start = run.arm if run.trained_stages else ""
        families.setdefault((same, run.net.architecture, start), []).append(run)
    return list(families.values())


def _joint_settings(family: Sequence[Trained], stage: int) -> ClassifierSettings:
    every = [arm_settings(run.recipe, stage, run.arm) for run in family]
    return replace(every[0], ema_decays=tuple(decay for settings in every for decay in settings.ema_decays))


def _store_results(arm: Arm, family: Sequence[Trained], stage: int) -> None:
    """Stores network and history in each run of a family, from its own readout."""
    for run, readout in zip(family, arm.readouts, strict=True):
        run.failed, run.trained_stages = arm.failed, run.trained_stages + 1
        run.history += [{"stage": stage, **row} for row in readout.progress.history]
        arm.restore(readout)
        run.net = arm.net if len(family) == 1 else deepcopy(arm.net)


def fingerprint(data: TrainingData, states: Mapping[str, Mapping[str, Tensor]]) -> str:
    """A hash of the images, their labels and splits, and the pretrained weights."""
    tensors = [state[name].numpy() for _, state in sorted(states.items()) for name in sorted(state)]
    return run_hash((), [*data.content, *tensors], [])
