"""The two labels of data sets without tumour types, and their folder names."""

import re

TUMOR, NONE = "tumor", "no_tumor"
KINDS = {
    **dict.fromkeys(("tumour", "tumor", "tumors", "tumours", "yes"), TUMOR),
    **dict.fromkeys(("none", "no", "notumor", "notumour", "healthy", "normal"), NONE),
}


def kind_of(name: str) -> str | None:
    """'tumor' or 'no_tumor' for a folder name, or None; ignores case, spaces, hyphens and underscores."""
    return KINDS.get(re.sub(r"[\s_-]+", "", name.casefold()))
