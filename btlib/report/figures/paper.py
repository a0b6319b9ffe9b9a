"""The numbers that the 2D paper prints: tables, settings in its text, headline scores and those of single classes.

*A Dual-Backbone CNN Framework with Gated Cross-Attention Fusion and Mixup Focal Loss for Robust and Explainable
Classification of Brain Tumors.* Numbers as printed, percentages divided by 100. The paper prints neither seeds nor
spreads, and disagrees with itself on two settings: focal α is the inverse frequency in Table 3 and 0.5 in sections 5.2
and 5.8; label smoothing ε is 0.05 in Tables 3 and 8 and 0.1 in section 5.2.
"""

# sections 5.4 (accuracy, F1), 5.5 (ROC-AUC, AP) and Table 7 in 5.7 (kappa, MCC, ECE); names as in scores.headline
HEADLINE = {
    "accuracy": 0.9573,
    "macro_f1": 0.957,
    "roc_auc_macro": 0.9967,
    "roc_auc_micro": 0.9974,
    "ap_macro": 0.989,
    "ap_micro": 0.993,
    "kappa": 0.9415,
    "mcc": 0.9418,
    "ece": 0.0441,
}

# table -> arm -> score -> value; None for an arm to which the paper gives no number
TABLES: dict[str, dict[str, dict[str, float] | None]] = {
    "fusion": {  # Table 4
        "proposed": {"accuracy": 0.9573, "macro_f1": 0.957, "roc_auc_macro": 0.997},
        "concatenation": {"accuracy": 0.9284, "macro_f1": 0.926, "roc_auc_macro": 0.982},
        "gated": {"accuracy": 0.9412, "macro_f1": 0.940, "roc_auc_macro": 0.989},
        "cross_attention": {"accuracy": 0.9468, "macro_f1": 0.945, "roc_auc_macro": 0.991},
        "pooled_attention": None,
        "late_fusion": None,
    },
    "regularisation": {  # Table 5
        "proposed": {"accuracy": 0.9573, "macro_f1": 0.957, "ece": 0.044},
        "mixup_only": {"accuracy": 0.9482, "macro_f1": 0.947, "ece": 0.061},
        "ema_only": {"accuracy": 0.9501, "macro_f1": 0.949, "ece": 0.053},
        "neither": {"accuracy": 0.9347, "macro_f1": 0.934, "ece": 0.083},
    },
    "baselines": {  # Table 6
        "proposed": {"accuracy": 0.9573, "macro_f1": 0.957},
        "vgg19": {"accuracy": 0.9490, "macro_f1": 0.939},
        "resnet50": {"accuracy": 0.9059, "macro_f1": 0.907},
        "densenet121": {"accuracy": 0.9440, "macro_f1": 0.946},  # the paper says DenseNet, without a depth
        "efficientnet_b0": {"accuracy": 0.9173, "macro_f1": 0.929},
        "attention_cnn": {"accuracy": 0.9421, "macro_f1": 0.941},
    },
    "sensitivity": {  # Table 8; focal α is in the text of section 5.8 only, which gives the accuracy of 0.5 alone
        "proposed": {"accuracy": 0.9573},
        "batch_size_16": {"accuracy": 0.9482},
        "batch_size_32": {"accuracy": 0.9573},
        "batch_size_64": {"accuracy": 0.9510},
        "mixup_alpha_0.1": {"accuracy": 0.9495},
        "mixup_alpha_0.2": {"accuracy": 0.9573},
        "mixup_alpha_0.4": {"accuracy": 0.9521},
        "mixup_alpha_0.6": {"accuracy": 0.9488},
        "focal_gamma_1": {"accuracy": 0.9502},
        "focal_gamma_2": {"accuracy": 0.9573},
        "focal_gamma_3": {"accuracy": 0.9518},
        "label_smoothing_0.01": {"accuracy": 0.9510},
        "label_smoothing_0.05": {"accuracy": 0.9573},
        "label_smoothing_0.1": {"accuracy": 0.9505},
        "focal_alpha_0.25": None,
        "focal_alpha_0.5": {"accuracy": 0.9573},
        "focal_alpha_0.75": None,
    },
    "lesion": {},  # not in the paper
}

# Table 1: method, fusion type, attention, bidirectional, gating, calibration
FUSIONS = (
    ("CNN and attention", "static", "single", "no", "no", "no"),
    ("dual backbone", "concatenation", "none", "no", "no", "no"),
    ("transformer-based", "self-attention", "yes", "no", "no", "no"),
    ("proposed", "dynamic fusion", "cross-attention", "yes", "yes", "yes"),
)

# Table 2: split -> class -> images
CLASS_COUNTS = {
    "train": {"glioma": 1297, "meningioma": 1316, "no_tumor": 1600, "pituitary": 1405},
    "val": {"glioma": 162, "meningioma": 164, "no_tumor": 200, "pituitary": 176},
    "test": {"glioma": 162, "meningioma": 165, "no_tumor": 200, "pituitary": 176},
}

# Table 3: key of params.yaml -> value
SETTINGS = {
    "image_size": 224,
    "batch_size": 32,
    "lr_stage1": 3.0e-4,
    "lr_stage2": 1.0e-5,
    "mixup_alpha": 0.2,
    "focal_gamma": 2.0,
    "focal_alpha": "inverse_frequency",
    "label_smoothing": 0.05,
    "ema_decay": 0.999,
    "epochs_stage1": 20,
    "epochs_stage2": 10,
}

# the same from the text: sections 4.1 (augmentation, CLAHE), 4.3 (backbones), 4.4 (fusion), 4.6 (stages), 5.1 (split)
SETTINGS_IN_TEXT = {
    "backbones": ["tf_efficientnetv2_s", "convnext_tiny"],
    "fusion": "gated_cross_attention",
    "split_by": "image",
    "training.optimizer": "adam",
    "training.loss": "focal",
    "training.unfreeze_fraction": 0.2,
    "training.train_batchnorm": False,
    "images.clahe.enabled": True,
}

# sections 5.4 (Figure 10a) and 5.5 (Figure 11): class -> score -> value; what the text does not print is left out
PER_CLASS = {
    "glioma": {"precision": 0.9444, "recall": 0.9444, "roc_auc": 0.9955, "ap": 0.989},
    "meningioma": {"precision": 0.9432, "recall": 0.9394, "roc_auc": 0.9922, "ap": 0.972},
    "no_tumor": {"recall": 0.97, "roc_auc": 0.9994, "ap": 0.999},
    "pituitary": {"f1": 0.971, "roc_auc": 0.9993, "ap": 0.998},
}
