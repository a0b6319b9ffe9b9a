"""Stage check: every key of params.yaml is known, present and of the right type and range.

Reads params.yaml. Writes data/params.checked, whose content never changes: the stages that wait for it run after this
one, and not again because of it. And data/recipes/: what each training is told, every arm with all its values.
Run: dvc repro check.
"""

from pathlib import Path

from btlib.core.runtime.artifacts import atomic_path, write_json
from btlib.core.runtime.stage import run
from btlib.core.settings.recipes import all_recipes
from btlib.core.settings.schema import read_params


def main(params: Path, out: Path, recipes: Path) -> None:
    found = all_recipes(read_params(params))
    with atomic_path(recipes) as folder:
        for name, content in found.items():
            write_json(folder / f"{name}.json", content)
    write_json(out, {"valid": True})


if __name__ == "__main__":
    run(main)
