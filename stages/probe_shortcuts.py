"""Stage probe_shortcuts: what the main model and probes say where the lesion is hidden, pasted in, or recoloured.

Reads models/stage2/, data/weights/, data/processed/, data/splits.csv. Writes data/shortcuts/: views.csv (model, view,
then a predictions table), pasted.csv, contrasts.csv, matched.csv and examples.png. Run: dvc repro probe_shortcuts.
"""

from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd

from btlib.artifacts import atomic_path, read_csv, write_csv, write_figure
from btlib.data import occlusion
from btlib.data.images import load_processed, preprocess
from btlib.data.lesion_paste import paste_lesion
from btlib.data.splits import rows_of, sampled
from btlib.evaluation.shortcut_figures import examples_figure
from btlib.evaluation.tables import predictions_table
from btlib.explain.contrast_match import grey_level_scores, matched
from btlib.explain.shortcut_probe import probe
from btlib.inference import predict
from btlib.nets.store import load_classifier, read_states
from btlib.params import data_note, load_params
from btlib.phantom.atlas import load_atlas
from btlib.phantom.contrast_probe import contrast_slices
from btlib.phantom.lesion_patches import LesionPatch, lesion_patch
from btlib.reproducibility import keyed_rng
from btlib.stage import run

FRAME = 0.06  # width of the border view's frame, as a share of the side
SLICE = 224  # pixels of the phantom slices, before they are preprocessed like all images
TUMOURS = ("glioma", "meningioma", "pituitary")


def main(model: Path, weights: Path, processed: Path, splits: Path, out: Path) -> None:
    p = load_params("seed", "images.source", "images.clahe", "shortcuts")
    net = load_classifier(model)
    images, index = load_processed(processed)
    split = read_csv(splits, text=("image_id", "split"))
    rng = keyed_rng(p.seed, "shortcuts")
    train, test = (
        sampled(rows_of(split, index, part), index["label"].to_numpy(), most, rng)
        for part, most in (("train", p.shortcuts.train_per_class), ("test", p.shortcuts.test_per_class))
    )
    size, chosen = images.shape[1], index.iloc[test]
    labels = np.array([net.classes.index(label) for label in index["label"].iloc[train]])
    states = read_states(weights, net.backbone_names)
    views = {
        "whole": lambda given: given,
        "without_brain": occlusion.without_brain,
        "background_only": occlusion.background_only,
        "border_only": partial(occlusion.border_only, pixels=max(1, round(FRAME * size))),
    }
    tables, examples = [], {"whole": images[test[:6]]}
    for view, make in views.items():
        seen, learnt = make(images[test]), make(images[train])
        examples[view] = seen[:6]
        for who, probabilities in (("main", predict(net, seen)), ("probe", probe(states, learnt, labels, seen))):
            part = predictions_table(chosen["image_id"], chosen["label"], probabilities, net.classes)
            tables.append(pd.DataFrame({"model": who, "view": view}, index=part.index).join(part))
    healthy = chosen[chosen["label"] == "no_tumor"]
    rows = test[(chosen["label"] == "no_tumor").to_numpy()]
    atlas, pasted = load_atlas(), {"": images[rows]}
    lesions = {
        label: [lesion_patch(p.seed, label, -1 - number, "t1ce", atlas) for number in range(p.shortcuts.lesions)]
        for label in TUMOURS
        if label in net.classes and len(rows)
    }
    if "glioma" in lesions:
        lesions = {"control": [control(patch) for patch in lesions["glioma"]]} | lesions
    for name, patches in lesions.items():
        made = [
            paste_lesion(image, patch, keyed_rng(p.seed, "paste", patch.label, int(row)))[0]
            for image, patch, row in zip(images[rows], cycle(patches), rows, strict=False)
        ]
        pasted[name] = np.stack(made)
        examples[f"{name} pasted"] = pasted[name][:6]
    parts = [pd.DataFrame(columns=["image_id", "label", "pasted"])]
    for label, seen in pasted.items() if len(rows) else ():
        part = predictions_table(healthy["image_id"], healthy["label"], predict(net, seen), net.classes)
        parts.append(part.assign(pasted=label))
    slices, contrast_labels, contrasts = contrast_slices(p.seed, p.shortcuts.contrast_subjects, SLICE, atlas)
    contrast_images = np.stack([preprocess(image, size, p.images.clahe) for image in slices])
    names = [f"contrast{number}" for number in range(len(contrasts))]
    shown = predictions_table(names, contrast_labels, predict(net, contrast_images), net.classes)
    alike = pd.DataFrame({"image_id": chosen["image_id"], "label": chosen["label"], "score": np.nan, "matched": False})
    if len(rows):
        tumour = (alike["label"] != "no_tumor").to_numpy()
        train_tumour = index["label"].iloc[train].to_numpy() != "no_tumor"
        alike["score"] = grey_level_scores(images[train], train_tumour, images[test])
        alike["matched"] = matched(alike["score"].to_numpy(), tumour)
    with atomic_path(out) as folder:
        write_csv(folder / "views.csv", pd.concat(tables, ignore_index=True))
        write_csv(folder / "pasted.csv", pd.concat(parts, ignore_index=True))
        write_csv(folder / "contrasts.csv", shown.assign(contrast=contrasts))
        write_csv(folder / "matched.csv", alike)
        write_figure(folder / "examples.png", examples_figure(examples, data_note(p.images.source)))


def control(patch: LesionPatch) -> LesionPatch:
    """The patch no brighter or darker than the brain: what pasting does by itself. Its label keeps site and draws."""
    return replace(patch, difference=np.zeros_like(patch.difference))


if __name__ == "__main__":
    run(main)
