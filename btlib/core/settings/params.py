"""How a stage reads params.yaml: the keys that it declares, and no others. Only stages read params."""

from types import SimpleNamespace

from btlib.core.settings.schema import read_params


def load_params(*keys: str) -> SimpleNamespace:
    """The declared keys of params.yaml, and no others: reading an undeclared one fails.

    Args:
        keys: dotted names, the same as the stage's `params:` in dvc.yaml (a test compares them).

    Returns:
        Nested attributes, so `load_params("images.clahe").images.clahe.tiles`. A section comes as its frozen model.
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
    """What figures say of the data behind them: phantoms are named as such, real images need no words."""
    return "phantom data" if source == "phantom" else ""
