"""Converts a recipe to the settings of the image trainer."""

from collections.abc import Sequence

from btlib.core.training.recipe import Recipe
from btlib.images.nets.classifier import Architecture
from btlib.images.training.augment import Strength
from btlib.images.training.learner import BatchSpec, ClassifierSettings

PHANTOM_SHARE = "images.phantom.share"
OF_THE_BACKBONES = ("unfreeze_fraction", "train_batchnorm")
FROZEN = {"unfreeze_fraction": 0.0, "train_batchnorm": False}


def architecture(recipe: Recipe, classes: Sequence[str]) -> Architecture:
    """The network of a recipe."""
    model = {key: recipe[f"model.{key}"] for key in ("width", "heads", "dropout", "flip_tta")}
    lesion = recipe["lesion.weight"] > 0
    return Architecture(
        tuple(recipe["backbones"]),
        recipe["fusion"],
        classes=tuple(classes),
        **model,
        lesion=lesion,
        tied=lesion and recipe["lesion.tied"],
    )


def arm_settings(recipe: Recipe, stage: int, name: str) -> ClassifierSettings:
    """The arm's own settings in stage 1 or 2."""
    return ClassifierSettings(
        name=name,
        seed=recipe["seed"],
        loss=recipe["training.loss"],
        focal_gamma=recipe["focal_gamma"],
        focal_alpha=recipe["focal_alpha"],
        label_smoothing=recipe["label_smoothing"],
        optimizer=recipe["training.optimizer"],
        learning_rate=recipe[f"lr_stage{stage}"],
        weight_decay=recipe["training.weight_decay"],
        schedule=recipe["training.schedule"],
        clip_norm=recipe["training.clip_norm"],
        ema_decays=(recipe["ema_decay"],),
        patience=recipe["training.patience"],
        keep_epoch=recipe["training.keep_epoch"],
        lesion_weight=recipe["lesion.weight"],
    )


def batch_spec(recipe: Recipe, stage: int) -> BatchSpec:
    """The batches of stage 1 or 2, with separate draws; stage 1 freezes the backbones completely (eq 17)."""
    augment = {key.removeprefix("training.augment."): value for key, value in recipe.items() if "augment." in key}
    return BatchSpec(
        seed=2 * recipe["seed"] + stage,
        epochs=recipe[f"epochs_stage{stage}"],
        batch_size=recipe["batch_size"],
        mixup_alpha=recipe["mixup_alpha"],
        augmentation=Strength(**augment),
        phantom_share=recipe[PHANTOM_SHARE],
        outlines=recipe["lesion.outlines"],
        healthy=recipe["lesion.healthy"],
        **({key: recipe[f"training.{key}"] for key in OF_THE_BACKBONES} if stage == 2 else FROZEN),
    )
