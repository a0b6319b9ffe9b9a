"""Training steps of the paper's pair: each stage, eight arms together, and other training loops."""

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import plain_loop
from benchmarks.arms import ARMS, BATCH, STEPS, Bench
from benchmarks.gpu.measure import Run, peak_gib, reset_memory, share
from btlib.core.runtime.workers import make_fabric
from btlib.images.data.classes import CLASSES
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.classifier import Architecture, build_classifier

UNFREEZE = {1: 0.0, 2: 0.2}


def steps(run: Run) -> dict:
    """Seconds per step of each stage with one arm, including the shared trunk's building and validation.

    The share of the peak counts only the forward pass of the backbones.
    """
    found, flops = {}, run.results.get("forward", {}).get("gflop_per_image", float("nan")) * 1e9
    for stage, unfreeze in UNFREEZE.items():
        bench = Bench(list(run.sizes.pair), run.sizes.pixels, unfreeze)
        bench.seconds(ARMS[:1])
        reset_memory()
        one = bench.seconds(ARMS[:1]) / STEPS
        found[f"stage{stage}"] = {
            "seconds_a_step": one,
            "images_per_second": BATCH / one,
            "share_of_peak": share(flops * BATCH / one, run.peak),
            "peak_gib": peak_gib(),
        }
    return found


def arms(run: Run) -> dict:
    """Seconds per step of stage 1 with eight arms together and one by one."""
    bench = Bench(list(run.sizes.pair), run.sizes.pixels, UNFREEZE[1])
    bench.seconds(ARMS)
    together = bench.seconds(ARMS) / STEPS
    apart = [bench.seconds([arm]) / STEPS for arm in ARMS]
    return {
        "together": together,
        "one_by_one": sum(apart),
        "ratio": sum(apart) / together,
        "one_more_arm": (together - float(np.median(apart))) / (len(ARMS) - 1),
    }


def loops(run: Run) -> dict:
    """Stage 1 from image files: median seconds of btlib, timm's parts and a plain loop, in alternating order."""
    sizes, fabric = run.sizes, make_fabric(1, "auto")
    states = {name: Backbone(name).net.state_dict() for name in sizes.pair}
    architecture = Architecture(sizes.pair, "gated_cross_attention", 256, 4, 0.0, CLASSES)
    times: dict[str, list[float]] = {"btlib": [], "timm": [], "plain": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        names = plain_loop.write_images(folder, sizes.loop_images)
        for number in range(sizes.loop_repeats + 1):  # the first is the warm-up
            for which in list(times)[:: 1 if number % 2 else -1]:
                if number > 1 and run.clock.left() < 0:
                    break
                net = build_classifier(architecture, states, 0)
                started = time.perf_counter()
                plain_loop.train(
                    which, net, folder, names, sizes.pixels, sizes.loop_epochs, fabric, workers=sizes.loaders
                )
                times[which].append(time.perf_counter() - started)
    medians = {which: float(np.median(spent[1:])) for which, spent in times.items()}
    return {
        "images": sizes.loop_images,
        "epochs": sizes.loop_epochs,
        "loader_processes": sizes.loaders,
        "seconds": medians,
        "repeats": {which: len(spent) - 1 for which, spent in times.items()},
        "timm_against_btlib": medians["timm"] / medians["btlib"],
        "plain_against_btlib": medians["plain"] / medians["btlib"],
    }
