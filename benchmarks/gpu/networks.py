"""The two networks with random weights, and their exactness on the GPU."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from benchmarks.arms import ARMS, BATCH, SETTINGS, Bench
from benchmarks.gpu.measure import CUDA, DEVICE, Run, attempt, seconds
from btlib.core.training.resume import ResumeState
from btlib.images.data.classes import CLASSES
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.classifier import Architecture, Classifier, build_classifier
from btlib.images.training.learner import ClassifierSettings, train_arms
from btlib.volumes.nets.network import JointArchitecture, JointNet, JointOutput, build_joint


def pair(names: tuple[str, str]) -> Classifier:
    torch.manual_seed(0)
    states = {name: Backbone(name).net.state_dict() for name in names}
    return build_classifier(Architecture(names, "gated_cross_attention", 256, 4, 0.0, CLASSES), states, 0).eval()


def joint() -> JointNet:
    architecture = JointArchitecture(width=16, attention=True, segmentation=True, grading="regions", dropout=0.0)
    return build_joint(architecture, 0)


def peak(run: Run) -> dict:
    """TFLOP/s of a square bf16 matrix product."""
    side = run.sizes.matrix
    a, b = (torch.randn(side, side, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    return {"side": side, "tflops": 2 * side**3 / seconds(lambda: a @ b, run.sizes.repeats) / 1e12}


def exactness(run: Run) -> dict:
    """Largest differences: fp32 logits on the GPU against the CPU, and the loss in bf16 autocast against fp32."""
    torch.manual_seed(0)
    pixels, half = run.sizes.pixels, run.sizes.cube // 2
    images, volumes = torch.rand(8, 3, pixels, pixels), torch.randn(1, 4, half, half, half)
    return {
        "classifier": attempt(lambda: _compared(pair(run.sizes.pair), images)),
        "joint": attempt(lambda: _compared(joint(), volumes)),
    }


def resume(run: Run) -> dict:
    """Whether a run of both stages that was stopped after an epoch ends bit-equal to one that was not."""
    found = {}
    for stage, unfreeze in ((1, 0.0), (2, 0.2)):
        bench = Bench(list(run.sizes.pair), run.sizes.pixels, unfreeze)
        whole = _trained(bench)
        with tempfile.TemporaryDirectory() as place:
            state = ResumeState("benchmark", "state", Path(place))
            try:
                _trained(bench, state, stop=1)
            except Stopped:
                again = _trained(bench, state)
        found[f"stage{stage}_bit_equal"] = all(torch.equal(whole[name], again[name]) for name in whole)
    return found


class Stopped(Exception):
    """A run that was stopped on purpose."""


def _trained(bench: Bench, state: ResumeState | None = None, stop: int | None = None) -> dict[str, torch.Tensor]:
    """Weights after two epochs of two steps; raises Stopped within epoch `stop`, before its state is saved."""

    def on_epoch(_: str, row: dict) -> None:
        if row["epoch"] == stop:
            raise Stopped

    net = bench.net(ARMS[0][0])
    rows = np.arange(2 * BATCH + 4)
    settings, spec = ClassifierSettings(name="main", **SETTINGS), replace(bench.spec, epochs=2)
    train_arms([(settings, net)], bench.data, rows[:-4], rows[-4:], spec, bench.fabric, state, on_epoch)
    return {name: tensor.cpu() for name, tensor in net.state_dict().items()}


def _logits(out: torch.Tensor | JointOutput) -> torch.Tensor:
    return out.grade if isinstance(out, JointOutput) else out


def _compared(net: torch.nn.Module, inputs: torch.Tensor) -> dict:
    with torch.inference_mode():
        here = _logits(net(inputs))
        net, inputs = net.to(DEVICE), inputs.to(DEVICE)
        there = _logits(net(inputs))
        with torch.autocast(DEVICE.type, torch.bfloat16):
            rough = _logits(net(inputs)).float()
    target = torch.zeros(len(there), dtype=torch.long, device=DEVICE)
    return {
        "largest_logit": float(here.abs().max()),
        "fp32_against_cpu": float((here - there.cpu()).abs().max()),
        "bf16_loss_against_fp32": float((cross_entropy(rough, target) - cross_entropy(there, target)).abs()),
        "on_gpu": CUDA,
    }
