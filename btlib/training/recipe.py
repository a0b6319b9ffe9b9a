"""From the values of params.yaml to what the trainer takes."""

from types import SimpleNamespace

from btlib.training.arms import ArmSettings
from btlib.training.augment import Strength
from btlib.training.loop import Stream


def main_arm(p: SimpleNamespace, learning_rate: float) -> ArmSettings:
    """The main model as an arm: a list of one."""
    return ArmSettings(
        name="main",
        seed=p.seed,
        loss=p.training.loss,
        focal_gamma=p.focal_gamma,
        focal_alpha=p.focal_alpha,
        label_smoothing=p.label_smoothing,
        optimizer=p.training.optimizer,
        learning_rate=learning_rate,
        weight_decay=p.training.weight_decay,
        schedule=p.training.schedule,
        ema_decay=p.ema_decay,
        patience=p.training.patience,
    )


def stream(p: SimpleNamespace, stage: int, epochs: int, unfreeze_fraction: float, train_batchnorm: bool) -> Stream:
    """The batches of one stage; each stage draws its own."""
    return Stream(
        seed=2 * p.seed + stage,
        epochs=epochs,
        batch_size=p.batch_size,
        mixup_alpha=p.mixup_alpha,
        augmentation=Strength(**p.training.augment.model_dump()),
        unfreeze_fraction=unfreeze_fraction,
        train_batchnorm=train_batchnorm,
    )
