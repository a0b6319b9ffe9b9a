"""Small default settings for tests."""

from btlib.images.training.augment import Strength
from btlib.images.training.learner import BatchSpec, ClassifierSettings


def make_settings(**changes) -> ClassifierSettings:
    values = {
        "name": "main",
        "seed": 0,
        "loss": "focal",
        "focal_gamma": 2.0,
        "focal_alpha": "inverse_frequency",
        "label_smoothing": 0.05,
        "optimizer": "adam",
        "learning_rate": 3e-3,
        "weight_decay": 0.0,
        "schedule": "cosine",
        "clip_norm": 0.0,
        "ema_decays": (0.99,),
        "patience": 10,
    }
    return ClassifierSettings(**values | changes)


def make_spec(**changes) -> BatchSpec:
    values = {
        "seed": 1,
        "epochs": 2,
        "batch_size": 8,
        "mixup_alpha": 0.2,
        "augmentation": Strength(0.5, 0.5, 0.1, 0.1),
        "unfreeze_fraction": 0.0,
        "train_batchnorm": False,
    }
    return BatchSpec(**values | changes)
