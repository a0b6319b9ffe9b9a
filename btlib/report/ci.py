"""What a change does to the main model's scores, as one Markdown page with pictures: `make ci-report`, and CI.

Runs the road of the main model (only what changed), then writes ci-report/report.md and the pictures beside it.
"""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from btlib.core.metrics.classification import METRICS
from btlib.core.runtime.artifacts import atomic_path
from btlib.core.runtime.errors import InputError
from btlib.core.settings.schema import read_params
from btlib.report import scores as writing
from btlib.report.blocks import Table
from btlib.report.markdown import table_markdown

OUT = Path("ci-report")
TARGETS = ("evaluate", "gradcam")
TRUNK = "origin/main"
SOURCES = ("params.yaml", "dvc.yaml", "btlib", "stages")
# The scores with intervals: metrics file -> the section in it that holds them beside `ci95`
SCORES = {"metrics/classification.json": (), "metrics/gradcam.json": ("maps", "fused", "all")}
PICTURES = {
    "confusion": ("Confusion matrix", Path("data/figures/evaluate/classification.png")),
    "roc": ("ROC, one versus rest", Path("data/figures/evaluate/roc.png")),
    "calibration": ("Calibration", Path("data/figures/evaluate/calibration.png")),
    "training_stage1": ("Training, stage 1", Path("data/figures/train/fig8_stage1.png")),
    "training_stage2": ("Training, stage 2", Path("data/figures/train/fig9_stage2.png")),
}
SHOWN_ROWS = 150  # of the full table; a comment on GitHub holds 65,536 characters
PLAIN = writing.Score("score", 4)
ORDER = ("**worse**", "**better**", "**outside**", "inside", "changed", "new", "gone", "unchanged")


class Score(NamedTuple):
    """One number on both sides; None where a side lacks it. `interval`: the base's 95 % interval, where it has one."""

    name: str
    base: float | None
    now: float | None
    interval: tuple[float, float] | None

    @property
    def verdict(self) -> str:
        if self.base is None or self.now is None:
            return "new" if self.base is None else "gone"
        if math.isclose(self.base, self.now, rel_tol=1e-9, abs_tol=1e-12):
            return "unchanged"
        if self.interval is None:
            return "changed"
        if self.interval[0] <= self.now <= self.interval[1]:
            return "inside"
        if self.name not in METRICS:
            return "**outside**"
        return "**better**" if (self.now > self.base) == METRICS[self.name].higher_is_better else "**worse**"


def write_ci_report(base: str | None) -> None:
    """Runs the main model's road and writes the report.

    Args:
        base: git revision to compare with; None: `default_base`.
    """
    read_params()  # DVC would say less about a fault in it
    base = resolve(base or default_base())
    changed = git("diff", "--name-only", base, "--", *SOURCES).splitlines()
    ran = reproduce(TARGETS)
    print(f"{write_report(base, changed, ran)}: compared with {base}")


def default_base() -> str:
    """Where this branch left origin/main; on main itself the commit before, or HEAD while something is uncommitted.

    The very first commit is compared with itself.
    """
    if git_says_yes("rev-parse", "--quiet", "--verify", TRUNK):
        fork = git("merge-base", TRUNK, "HEAD").strip()
        if fork != git("rev-parse", "HEAD").strip():
            return fork
    committed = git_says_yes("diff", "--quiet", "HEAD")
    return "HEAD~1" if committed and git_says_yes("rev-parse", "--quiet", "--verify", "HEAD~1") else "HEAD"


def resolve(revision: str) -> str:
    """The revision's short hash. Raises InputError when git does not know it."""
    found = run("git", "rev-parse", "--quiet", "--verify", "--short", "--end-of-options", f"{revision}^{{commit}}")
    if found.returncode:
        raise InputError(f"{revision}: no such git revision here; fetch the whole history, or name another with BASE=…")
    return found.stdout.strip()


def reproduce(targets: Sequence[str]) -> list[str]:
    """`dvc repro --pull`: takes from the remote what it holds, runs the rest, and says so while it does.

    Returns:
        The names of the stages that ran.

    Raises:
        InputError: a stage failed; it has said why.
    """
    ran = []
    command = [sys.executable, "-m", "dvc", "repro", "--pull", *targets]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.startswith("Running stage '"):
                ran.append(line.split("'")[1])
    if process.returncode:
        raise InputError(f"dvc repro {' '.join(targets)} failed, so there is nothing to report")
    return ran


