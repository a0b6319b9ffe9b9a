"""The two labels of a set that does not say which tumour, and the folder names under which such sets keep them."""

import re

TUMOR, NONE = "tumor", "no_tumor"
KINDS = {
    **dict.fromkeys(("tumour", "tumor", "tumors", "tumours", "yes"), TUMOR),
    **dict.fromkeys(("none", "no", "notumor", "notumour", "healthy", "normal"), NONE),
}


def kind_of(name: str) -> str | None:
    """'tumor' or 'no_tumor' for a folder's name, or None; case, spaces, hyphens and underscores do not matter."""
    return KINDS.get(re.sub(r"[\s_-]+", "", name.casefold()))
