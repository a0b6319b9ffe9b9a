"""The classes of the study, and their folder names in public data sets."""

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
    """The class of a folder name, or None; ignores case, spaces, hyphens and underscores."""
    return ALIASES.get(re.sub(r"[\s_-]+", "", name.casefold()))