def write_report(base: str, changed: Sequence[str], ran: Sequence[str], out: Path = OUT) -> Path:
    """Writes report.md, metrics_diff.md (every number that changed) and the pictures; returns the report's path."""
    with atomic_path(out) as folder:
        folder.mkdir()
        full = dvc("metrics", "diff", base, "--md", "--precision", "4").strip()
        pictures = copy_pictures(folder)
        sections = [
            "# What this change does to the scores",
            data_line(),
            change_lines(base, changed, ran),
            table_markdown(score_table(base, scores(base))),
            "## Parameters",
            dvc("params", "diff", base, "--md").strip() or "No parameter differs.",
            "## Pictures of this version",
            *pictures,
            "## Every number that differs",
            folded(full),
        ]
        (folder / "metrics_diff.md").write_text(f"{full}\n", encoding="utf-8")
        (folder / "report.md").write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return out / "report.md"


def data_line() -> str:
    images = read_params().images
    where = "phantom images (a demo: says nothing about patients)" if images.source == "phantom" else images.root
    return f"Test scores on {where}. Research software, not a medical device."


def change_lines(base: str, changed: Sequence[str], ran: Sequence[str]) -> str:
    """What differs from the base, what ran because of it or without it."""
    more = f" and {len(changed) - 10} more" if len(changed) > 10 else ""
    lines = [
        f"- Differs from `{base}` in code and parameters: {quoted(changed[:10]) or 'nothing'}{more}",
        f"- Stages that ran here: {quoted(ran) or 'none, all results were there'}",
    ]
    if ran and not changed:
        lines.append("- They ran because their results lay nowhere: what differs below comes from this machine.")
    return "\n".join(lines)


def quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def scores(base: str) -> list[Score]:
    """Every score with an interval, as committed in the base and as it lies here, in the files' order."""
    found = []
    for path, keys in SCORES.items():
        committed = run("git", "show", f"{base}:{path}")
        old = section(json.loads(committed.stdout) if committed.returncode == 0 else {}, keys)
        new = section(json.loads(Path(path).read_text(encoding="utf-8")) if Path(path).is_file() else {}, keys)
        names = dict.fromkeys([*old.get("ci95", {}), *new.get("ci95", {})])
        found += [Score(name, old.get(name), new.get(name), old.get("ci95", {}).get(name)) for name in names]
    return found


def section(values: Mapping[str, Any], keys: Sequence[str]) -> Mapping[str, Any]:
    for key in keys:
        values = values.get(key, {})
    return values


def score_table(base: str, rows: Sequence[Score]) -> Table:
    """The scores, those that left the base's interval first, unchanged ones last."""
    cells = [
        (
            row.name,
            PLAIN.said(row.base),
            PLAIN.said(row.now),
            PLAIN.difference(row.now, row.base),
            PLAIN.interval(row.interval),
            row.verdict,
        )
        for row in sorted(rows, key=lambda row: ORDER.index(row.verdict))
    ]
    note = (
        "A score inside the base's interval is no evidence of a change: another test set of this size could have "
        "moved it as far. One that is outside, better or worse, is worth more seeds (`dvc repro compare@fusion`)."
    )
    return Table("Scores", ("score", base, "now", "change", f"95 % interval of {base}", "new value"), cells, note)


def folded(table: str) -> str:
    """DVC's own table behind a click, cut to what a comment can hold."""
    lines = table.splitlines()
    if len(lines) <= 2:
        return "None."
    cut = len(lines) - 2 - SHOWN_ROWS
    rest = f"\n\n… and {cut} more rows in metrics_diff.md beside this report." if cut > 0 else ""
    shown = "\n".join(lines[: 2 + SHOWN_ROWS])
    title = f"<summary><code>dvc metrics diff</code>, {len(lines) - 2} rows</summary>"
    return f"<details>{title}\n\n{shown}{rest}\n\n</details>"


def copy_pictures(folder: Path) -> list[str]:
    """Copies the pictures into `folder`; for each the Markdown that shows it, or says that it is not there."""
    shown = []
    for name, (title, path) in PICTURES.items():
        if path.is_file():
            shutil.copyfile(path, folder / f"{name}.png")
            shown.append(f"### {title}\n\n![{title}]({name}.png)")
        else:
            shown.append(f"### {title}\n\nNot made: `{path}` is not there.")
    return shown


def dvc(*arguments: str) -> str:
    done = run(sys.executable, "-m", "dvc", *arguments)
    if done.returncode:
        raise InputError(f"dvc {' '.join(arguments)} failed:\n{done.stderr.strip()}")
    return done.stdout


def git(*arguments: str) -> str:
    done = run("git", *arguments)
    if done.returncode:
        raise InputError(f"git {' '.join(arguments)} failed:\n{done.stderr.strip()}")
    return done.stdout


def git_says_yes(*arguments: str) -> bool:
    return run("git", *arguments).returncode == 0


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
