"""Dice against training time for our joint network, MONAI's AttentionUnet and SegResNet; seconds and memory per case.

All train on the same normalised cases (stage normalize_volumes) with the same keyed batches and augmentation, for the
same number of steps, with the same optimiser, schedule, clipping, EMA, and Dice and cross-entropy losses. Ours is
trained as in stage train_joint, with deep outputs, dropout and the grade's loss; the peers have none of these. Like
ours, the peers have four levels, the coarsest at an eighth of the side, and about as many parameters (printed). The
learning rate was chosen for our network; `--peer-rate` sets another for the peers.

- training: the contestants take turns by epoch, in rotating order, so that all face the same machine load. Only a
  contestant's own steps are timed (forward, loss, backward, update, EMA). Making a batch costs the same for all and is
  reported separately; each contestant warms up with one step on a throwaway network.
- Dice, not timed: averaged weights on the validation cases, in one plain pass for all: MONAI's sliding window over
  logits, without our mirroring; hard, mean over regions and cases, absent regions scored as in BraTS.
- inference: from the normalised array to an array of probabilities, fp32. Ours as btlib predicts: the volume and its
  mirror image, with grade and attention. The peers both plain and with the mirror image, since on a CPU PyTorch picks
  slower convolutions for a single volume. Alternating order, medians, with the Dice of each.
- memory: each in its own process, over all validation cases, the peers plain: the peak of the process (CPU) or of
  PyTorch's allocations (CUDA), and the level before the first case. All run after btlib has set glibc to keep freed
  memory.

On a GPU the peers may use the fastest kernels; btlib uses deterministic ones.

Run: python -m benchmarks.joint_peers [--epochs 14] [--threads 2] [--size 64] [--seed 0] [--repeats 5]
"""

import argparse
import resource
import subprocess
import sys
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from monai.inferers import sliding_window_inference
from monai.metrics import compute_dice
from monai.networks.nets import AttentionUnet, SegResNet
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.arms import machine
from benchmarks.plain_loop import fastest_kernels
from btlib.core.runtime.nested import flatten
from btlib.core.runtime.reproducibility import keyed_layers, keyed_rng
from btlib.core.runtime.workers import make_fabric
from btlib.core.settings.params import load_params
from btlib.core.training.arms import Arm
from btlib.core.training.loop import refuse_too_few
from btlib.images.training.recipe import Recipe
from btlib.volumes.data.conventions import GRADES, MODALITIES, REGIONS, regions_of
from btlib.volumes.data.store import Case
from btlib.volumes.nets.inference import predict_case
from btlib.volumes.nets.network import JointNet, build_joint
from btlib.volumes.nets.windows import OVERLAP, Window
from btlib.volumes.training.learner import Batch, JointLearner, JointTask, ValidationCase
from btlib.volumes.training.loss import segmentation_loss
from btlib.volumes.training.main import VolumeData
from btlib.volumes.training.recipe import batch_spec, joint_architecture, joint_settings

NORMALIZED, SPLITS = Path("data/volumes/normalized"), Path("data/volumes/splits.csv")
PHANTOMS = Path("data/volumes/phantom_cases")
OURS = "btlib"
PEERS = {
    "AttentionUnet": lambda: AttentionUnet(3, len(MODALITIES), len(REGIONS), (8, 16, 32, 72), (2, 2, 2)),
    "SegResNet": lambda: SegResNet(3, 8, len(MODALITIES), len(REGIONS), blocks_down=(1, 1, 1, 1)),
}
NAMES = (OURS, *PEERS)
WAYS = ((OURS, True), *((name, mirrored) for name in PEERS for mirrored in (False, True)))


