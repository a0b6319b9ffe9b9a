"""The joint network: its speed on random volumes, training from stored cases, and on phantoms for some minutes."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.measure import CUDA, DEVICE, Run, now, peak_gib, reset_memory, seconds, share
from benchmarks.gpu.networks import joint
from benchmarks.gpu.recipes import recipe_values
from btlib.core.runtime.nested import flatten

BATCH = 2
HELD_OUT = 20  # phantoms to validate on
FINE_SHARE = 0.4  # of the epochs at full size; the others are at half
COARSE_COST = 0.4  # assumed of such an epoch, relative to a full one: an eighth of the voxels, but as much to read
SAFETY = 0.8  # of the time that is planned for


def network(run: Run) -> dict:
    """Speed and memory of forward and backward passes on random volumes."""
    net, side = joint().to(DEVICE), run.sizes.cube
    volumes = torch.randn(BATCH, 4, side, side, side, device=DEVICE)

    def step() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=CUDA):
            out = net(volumes)
            loss = out.regions.float().square().mean() + out.grade.float().square().mean()
        loss.backward()
        net.zero_grad(set_to_none=True)

    with FlopCounterMode(display=False) as counter:
        step()
    reset_memory()
    rate, flops = 1 / seconds(step, run.sizes.repeats), counter.get_total_flops()
    return {
        "side": side,
        "batch": BATCH,
        "steps_per_second": rate,
        "gflop_a_step": flops / 1e9,
        "share_of_peak": share(rate * flops, run.peak),
        "peak_gib": peak_gib(),
    }


def training(run: Run) -> dict:
    """Seconds per training step of the 3D study's network with cases from disk, and with one batch made before."""
    from btlib.volumes.data.cubes import StoredVolumes
    from btlib.volumes.training.learner import JointTask

    with tempfile.TemporaryDirectory() as place:
        names = _random_cases(Path(place), run.sizes.joint_cases, run.sizes.cube)
        recipe, fabric = _recipe(run)
        rows = np.arange(len(names))
        task = JointTask(StoredVolumes({Path(place): names}, fabric.device), rows, rows, _spec(recipe, run.sizes.cube))
        arm = _arm(recipe, task, fabric)
        _stepped(arm, task, fabric, 3, one=None)
        reset_memory()
        spent: dict[str, list[float]] = {"stored": [], "dummy": []}
        one = _batch(task, 0, fabric)
        for _ in range(3):  # taking turns
            spent["stored"].append(_stepped(arm, task, fabric, run.sizes.joint_steps, one=None))
            spent["dummy"].append(_stepped(arm, task, fabric, run.sizes.joint_steps, one=one))
    medians = {which: float(np.median(times)) / run.sizes.joint_steps for which, times in spent.items()}
    return {
        "side": run.sizes.cube,
        "width": recipe["width"],
        "batch": recipe["batch_size"],
        "seconds_a_step": medians,
        "stored_against_dummy": medians["stored"] / medians["dummy"],
        "peak_gib": peak_gib(),
    }


def phantoms(run: Run) -> dict:
    """Dice on phantoms not trained on, after some minutes of training on others at the 3D study's size."""
    from btlib.phantom.atlas import load_atlas
    from btlib.volumes.data.cubes import StoredVolumes
    from btlib.volumes.data.phantom_cases import Making, write_phantom_cases
    from btlib.volumes.data.store import load_index
    from btlib.volumes.training.learner import JointTask

    with tempfile.TemporaryDirectory() as place:
        folder, count = Path(place) / "cases", run.sizes.phantoms
        held_out = min(HELD_OUT, count)
        recipe, fabric = _recipe(run)
        spacing, started = run.sizes.scan_mm, now()
        how = Making(0, 1.0, spacing, spacing, (0.5, 99.5))
        write_phantom_cases(folder, count + held_out, how, load_atlas(run.sizes.atlas_mm))
        made = now() - started
        names = list(load_index(folder)["case"])
        rows = np.arange(len(names))
        data = StoredVolumes({folder: names}, fabric.device)

        def train(epochs: int) -> tuple[float, list[dict]]:
            coarse = int(epochs * (1 - FINE_SHARE))
            spec = replace(_spec(recipe, run.sizes.cube), epochs=epochs, coarse_epochs=coarse)
            return _train(recipe, JointTask(data, rows[:count], rows[count:], spec), fabric)

        one, _ = train(1)  # at full size, which takes the longest
        reset_memory()
        left = min(run.clock.left(), run.sizes.phantom_seconds)
        epochs = max(1, int(SAFETY * left / (one * (FINE_SHARE + (1 - FINE_SHARE) * COARSE_COST))))
        spent, history = train(epochs)
    return {
        "phantoms": count,
        "held_out": held_out,
        "spacing_mm": spacing,
        "making_seconds": made,
        "training_seconds": spent,
        "epochs": epochs,
        "dice": history[-1]["val_dice"],
        "best_dice": max(row["val_dice"] for row in history),
        "peak_gib": peak_gib(),
    }


