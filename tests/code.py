"""What a stage's script needs, read from the code: folders that it imports from, and keys of params.yaml."""

import ast
from collections.abc import Iterator
from pathlib import Path

LOADER = "btlib/core/settings/params.py"  # gives a stage the values that it declares, which DVC tracks one by one
ROOMS_IN = ("core", "images", "volumes", "app")  # their rooms are dependencies of their own; the others are one each


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a file may import: for `from a.b import c`, both a.b and a.b.c."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: relative import; write the full name, from btlib on"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_modules(script: Path, root: Path) -> set[str]:
    """Files of btlib that `script` imports, directly or through others, functions' own imports included.

    What only the loader of params.yaml imports does not count, nor does the loader. Paths are relative to `root`.
    """
    seen: set[str] = set()
    waiting = [script]
    while waiting:
        for module in imports(waiting.pop()):
            path = f"{module.replace('.', '/')}.py"
            if module.startswith("btlib.") and path not in seen | {LOADER} and (root / path).is_file():
                seen.add(path)
                waiting.append(root / path)
    return seen


def folder_of(module: str) -> str:
    """The folder of dvc.yaml that holds a module of btlib."""
    _, room, *rest = module.split("/")
    if room == "report":
        return "btlib/report/figures" if rest[0] == "figures" else "btlib/report"
    return f"btlib/{room}/{rest[0]}" if room in ROOMS_IN else f"btlib/{room}"


def code_folders(script: Path, root: Path) -> list[str]:
    """The folders that a stage must name: those of all modules that it imports; none inside of another one."""
    folders = {folder_of(module) for module in imported_modules(script, root)}
    return sorted(one for one in folders if not any(one.startswith(f"{other}/") for other in folders))


def keys_read(script: Path) -> list[str]:
    """The strings that a stage script gives to `load_params`, in order."""
    keys = []
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"), str(script))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "load_params":
            keys += [ast.literal_eval(argument) for argument in node.args]  # raises for anything but literal strings
    return keys