class PeerLearner:
    """A segmentation network with the parts of `core.training.arms.Learner` that `Arm` and this script use."""

    def __init__(self, net: nn.Module):
        self.net = net
        self.trained = dict(net.named_parameters()) | dict(net.named_buffers())  # AttentionUnet has BatchNorm
        self.score = "dice"

    def losses(self, batch: Batch, key: tuple) -> tuple[Tensor, Tensor]:
        """As for a `JointLearner` whose network has no deep outputs and does not grade."""
        logits = self.net(batch.images)
        loss = segmentation_loss(logits, (), batch.regions) * batch.segmented
        return loss, compute_dice(logits.detach() > 0, batch.regions, ignore_empty=False).mean(dim=1).sum()

    def training_mode(self, on: bool) -> None:
        self.net.train(on)


class Study:
    """The data and settings that all contestants share, and their training turns."""

    def __init__(self, recipe: Recipe, cases: int | None, fabric: Fabric):
        self.recipe, self.fabric = recipe, fabric
        self.data = VolumeData(NORMALIZED, SPLITS, PHANTOMS, fabric)
        self.train, self.val = self.data.train[:cases], self.data.val[:cases]
        self.spec = batch_spec(recipe, recipe["size"])
        refuse_too_few(len(self.train), self.spec.batch_size, "joint.batch_size", "cases")
        self.task = JointTask(self.data.volumes, self.train, self.val, self.spec)
        self.steps = self.spec.course.steps(len(self.train))

    @property
    def val_cases(self) -> list[Case]:
        return [self.data.volumes.cases[row] for row in self.val]

    def contestant(self, name: str, peer_rate: float) -> Arm:
        """A network with fresh weights, its optimiser and schedule."""
        settings = joint_settings(self.recipe, name)
        net = build(name, self.recipe).to(self.fabric.device)
        if name == OURS:
            counts = np.bincount(self.data.volumes.grades[self.train] + 1, minlength=len(GRADES) + 1)[1:]
            learner = JointLearner(settings, net, torch.from_numpy(counts), self.spec.window)
        else:
            settings, learner = replace(settings, learning_rate=peer_rate), PeerLearner(net)
        return Arm(settings, learner, self.steps * self.spec.epochs)

    def turn(self, arm: Arm, epoch: int, steps: int) -> tuple[list[float], list[float]]:
        """Trains for `steps` steps of an epoch; returns the seconds of each step and of making each batch."""
        size = self.spec.batch_size
        order = keyed_rng(self.spec.seed, epoch, "order").permutation(self.train)
        arm.learner.training_mode(True)
        times = [self._now()]
        with kernels(arm.settings.name):
            for step in range(steps):
                key = (self.spec.seed, epoch, step)
                rows = order[step * size : (step + 1) * size]
                batch = self.task.batch(rows, key, torch.arange(size, device=self.fabric.device))
                times.append(self._now())
                with self.fabric.autocast():
                    losses, _ = arm.learner.losses(batch, key)
                (losses.sum() / size).backward()
                arm.step()
                times.append(self._now())
        arm.learner.training_mode(False)
        spent = np.diff(times).tolist()
        return spent[1::2], spent[::2]

    @torch.inference_mode()
    def dice(self, arm: Arm) -> float:
        """Mean Dice of the averaged weights, in one plain pass over each validation case."""
        segmented = [case for case in self.task.validation if case.regions is not None]
        with arm.readouts[0].ema.applied(), self.fabric.autocast(), kernels(arm.settings.name):
            return float(np.mean([self._case_dice(arm.net, case) for case in segmented]))

    def _case_dice(self, net: nn.Module, case: ValidationCase) -> float:
        return mean_dice(logits_of(net, case.image, self.spec.window, mirrored=False) > 0, case.regions)

    def _now(self) -> float:
        if self.fabric.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def mean_dice(said: Tensor, truth: Tensor) -> float:
    """Mean over the regions of one case, bool [3, X, Y, Z]; an absent region scores 1 if predicted absent, else 0."""
    return compute_dice(said[None], truth[None], ignore_empty=False).mean().item()


