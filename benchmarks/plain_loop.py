"""Training of one arm with btlib, a plain loop and timm: the same image files, network and number of steps.

All start from the same JPEG files and end after the same number of optimiser steps of stage 1, with Mixup, focal loss,
Adam, EMA and a pass over the validation images each epoch.

- plain: decodes, equalises (CLAHE) and resizes an image every time it is loaded, in DataLoader workers, as published
  code for this task does, and runs timm's frozen backbones unchanged.
- timm: the parts of its train.py, with the same settings where possible: its folder dataset, transforms, loader, Mixup,
  optimiser factory and ModelEmaV3; channels_last; bf16 autocast and the prefetching loader only on a GPU, since most
  CPUs emulate bf16. Its pipeline has no CLAHE, and it validates once per epoch (the average) where train.py does twice
  (the network too): both favour timm.
- btlib: preprocesses once, in parallel, which is timed, and folds BatchNorm into the frozen convolutions.

plain and timm may use the fastest kernels; btlib uses deterministic ones. All run after btlib has set glibc to keep
freed memory. Alternating order, medians.

Run: python -m benchmarks.plain_loop [--images 512] [--epochs 3] [--size 96] [--repeats 5]
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from timm.data import Mixup, create_dataset, create_loader
from timm.optim import create_optimizer_v2
from timm.utils import ModelEmaV3
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from benchmarks.arms import SETTINGS, machine
from btlib.core.runtime.reproducibility import deterministic_torch
from btlib.core.runtime.workers import make_fabric
from btlib.core.training.focal import class_weights, focal_loss, smooth
from btlib.images.data.classes import CLASSES
from btlib.images.data.masks import Masks, write_masks
from btlib.images.data.preprocessing import Clahe, GrayLevels, load_processed, preprocess
from btlib.images.data.processing import write_processed
from btlib.images.data.resident import ResidentImages
from btlib.images.nets.classifier import Architecture, build_classifier
from btlib.images.nets.weights import features_state, pretrained
from btlib.images.training.augment import Strength
from btlib.images.training.learner import BatchSpec, ClassifierSettings, train_arms

BACKBONES = ("tf_efficientnet_lite0", "tf_efficientnet_lite2")
BATCH, VALIDATION = 32, 32
LEVELS = GrayLevels(None, Clahe(True, 2.0, 8))
WORKERS = 2
LEARNING_RATE, DECAY, ALPHA, SMOOTHING, GAMMA = 1e-4, 0.999, 0.2, 0.05, 2.0


def write_images(folder: Path, count: int) -> list[str]:
    """Writes smooth noise as 224 px JPEGs, about the size of head slices, to train/ and val/ by class."""
    rng = np.random.default_rng(0)
    parts = ["train"] * (count - VALIDATION) + ["val"] * VALIDATION
    names = [f"{part}/{CLASSES[number % 4]}/{number:05}.jpg" for number, part in enumerate(parts)]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (14, 14, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / name), cv2.resize(coarse, (224, 224), interpolation=cv2.INTER_CUBIC))
    return names


class Files(Dataset):
    """Decodes, equalises, resizes and augments one image at a time."""

    def __init__(self, folder: Path, names: list[str], size: int):
        self.folder, self.names, self.size = folder, names, size

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        path = self.folder / self.names[number]
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        image = torch.from_numpy(preprocess(image, self.size, LEVELS)).permute(2, 0, 1).float() / 255
        for axis in (1, 2):
            if torch.rand(()) < 0.5:
                image = image.flip(axis)
        mean, (factor, shift) = image.mean(), 0.2 * torch.rand(2) - 0.1
        image = ((image - mean) * (1 + factor) + mean + shift).clamp(0, 1)
        return image, CLASSES.index(path.parent.name)


def plain(
    net: torch.nn.Module, folder: Path, names: list[str], size: int, epochs: int, device: torch.device, workers: int
) -> None:
    """Stage 1 as a plain loop, with the frozen backbones in eval mode."""
    cv2.setNumThreads(1)
    net = net.to(device, memory_format=torch.channels_last)
    for parameter in net.backbones.parameters():
        parameter.requires_grad_(False)
    head = [p for p in net.parameters() if p.requires_grad]
    optimizer, average = torch.optim.Adam(head, lr=LEARNING_RATE), [p.detach().clone() for p in head]
    train, val = Files(folder, names[:-VALIDATION], size), Files(folder, names[-VALIDATION:], size)
    batches = DataLoader(train, BATCH, shuffle=True, num_workers=workers, drop_last=True)
    alpha = class_weights("inverse_frequency", torch.full((4,), len(train) // 4)).to(device)
    beta = torch.distributions.Beta(ALPHA, ALPHA)
    for _ in range(epochs):
        for images, labels in batches:
            images = images.to(device, memory_format=torch.channels_last)
            target = one_hot(labels, 4).float().to(device)
            weight, order = beta.sample(), torch.randperm(len(images))
            images = weight * images + (1 - weight) * images[order]
            target = smooth(weight * target + (1 - weight) * target[order], SMOOTHING)
            focal_loss(net(images), target, GAMMA, alpha).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            for kept, live in zip(average, head, strict=True):
                kept.lerp_(live.detach(), 1 - DECAY)
        with torch.inference_mode():
            for images, _ in DataLoader(val, BATCH, num_workers=workers):
                net(images.to(device, memory_format=torch.channels_last))


def timms(net: torch.nn.Module, folder: Path, size: int, epochs: int, device: torch.device, workers: int) -> None:
    """Stage 1 from the parts of timm's train.py; the frozen backbones stay in eval mode, as in the other loops."""
    on_gpu = device.type == "cuda"
    net = net.to(device, memory_format=torch.channels_last)
    net.backbones.requires_grad_(False)
    optimizer = create_optimizer_v2(net, opt="adam", lr=LEARNING_RATE, weight_decay=0.0)
    average = ModelEmaV3(net, decay=DECAY)
    mixup = Mixup(mixup_alpha=ALPHA, label_smoothing=SMOOTHING, num_classes=4)
    loading = {
        "input_size": (3, size, size),
        "batch_size": BATCH,
        "mean": (0.0, 0.0, 0.0),  # the network normalises
        "std": (1.0, 1.0, 1.0),
        "num_workers": workers,
        "use_prefetcher": on_gpu,
        "pin_memory": on_gpu,
        "device": device,
    }
    augmentation = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "vflip": 0.5, "color_jitter": (0.1, 0.1, 0.0)}
    train = create_dataset("", root=str(folder), split="train")
    batches = create_loader(train, is_training=True, **augmentation, **loading)
    validation = create_loader(create_dataset("", root=str(folder), split="val"), crop_pct=1.0, **loading)
    alpha = class_weights("inverse_frequency", torch.full((4,), len(train) // 4)).to(device)
    precision = torch.autocast("cuda", torch.bfloat16) if on_gpu else nullcontext()
    for _ in range(epochs):
        for images, labels in batches:
            images, target = mixup(images.to(device), labels.to(device))
            with precision:
                logits = net(images.contiguous(memory_format=torch.channels_last))
                loss = focal_loss(logits.float(), target, GAMMA, alpha).mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            average.update(net)
        with torch.inference_mode(), precision:
            for images, _ in validation:
                average.module(images.to(device).contiguous(memory_format=torch.channels_last))


@contextmanager
def fastest_kernels() -> Iterator[None]:
    """PyTorch's usual settings in scripts, without the deterministic kernels that btlib sets for the process."""
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        deterministic_torch()


def ours(net: torch.nn.Module, folder: Path, names: list[str], size: int, epochs: int, fabric) -> None:
    """Stage 1 with btlib: preprocessing once, then the trainer with one arm."""
    labels = [CLASSES[n % 4] for n in range(len(names))]
    manifest = pd.DataFrame({"image_id": names, "path": names, "label": labels, "mask_path": ""})
    with tempfile.TemporaryDirectory() as place:
        write_masks(Path(place) / "masks.npz", {})
        masks = Masks(folder, Path(place) / "masks.npz")
        write_processed(Path(place) / "processed", folder, masks, manifest, size, LEVELS)
        images, _ = load_processed(Path(place) / "processed")
        data = ResidentImages(images, np.arange(len(names)) % 4, fabric.device)
        spec = BatchSpec(0, epochs, BATCH, ALPHA, Strength(0.5, 0.5, 0.1, 0.1), 0.0, train_batchnorm=False)
        rows = np.arange(len(names))
        arm = ClassifierSettings(name="main", **SETTINGS)
        train_arms([(arm, net)], data, rows[:-VALIDATION], rows[-VALIDATION:], spec, fabric)


def train(
    which: str,
    net: torch.nn.Module,
    folder: Path,
    names: list[str],
    size: int,
    epochs: int,
    fabric,
    workers: int = WORKERS,
) -> None:
    """One training by `which`, until the device has finished; `workers`: the other loops' loader processes."""
    if which == "btlib":
        ours(net, folder, names, size, epochs, fabric)
    else:
        with fastest_kernels():
            if which == "timm":
                timms(net, folder, size, epochs, fabric.device, workers)
            else:
                plain(net, folder, names, size, epochs, fabric.device, workers)
    if fabric.device.type == "cuda":
        torch.cuda.synchronize()


def main(images: int, epochs: int, size: int, repeats: int) -> None:
    fabric = make_fabric(1, "auto")
    states = {name: features_state(pretrained(name, "wheel")) for name in BACKBONES}
    architecture = Architecture(BACKBONES, "gated_cross_attention", 256, 4, 0.0, CLASSES)
    times: dict[str, list[float]] = {"plain": [], "timm": [], "btlib": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        names = write_images(folder, images)
        for number in tqdm(range(repeats + 1), desc="repeats"):  # the first is the warm-up
            for which in list(times)[:: 1 if number % 2 else -1]:
                net = build_classifier(architecture, states, 0)
                started = time.perf_counter()
                train(which, net, folder, names, size, epochs, fabric)
                times[which].append(time.perf_counter() - started)
    print(machine())
    medians = {which: float(np.median(seconds[1:])) for which, seconds in times.items()}
    print(
        f"{images} files, {epochs} epochs of stage 1 at {size} px, medians of {repeats}: "
        + ", ".join(f"{which} {seconds:.2f} s" for which, seconds in medians.items())
        + "".join(f"; {which} / btlib {medians[which] / medians['btlib']:.2f}" for which in ("plain", "timm"))
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=5)
    main(**vars(parser.parse_args()))
