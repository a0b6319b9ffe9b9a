"""Stages' access to params.yaml, limited to the keys that they declare."""

from types import SimpleNamespace

from btlib.core.settings.schema import read_params


def load_params(*keys: str) -> SimpleNamespace:
    """The declared keys of params.yaml; reading an undeclared one fails.

    Args:
        keys: dotted names, the same as the stage's `params:` in dvc.yaml (a test compares them).

    Returns:
        Nested attributes, as in `load_params("images.clahe").images.clahe.tiles`. A section is its frozen model.
    """
    params = read_params()
    view = SimpleNamespace()
    for key in keys:
        *sections, last = key.split(".")
        source, target = params, view
        for section in sections:
            source = getattr(source, section)
            if not hasattr(target, section):
                setattr(target, section, SimpleNamespace())
            target = getattr(target, section)
        setattr(target, last, getattr(source, last))
    return view


def data_note(source: str) -> str:
    """Label of the data that a figure shows: 'phantom data', or '' for real data."""
    return "phantom data" if source == "phantom" else ""