def build(name: str, recipe: Recipe) -> nn.Module:
    """The contestant's network with weights drawn from the recipe's seed."""
    if name == OURS:
        return build_joint(joint_architecture(recipe), recipe["seed"])
    with keyed_layers(recipe["seed"], "init"):
        return PEERS[name]().eval()


def kernels(name: str) -> AbstractContextManager:
    return nullcontext() if name == OURS else fastest_kernels()


def logits_of(net: nn.Module, volume: Tensor, window: Window, mirrored: bool) -> Tensor:
    """Region logits [3, X, Y, Z] of a volume [4, X, Y, Z]; mirrored: the mean with those of its mirror image."""

    def of(cubes: Tensor) -> Tensor:
        return (net(cubes).regions if isinstance(net, JointNet) else net(cubes)).float()

    def of_both(cubes: Tensor) -> Tensor:
        plain, mirror = of(torch.cat([cubes, cubes.flip(2)])).split(1)
        return (plain + mirror.flip(2)) / 2

    cube = (window.roi_size,) * 3
    seen = of_both if mirrored else of
    return sliding_window_inference(volume[None], cube, 1, seen, overlap=OVERLAP, mode="gaussian")[0]


def predict(name: str, net: nn.Module, case: Case, window: Window, mirrored: bool) -> np.ndarray:
    """Region probabilities float32 [3, X, Y, Z]: ours as btlib predicts (always mirrored), a peer's as requested."""
    if name == OURS:
        return predict_case(net, case, window).regions
    with torch.inference_mode(), kernels(name):
        volume = torch.from_numpy(case.image).to(next(net.parameters()).device).float()
        return torch.sigmoid(logits_of(net, volume, window, mirrored)).cpu().numpy()


def compare_training(study: Study, peer_rate: float) -> dict[str, Arm]:
    """Trains all in turns, and prints the table and a summary."""
    arms = {name: study.contestant(name, peer_rate) for name in NAMES}
    for name in NAMES:
        study.turn(study.contestant(name, peer_rate), 0, 1)  # warm-up of a throwaway
    steps: dict[str, list[float]] = {name: [] for name in NAMES}
    curves: dict[str, list[tuple[float, float]]] = {name: [] for name in NAMES}  # seconds so far, Dice
    batches: list[float] = []
    print("epoch" + "".join(f"{name:>16} s   Dice" for name in NAMES))
    bar = tqdm(total=study.spec.epochs * len(NAMES), desc="turns")
    for epoch in range(study.spec.epochs):
        first = epoch % len(NAMES)
        for name in NAMES[first:] + NAMES[:first]:
            spent, making = study.turn(arms[name], epoch, study.steps)
            steps[name] += spent
            batches += making
            curves[name].append((sum(steps[name]), study.dice(arms[name])))
            bar.update()
        tqdm.write(f"{epoch + 1:5}" + "".join("{:18.1f} {:6.3f}".format(*curves[name][-1]) for name in NAMES))
    bar.close()
    target = min(curve[-1][1] for curve in curves.values())
    print(f"a batch, the same for all and not timed: {np.median(batches):.3f} s; lowest final Dice {target:.3f}")
    for name in NAMES:
        step, own = np.median(steps[name]), np.median(steps[OURS])
        reached = next(seconds for seconds, dice in curves[name] if dice >= target)
        print(f"{name}: {step:.3f} s a step, {step / own:.2f} of ours; Dice {target:.3f} first after {reached:.1f} s")
    return arms


