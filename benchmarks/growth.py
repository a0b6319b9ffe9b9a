"""Scaling: peak memory with the number of arms and of images, time per epoch with the number of images.

Every measurement runs in its own process, since peak memory never goes down. Random pixels; stage 1, one epoch.

Run: python -m benchmarks.growth [--size 96]
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
from tqdm import tqdm

from benchmarks.arms import ARMS, BATCH, SETTINGS, Bench, machine
from btlib.images.data.resident import ResidentImages
from btlib.images.training.learner import ClassifierSettings, train_arms

BACKBONES = ["tf_efficientnet_lite0", "tf_efficientnet_lite2"]
ARM_COUNTS, IMAGE_COUNTS = (1, 2, 4, 8), (100, 300, 1000, 3000, 7000)


def measure(size: int, arms: int, images: int) -> None:
    """Prints seconds of one epoch and peak memory in GiB."""
    bench = Bench(BACKBONES, size, 0.0)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (images, size, size, 3), dtype=np.uint8)
    data = ResidentImages(pixels, np.arange(images) % 4, bench.fabric.device)
    named = [ClassifierSettings(name=f"arm {n}", **SETTINGS | changes) for n, (_, changes) in enumerate(ARMS[:arms])]
    pairs = [(settings, bench.net(fusion)) for settings, (fusion, _) in zip(named, ARMS, strict=False)]
    rows, started = np.arange(images), time.perf_counter()
    train_arms(pairs, data, rows[: -images // 10], rows[-images // 10 :], bench.spec, bench.fabric)
    seconds = time.perf_counter() - started
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2)


def main(size: int) -> None:
    print(machine())
    print(f"{' + '.join(BACKBONES)}, {size} px, batch {BATCH}, one epoch of stage 1")
    cases = [(arms, 300) for arms in ARM_COUNTS] + [(1, images) for images in IMAGE_COUNTS]
    for arms, images in tqdm(cases, desc="cases"):
        words = ["--size", size, "--arms", arms, "--images", images]
        command = [sys.executable, "-m", "benchmarks.growth", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, peak = map(float, done.stdout.split())
        tqdm.write(
            f"{arms} arms, {images:5} images: {seconds:7.2f} s, "
            f"{1000 * seconds / images:.2f} ms an image, {peak:.2f} GiB"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--arms", type=int, help="a single case, as this script calls itself")
    parser.add_argument("--images", type=int)
    given = parser.parse_args()
    if given.arms:
        measure(given.size, given.arms, given.images)
    else:
        main(given.size)
