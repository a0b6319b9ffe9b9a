"""Accuracy and speed of btlib on one GPU: a table, and JSON that is written anew after each part.

The parts, the most important first, each with the seconds that it may take:

1. card and versions, peak speed of bf16 matrix products in this process; fp32 on the GPU against the CPU and bf16
   losses against fp32, for both networks; a resumed run against an uninterrupted one, bit by bit;
2. the paper's pair at 224 px with random weights: frozen forward pass by batch, memory format, CUDA graph and compiler;
   steps of both stages;
3. eight arms together against one by one; one arm against timm's training parts and a plain loop, from image files;
4. with --images: the recommended recipe (patients apart where annotations.csv in that folder names them) and the
   paper's protocol, both at 224 px, from files to accuracy;
5. the joint network at 128³: forward and backward pass; training from stored cases against one batch in memory; Dice
   after training on 200 phantoms for as long as is left, at most ten minutes.

A part that fails, such as for a package that is missing, is recorded with its message; those for which no time is left
are listed as not run. At the end, the aims for an H100 and what the paper's study would take, extrapolated from single
steps. On a CPU everything runs at a tiny size, as a test.

Run: python -m benchmarks.gpu [--images ROOT] [--minutes 12] [--out gpu.json]
"""

import argparse
import importlib
import platform
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.gpu.measure import CUDA, FULL, TINY, Clock, Run, Sizes, attempt
from btlib.core.runtime.artifacts import write_json
from btlib.core.runtime.reproducibility import deterministic_torch, environment


class Part(NamedTuple):
    """A function of a module, which is imported only in its turn, so that a package that it lacks costs no other."""

    module: str
    function: str
    limit: float  # seconds; it starts nothing new after them


PARTS = {
    "peak": Part("networks", "peak", 20),
    "exactness": Part("networks", "exactness", 40),
    "resume": Part("networks", "resume", 40),
    "forward": Part("forward", "frozen_forward", 150),
    "steps": Part("training", "steps", 40),
    "arms": Part("training", "arms", 60),
    "loops": Part("training", "loops", 100),
    "recommended": Part("images", "recommended", 150),
    "protocol": Part("images", "protocol", 150),
    "joint": Part("volumes", "network", 20),
    "joint_training": Part("volumes", "training", 60),
    "phantoms": Part("volumes", "phantoms", 600),
}


class Aim(NamedTuple):
    """A value of the results, and its bound on an H100."""

    what: str
    path: tuple[str, ...]
    at_most: float | None = None
    at_least: float | None = None

    def met(self, value: float) -> bool:
        return value <= self.at_most if self.at_least is None else value >= self.at_least


AIMS = (
    Aim("fp32 on the GPU against the CPU, classifier", ("exactness", "classifier", "fp32_against_cpu"), at_most=1e-3),
    Aim("fp32 on the GPU against the CPU, joint network", ("exactness", "joint", "fp32_against_cpu"), at_most=1e-3),
    Aim("stage 1 resumed, bit-equal", ("resume", "stage1_bit_equal"), at_least=1),
    Aim("stage 2 resumed, bit-equal", ("resume", "stage2_bit_equal"), at_least=1),
    Aim("frozen forward pass, images/s", ("forward", "fastest", "images_per_second"), at_least=6000),
    Aim("stage 1, eight arms together, times faster", ("arms", "ratio"), at_least=6),
    Aim("one arm, times faster than timm's parts", ("loops", "timm_against_btlib"), at_least=1.3),
    Aim("one arm, times faster than a plain loop", ("loops", "plain_against_btlib"), at_least=2),
    Aim("joint network, stored against dummy data", ("joint_training", "stored_against_dummy"), at_most=1.05),
    Aim("one paper run, s, extrapolated", ("extrapolated", "one_paper_run_seconds"), at_most=60),
    Aim("all tables, five seeds, min, extrapolated", ("extrapolated", "all_tables_minutes"), at_most=20),
)


def measured(sizes: Sizes, images: Path | None, minutes: float, out: Path) -> dict[str, Any]:
    """Runs the parts in order and writes the results to `out` after each."""
    deterministic_torch()  # as in training; without TF32, fp32 is fp32
    whole = Clock(60 * minutes)
    results: dict[str, Any] = {"machine": machine(), "versions": environment(), "minutes": minutes, "on_gpu": CUDA}
    for name, part in PARTS.items():
        if whole.left() <= 0:
            results[name] = {"not_run": "no time left"}
            continue
        run = Run(sizes, Clock(min(part.limit, whole.left())), images, results)
        found = attempt(lambda part=part, run=run: _function(part)(run))
        results[name] = found | {"took_seconds": round(run.clock.spent(), 1), "limit_seconds": part.limit}
        print(name, results[name], flush=True)
        write_json(out, results)
    results["extrapolated"] = attempt(lambda: importlib.import_module("benchmarks.gpu.recipes").extrapolated(results))
    results["took_seconds"] = round(whole.spent(), 1)
    write_json(out, results)
    return results


def machine() -> str:
    card = f"CPU, {torch.get_num_threads()} threads"
    if CUDA:
        found = torch.cuda.get_device_properties(0)
        card = f"{found.name}, {found.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
    return f"{date.today()}, {card}, torch {torch.__version__}, Python {platform.python_version()}"


def table(results: Mapping[str, Any]) -> str:
    """Each part with its time or why it has no results, then each aim with what was found."""
    lines = [results["machine"], ""]
    for name, part in PARTS.items():
        found = results[name]
        note = found.get("failed") or found.get("not_run") or "measured"
        lines.append(f"{name:16}{found.get('took_seconds', 0):7.1f} of {part.limit:.0f} s   {note}")
    lines.append("")
    for aim in AIMS:
        value, bound = (
            _found(results, aim.path),
            f"≤ {aim.at_most:g}" if aim.at_least is None else f"≥ {aim.at_least:g}",
        )
        known = isinstance(value, float | int)
        said = f"{value:<10.4g} {'met' if aim.met(value) else 'missed'}" if known else "not known"
        lines.append(f"{aim.what:48}{bound:9}{said}")
    return "\n".join(lines)


def _function(part: Part):
    return getattr(importlib.import_module(f"benchmarks.gpu.{part.module}"), part.function)


def _found(results: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    for key in path:
        results = results.get(key) if isinstance(results, Mapping) else None
    return results


def main(images: Path | None, minutes: float, out: Path) -> None:
    results = measured(FULL if CUDA else TINY, images, minutes, out)
    print(table(results), f"{results['took_seconds']:.0f} s; {out}", sep="\n\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder with class folders, as images.root")
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    main(**vars(parser.parse_args()))