def compare_inference(study: Study, arms: dict[str, Arm], repeats: int) -> None:
    """Prints median seconds per case with the averaged weights, alternating after a warm-up of each, and the Dice."""
    seconds: dict[tuple[str, bool], list[float]] = {way: [] for way in WAYS}
    scores: dict[tuple[str, bool], list[float]] = {way: [] for way in WAYS}
    with ExitStack() as stack:
        for arm in arms.values():
            stack.enter_context(arm.readouts[0].ema.applied())
        for name, mirrored in WAYS:
            predict(name, arms[name].net, study.val_cases[0], study.spec.window, mirrored)
        for number in tqdm(range(repeats), desc="repeats"):
            for case in study.val_cases:
                for name, mirrored in WAYS[:: -1 if number % 2 else 1]:
                    started = time.perf_counter()
                    said = predict(name, arms[name].net, case, study.spec.window, mirrored)
                    seconds[name, mirrored].append(time.perf_counter() - started)
                    if case.seg is not None:
                        truth = torch.from_numpy(regions_of(case.seg))
                        scores[name, mirrored].append(mean_dice(torch.from_numpy(said) > 0.5, truth))
    own = np.median(seconds[OURS, True])
    for name, mirrored in WAYS:
        middle, dice = np.median(seconds[name, mirrored]), np.mean(scores[name, mirrored])
        way = "mirrored" if mirrored else "plain"
        print(f"{name}, {way}: {middle:.3f} s a case, {middle / own:.2f} of ours, Dice {dice:.3f}")


def measure_memory(name: str, study: Study) -> None:
    """Prints GiB before the first case and at the peak; for a process of its own."""
    net = build(name, study.recipe).to(study.fabric.device)
    before = peak(study.fabric)
    for case in study.val_cases:
        predict(name, net, case, study.spec.window, mirrored=False)
    print(before, peak(study.fabric))


def peak(fabric: Fabric) -> float:
    """Peak GiB so far: of the process on a CPU (Linux counts in KiB), of PyTorch's tensors on a GPU."""
    if fabric.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1024**3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def print_memory(options: list[str]) -> None:
    """Runs this script once for each contestant; call it early, since on Linux children inherit their parent's peak."""
    for name in NAMES:
        command = [sys.executable, "-m", "benchmarks.joint_peers", *options, "--memory", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        before, most = map(float, done.stdout.split())
        print(f"{name}: {most:.2f} GiB at the peak of inference, {before:.2f} GiB before the first case")


def main(given: argparse.Namespace, options: list[str]) -> None:
    torch.set_num_threads(given.threads)
    p = load_params("seed", "joint")
    asked = {"epochs": given.epochs, "size": given.size, "seed": given.seed}
    recipe = flatten(p.joint) | {"seed": p.seed, "phantom_share": 0.0}  # on the study's cases alone
    recipe |= {key: value for key, value in asked.items() if value is not None}
    if given.memory:
        measure_memory(given.memory, Study(recipe, given.cases, make_fabric(1, recipe["precision"])))
        return
    print(machine())
    print_memory(options)
    study = Study(recipe, given.cases, make_fabric(1, recipe["precision"]))
    peer_rate = recipe["learning_rate"] if given.peer_rate is None else given.peer_rate
    print(
        f"{recipe['size']} voxels per side, {len(study.train)} training and {len(study.val)} validation cases, batches "
        f"of {recipe['batch_size']}, {study.steps} steps an epoch, seed {recipe['seed']}, learning rate of the peers "
        f"{peer_rate:g}, ours {recipe['learning_rate']:g}"
    )
    for name in NAMES:
        print(f"{name}: {sum(tensor.numel() for tensor in build(name, recipe).parameters())} parameters")
    compare_inference(study, compare_training(study, peer_rate), given.repeats)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, help="default: joint.epochs of params.yaml")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--size", type=int, help="voxels per side; default: joint.size")
    parser.add_argument("--seed", type=int, help="of weights, order and augmentation; default: seed")
    parser.add_argument("--peer-rate", type=float, help="the peers' learning rate; default: joint.learning_rate")
    parser.add_argument("--cases", type=int, help="maximum training and validation cases each, for a quick try")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", choices=NAMES, help="the memory of one contestant, as this script calls itself")
    main(parser.parse_args(), sys.argv[1:])
