"""The classes of the study and the folder names under which public sets keep them."""

import re

CLASSES = ("glioma", "meningioma", "no_tumor", "pituitary")

ALIASES = {
    "glioma": "glioma",
    "gliomatumor": "glioma",
    "meningioma": "meningioma",
    "meningiomatumor": "meningioma",
    "notumor": "no_tumor",
    "no": "no_tumor",
    "pituitary": "pituitary",
    "pituitarytumor": "pituitary",
}


def class_of(name: str) -> str | None:
    """The class that a folder name stands for, or None; case, spaces, hyphens and underscores do not matter."""
    return ALIASES.get(re.sub(r"[\s_-]+", "", name.casefold()))
