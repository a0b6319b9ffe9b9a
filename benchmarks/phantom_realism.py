"""Realism of the phantoms: a classifier trained only on phantoms, tested on real images.

Pooled features of an ImageNet EfficientNet-Lite0, standardised, then logistic regression. Chance is the share of the
largest class. The upper limit is the same classifier cross-validated on phantoms (subjects kept together), since it
cannot classify real images better than the phantoms themselves.

Run: python benchmarks/phantom_realism.py data/raw/phantom FOLDER_OF_REAL_CLASS_FOLDERS [--images 1000]
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, confusion_matrix
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from btlib.images.data.classes import CLASSES
from btlib.images.data.sources.folder import scan
from btlib.images.nets.weights import pretrained

SIZES = (96, 224)


@torch.inference_mode()
def pooled_features(net: torch.nn.Module, paths: list[Path], size: int) -> np.ndarray:
    """[N, D] mean of each image's last feature map."""
    mean, std = (torch.tensor(net.pretrained_cfg[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    features = []
    for start in tqdm(range(0, len(paths), 32), desc=f"features at {size} px", mininterval=1):
        batch = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths[start : start + 32]]
        batch = [cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in batch]
        tensor = torch.from_numpy(np.stack(batch)).float()[:, None].expand(-1, 3, -1, -1) / 255
        features.append(net.forward_features((tensor - mean) / std).mean((2, 3)).numpy())
    return np.concatenate(features)


def main(phantoms: Path, real: Path, images: int | None) -> None:
    table = pd.read_csv(phantoms / "subjects.csv").dropna(subset="patient")
    entries = scan(real).entries
    if images is not None and images < len(entries):
        chosen = np.random.default_rng(0).choice(len(entries), images, replace=False)
        entries = [entries[i] for i in sorted(chosen)]
    truth = np.array([entry.label for entry in entries])
    net = pretrained("tf_efficientnet_lite0", "wheel")
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    chance = max(np.mean(truth == name) for name in CLASSES)
    print(f"{len(table)} phantoms, {len(entries)} real images, chance {chance:.1%}")
    for size in SIZES:
        seen = pooled_features(net, [phantoms / path for path in table.path], size)
        within = cross_val_score(classifier, seen, table.label, groups=table.patient, cv=GroupKFold(5)).mean()
        unseen = pooled_features(net, [real / entry.path for entry in entries], size)
        guess = classifier.fit(seen, table.label).predict(unseen)
        balanced = balanced_accuracy_score(truth, guess)
        print(f"{size} px: real accuracy {np.mean(guess == truth):.1%}, balanced {balanced:.1%}; phantoms {within:.1%}")
        print(pd.DataFrame(confusion_matrix(truth, guess, labels=CLASSES), CLASSES, CLASSES).to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phantoms", type=Path, help="output folder of stage phantom")
    parser.add_argument("real", type=Path, help="class folders of real images")
    parser.add_argument("--images", type=int, help="how many real images to draw; all by default")
    arguments = parser.parse_args()
    main(arguments.phantoms, arguments.real, arguments.images)
