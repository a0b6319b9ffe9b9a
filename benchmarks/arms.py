"""Time saved by sharing a frozen trunk: arms trained together against the same arms one by one.

The same steps of the same arms, in one process, in alternating order; medians and the ratio of medians. Then the time
per step as a function of the number of arms, fitted as a + b · arms, where a is the shared part. Random pixels and
weights, since speed does not depend on the content. `--stages 1` skips stage 2, which takes longer.

Run: python -m benchmarks.arms [--size 96] [--repeats 5] [--stages 1 2]
    [--backbones tf_efficientnet_lite0 tf_efficientnet_lite2]
"""

import argparse
import platform
import time
from datetime import date

import numpy as np
import torch
from tqdm import tqdm

from btlib.core.runtime.workers import make_fabric
from btlib.images.data.classes import CLASSES
from btlib.images.data.resident import ResidentImages
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.classifier import Architecture, Classifier, build_classifier
from btlib.images.training.augment import Strength
from btlib.images.training.learner import BatchSpec, ClassifierSettings, train_arms

# Eight arms as in Tables 4 and 8: fusions and loss settings.
FUSIONS = ("gated_cross_attention", "concatenation", "gated", "cross_attention", "pooled_attention")
LOSSES = ({"focal_gamma": 1.0}, {"focal_gamma": 3.0}, {"label_smoothing": 0.1})
ARMS = [(fusion, {}) for fusion in FUSIONS] + [(FUSIONS[0], changes) for changes in LOSSES]
SETTINGS = {
    "seed": 0,
    "loss": "focal",
    "focal_gamma": 2.0,
    "focal_alpha": "inverse_frequency",
    "label_smoothing": 0.05,
    "optimizer": "adam",
    "learning_rate": 1e-4,
    "weight_decay": 0.0,
    "schedule": "constant",
    "clip_norm": 0.0,
    "ema_decays": (0.999,),
    "patience": 9,
}
BATCH = 32
STEPS = 12
UNFREEZE = {1: 0.0, 2: 0.2}  # share of the blocks that each stage trains


def machine() -> str:
    """Date, device and versions, the first line of every benchmark's output."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    return f"{date.today()}, {device}, torch {torch.__version__}, Python {platform.python_version()}"


class Bench:
    """Networks and data; `seconds(arms)` times one call of the trainer, without building the networks."""

    def __init__(self, backbones: list[str], size: int, unfreeze_fraction: float):
        self.fabric = make_fabric(1, "auto")
        self.states = {name: Backbone(name).net.state_dict() for name in backbones}
        self.backbones = tuple(backbones)
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (BATCH * STEPS + 4, size, size, 3), dtype=np.uint8)
        self.data = ResidentImages(images, np.arange(len(images)) % 4, self.fabric.device)
        strength = Strength(0.5, 0.5, 0.1, 0.1)
        self.spec = BatchSpec(0, 1, BATCH, 0.2, strength, unfreeze_fraction, train_batchnorm=False)

    def net(self, fusion: str) -> Classifier:
        return build_classifier(Architecture(self.backbones, fusion, 256, 4, 0.3, CLASSES), self.states, 0)

    def seconds(self, arms: list[tuple[str, dict]]) -> float:
        """Time of one epoch of `STEPS` steps, with a validation set of four images."""
        pairs = [(ClassifierSettings(name=f"arm {n}", **SETTINGS | c), self.net(f)) for n, (f, c) in enumerate(arms)]
        rows = np.arange(len(self.data.labels))
        started = time.perf_counter()
        train_arms(pairs, self.data, rows[:-4], rows[-4:], self.spec, self.fabric)
        if self.fabric.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started


def compare(bench: Bench, repeats: int) -> tuple[float, float]:
    """Median seconds of all arms together, and of the same arms one by one, in alternating order."""
    together, apart = [], []
    bench.seconds(ARMS[:1])  # warm-up
    for number in tqdm(range(repeats), desc="repeats"):
        for which in ("together", "apart") if number % 2 == 0 else ("apart", "together"):
            if which == "together":
                together.append(bench.seconds(ARMS))
            else:
                apart.append(sum(bench.seconds([arm]) for arm in ARMS))
    return float(np.median(together)), float(np.median(apart))


def fit(bench: Bench, repeats: int) -> tuple[float, float]:
    """(a, b) of seconds per step = a + b · arms, least squares over 1, 2, 4 and 8 arms."""
    counts = [1, 2, 4, 8] * repeats
    times = [bench.seconds(ARMS[:count]) / STEPS for count in tqdm(counts, desc="arms")]
    b, a = np.polyfit(counts, times, 1)
    return float(a), float(b)


def main(size: int, repeats: int, stages: list[int], backbones: list[str]) -> None:
    print(machine())
    print(f"{' + '.join(backbones)}, {size} px, batch {BATCH}, {len(ARMS)} arms, medians of {repeats}")
    for stage in stages:
        bench = Bench(backbones, size, UNFREEZE[stage])
        together, apart = compare(bench, repeats)
        a, b = fit(bench, max(1, repeats // 2))
        print(
            f"stage {stage}: together {together / STEPS:.3f} s a step, one by one {apart / STEPS:.3f} s, "
            f"ratio {apart / together:.2f}; s a step = {a:.3f} + {b:.4f} · arms"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--stages", nargs="+", type=int, choices=UNFREEZE, default=list(UNFREEZE))
    parser.add_argument("--backbones", nargs="+", default=["tf_efficientnet_lite0", "tf_efficientnet_lite2"])
    main(**vars(parser.parse_args()))