def _recipe(run: Run):
    from btlib.core.runtime.workers import make_fabric

    values = recipe_values("joint_paper.yaml", {"joint": {"coarse_epochs": 0}}, {"joint": run.sizes.joint_overrides})
    recipe = flatten(values["joint"]) | {"seed": 0, "phantom_share": 0.0}
    return recipe, make_fabric(1, recipe["precision"])


def _spec(recipe: dict, cube: int):
    from btlib.volumes.training.recipe import batch_spec

    return batch_spec(recipe, cube)


def _arm(recipe: dict, task, fabric):
    """The network with its optimiser, as `train_joint_arms` makes it."""
    from btlib.core.training.arms import Arm
    from btlib.volumes.nets.network import build_joint
    from btlib.volumes.training.learner import JointLearner
    from btlib.volumes.training.recipe import joint_architecture, joint_settings

    settings = joint_settings(recipe, "main")
    net = build_joint(joint_architecture(recipe), recipe["seed"]).to(fabric.device)
    learner = JointLearner(settings, net, torch.tensor([1, 1]), task.spec.window)
    return Arm(settings, learner, task.steps * task.spec.epochs)


def _train(recipe: dict, task, fabric) -> tuple[float, list[dict]]:
    from btlib.volumes.nets.network import build_joint
    from btlib.volumes.training.learner import train_joint_arms
    from btlib.volumes.training.recipe import joint_architecture, joint_settings

    net, started = build_joint(joint_architecture(recipe), recipe["seed"]), now()
    (arm,) = train_joint_arms([(joint_settings(recipe, "main"), net)], task, fabric)
    return now() - started, arm.readouts[0].progress.history


def _batch(task, step: int, fabric):
    size = task.spec.batch_size
    rows = (np.arange(size) + size * step) % task.samples
    return task.batch(rows, (task.spec.seed, 0, step), torch.arange(size, device=fabric.device))


def _stepped(arm, task, fabric, steps: int, one) -> float:
    """Seconds of some training steps, with the batch `one` in each if given."""
    started = now()
    for step in range(steps):
        batch = _batch(task, step, fabric) if one is None else one
        with fabric.autocast():
            losses, _ = arm.learner.losses(batch, (task.spec.seed, 0, step))
        (losses.sum() / task.spec.batch_size).backward()
        arm.step()
    return now() - started


def _random_cases(folder: Path, count: int, side: int) -> list[str]:
    """Writes normalised cases of noise with a cubic lesion; grades in turn."""
    from btlib.core.runtime.artifacts import write_csv
    from btlib.volumes.data.conventions import GRADES
    from btlib.volumes.data.store import Case, case_path, save_case

    names = [f"case_{number:02d}" for number in range(count)]
    rng = np.random.default_rng(0)
    middle = slice(side // 4, side // 2)
    for name in names:
        image = rng.standard_normal((4, side, side, side), dtype=np.float32).astype(np.float16)
        seg = np.zeros((side,) * 3, np.uint8)
        seg[middle, middle, middle] = 1
        save_case(case_path(folder, name), Case(name, image, seg, np.eye(4), np.eye(4), seg.shape))
    grades = [GRADES[number % len(GRADES)] for number in range(count)]
    write_csv(folder / "index.csv", pd.DataFrame({"case": names, "patient": names, "grade": grades, "has_seg": True}))
    return names
