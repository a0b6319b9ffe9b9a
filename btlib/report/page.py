"""The whole page: its sections in order, rendered into one self-contained file."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from btlib.core.runtime.artifacts import atomic_path
from btlib.report.blocks import Section
from btlib.report.markdown import page_markdown
from btlib.report.sections.ablations import ablations_section
from btlib.report.sections.audit import audit_section, volumes_section
from btlib.report.sections.calibration import calibration_section
from btlib.report.sections.card import card_section
from btlib.report.sections.classification import classification_section
from btlib.report.sections.cross_validation import cross_validation_section
from btlib.report.sections.external import external_section
from btlib.report.sections.gradcam import gradcam_section
from btlib.report.sections.joint import joint_section
from btlib.report.sections.ladder import ladder_section
from btlib.report.sections.recorded import recorded_section
from btlib.report.sections.robustness import robustness_section
from btlib.report.sections.run import run_section
from btlib.report.sections.shortcuts import shortcuts_section
from btlib.report.sections.summary import summary_section
from btlib.report.study import Study

SECTIONS = (
    summary_section,
    ladder_section,
    run_section,
    audit_section,
    classification_section,
    cross_validation_section,
    external_section,
    recorded_section,
    ablations_section,
    calibration_section,
    gradcam_section,
    robustness_section,
    shortcuts_section,
    volumes_section,
    joint_section,
    card_section,
)


def write_page(html: Path, markdown: Path, study: Study) -> None:
    """Writes the page of a study as HTML, and as Markdown without the pictures."""
    sections = [make(study) for make in SECTIONS]
    for path, text in ((html, render(sections, study.badge)), (markdown, page_markdown(sections, study.badge))):
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def render(sections: list[Section], badge: str) -> str:
    """HTML of the sections; every text is escaped.

    Args:
        badge: label of the data, shown at the top; '' for real data.
    """
    environment = Environment(
        loader=PackageLoader("btlib.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("page.html.j2").render(sections=sections, badge=badge)
