"""Converts section joint of params.yaml, or an arm's overrides, to the settings of the trainer.

A recipe maps the section's dotted keys, `seed` and `phantom_share` (volumes.phantom.share) to values; an arm's may also
have `grader`.
"""

from btlib.core.training.recipe import Recipe
from btlib.volumes.nets.network import JointArchitecture
from btlib.volumes.nets.plain import PlainArchitecture
from btlib.volumes.nets.windows import Window
from btlib.volumes.training.augment import Strength
from btlib.volumes.training.learner import BatchSpec, JointSettings


def joint_architecture(recipe: Recipe) -> JointArchitecture:
    """The network of a recipe."""
    return JointArchitecture(**{key: recipe[key] for key in JointArchitecture._fields})


def arm_architecture(recipe: Recipe) -> JointArchitecture | PlainArchitecture:
    """The network of an arm: the joint one, unless another is its grader."""
    if "grader" in recipe:
        return PlainArchitecture(recipe["grader"], recipe["width"], recipe["flip_tta"])
    return joint_architecture(recipe)


def joint_settings(recipe: Recipe, name: str) -> JointSettings:
    """The arm's own settings."""
    return JointSettings(
        name=name,
        seed=recipe["seed"],
        optimizer=recipe["optimizer"],
        learning_rate=recipe["learning_rate"],
        weight_decay=recipe["weight_decay"],
        schedule=recipe["schedule"],
        clip_norm=recipe["clip_norm"],
        ema_decays=(recipe["ema_decay"],),
        patience=recipe["patience"],
        grade_weight=recipe["grade_weight"],
        label_smoothing=recipe["label_smoothing"],
    )


def batch_spec(recipe: Recipe, roi_size: int) -> BatchSpec:
    """The batches of a recipe: cubes of `roi_size` voxels per side, downsampled to its own size."""
    return BatchSpec(
        seed=recipe["seed"],
        epochs=recipe["epochs"],
        coarse_epochs=recipe["coarse_epochs"],
        batch_size=recipe["batch_size"],
        window=Window(roi_size, recipe["size"]),
        phantom_share=recipe["phantom_share"],
        augmentation=Strength(**{key: recipe[f"augment.{key}"] for key in Strength._fields}),
        accumulate=recipe["accumulate"],
    )
