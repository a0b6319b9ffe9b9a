"""One arm against a plain training loop: DataLoader over image files, Keras-like steps, the same network and steps.

Both start from the same JPEG files and end after the same number of optimiser steps of stage 1. The plain loop decodes,
equalises (CLAHE) and resizes each image whenever it is seen, in DataLoader workers, as published code for this task
does, and runs the frozen backbones as they come from timm. btlib preprocesses once, in parallel, which counts here,
and folds BatchNorm into the frozen convolutions. Alternating order, medians.

Run: python -m benchmarks.plain_loop [--images 512] [--epochs 3] [--size 96] [--repeats 5]
"""

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from benchmarks.arms import SETTINGS, machine
from btlib.data.classes import CLASSES
from btlib.data.images import Clahe, load_processed, preprocess
from btlib.data.processing import write_processed
from btlib.data.resident import ResidentImages
from btlib.losses.focal import class_weights, focal_loss, smooth
from btlib.nets.classifier import Architecture, build_classifier
from btlib.nets.weights import features_state, pretrained
from btlib.training.arms import ArmSettings
from btlib.training.augment import Strength
from btlib.training.devices import make_fabric
from btlib.training.loop import Stream, train_arms

BACKBONES = ("tf_efficientnet_lite0", "tf_efficientnet_lite2")
BATCH, VALIDATION = 32, 32
CLAHE = Clahe(True, 2.0, 8)
WORKERS = 2


def write_images(folder: Path, count: int) -> list[str]:
    """Smooth noise as 224 px JPEGs, about as large as slices of a head."""
    rng = np.random.default_rng(0)
    names = [f"{number:05}.jpg" for number in range(count)]
    for name in names:
        coarse = rng.integers(0, 256, (14, 14, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / name), cv2.resize(coarse, (224, 224), interpolation=cv2.INTER_CUBIC))
    return names


class Files(Dataset):
    """Decode, equalise, resize and augment one image at a time."""

    def __init__(self, folder: Path, names: list[str], size: int):
        self.folder, self.names, self.size = folder, names, size

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        image = cv2.cvtColor(cv2.imread(str(self.folder / self.names[number])), cv2.COLOR_BGR2RGB)
        image = torch.from_numpy(preprocess(image, self.size, CLAHE)).permute(2, 0, 1).float() / 255
        for axis in (1, 2):
            if torch.rand(()) < 0.5:
                image = image.flip(axis)
        mean, (factor, shift) = image.mean(), 0.2 * torch.rand(2) - 0.1
        return ((image - mean) * (1 + factor) + mean + shift).clamp(0, 1), number % 4


def plain(net: torch.nn.Module, folder: Path, names: list[str], size: int, epochs: int, device: torch.device) -> None:
    """Stage 1 as a plain loop: frozen backbones in eval mode, Mixup, focal loss, Adam, EMA, validation each epoch."""
    cv2.setNumThreads(1)
    net = net.to(device, memory_format=torch.channels_last)
    for parameter in net.backbones.parameters():
        parameter.requires_grad_(False)
    head = [p for p in net.parameters() if p.requires_grad]
    optimizer, average = torch.optim.Adam(head, lr=1e-4), [p.detach().clone() for p in head]
    train, val = Files(folder, names[:-VALIDATION], size), Files(folder, names[-VALIDATION:], size)
    batches = DataLoader(train, BATCH, shuffle=True, num_workers=WORKERS, drop_last=True)
    alpha = class_weights("inverse_frequency", torch.full((4,), len(train) // 4)).to(device)
    beta = torch.distributions.Beta(0.2, 0.2)
    for _ in range(epochs):
        for images, labels in batches:
            images = images.to(device, memory_format=torch.channels_last)
            target = one_hot(labels, 4).float().to(device)
            weight, order = beta.sample(), torch.randperm(len(images))
            images = weight * images + (1 - weight) * images[order]
            target = smooth(weight * target + (1 - weight) * target[order], 0.05)
            focal_loss(net(images), target, 2.0, alpha).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            for kept, live in zip(average, head, strict=True):
                kept.lerp_(live.detach(), 0.001)
        with torch.inference_mode():
            for images, _ in DataLoader(val, BATCH, num_workers=WORKERS):
                net(images.to(device, memory_format=torch.channels_last))


def ours(net: torch.nn.Module, folder: Path, names: list[str], size: int, epochs: int, fabric) -> None:
    """The same through btlib: preprocessing once, then the trainer with one arm."""
    manifest = pd.DataFrame({"image_id": names, "path": names, "label": [CLASSES[n % 4] for n in range(len(names))]})
    with tempfile.TemporaryDirectory() as place:
        write_processed(Path(place) / "processed", folder, manifest, size, CLAHE)
        images, _ = load_processed(Path(place) / "processed")
        data = ResidentImages(images, np.arange(len(names)) % 4, fabric.device)
        stream = Stream(0, epochs, BATCH, 0.2, Strength(0.5, 0.5, 0.1, 0.1), 0.0, train_batchnorm=False)
        rows = np.arange(len(names))
        arm = ArmSettings(name="main", **SETTINGS)
        train_arms([(arm, net)], data, rows[:-VALIDATION], rows[-VALIDATION:], stream, fabric)


def main(images: int, epochs: int, size: int, repeats: int) -> None:
    fabric = make_fabric(1, "auto")
    states = {name: features_state(pretrained(name, "wheel")) for name in BACKBONES}
    architecture = Architecture(BACKBONES, "gated_cross_attention", 256, 4, 0.0, CLASSES)
    times: dict[str, list[float]] = {"plain": [], "btlib": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        names = write_images(folder, images)
        for number in tqdm(range(repeats + 1), desc="repeats"):  # the first is the warm-up
            for which in list(times)[:: 1 if number % 2 else -1]:
                net = build_classifier(architecture, states, 0)
                started = time.perf_counter()
                if which == "plain":
                    plain(net, folder, names, size, epochs, fabric.device)
                else:
                    ours(net, folder, names, size, epochs, fabric)
                if fabric.device.type == "cuda":
                    torch.cuda.synchronize()
                times[which].append(time.perf_counter() - started)
    print(machine())
    medians = {which: float(np.median(seconds[1:])) for which, seconds in times.items()}
    print(
        f"{images} files, {epochs} epochs of stage 1 at {size} px, medians of {repeats}: "
        f"plain {medians['plain']:.2f} s, btlib {medians['btlib']:.2f} s, "
        f"ratio {medians['plain'] / medians['btlib']:.2f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=5)
    main(**vars(parser.parse_args()))
