"""The page itself: complete, escaped, self-contained, labelled; also with parts of a run missing."""

import re
from html.parser import HTMLParser

import pytest

from btlib.core.runtime.errors import InputError
from btlib.report.blocks import Bullets, Figures, Numbers, Section, Table, Text
from btlib.report.page import SECTIONS, render, write_page
from btlib.report.pictures import embedded
from tests.report.make import edited, study

HOSTILE = '<script>alert("x")</script>'


class Reader(HTMLParser):
    """Collects tags with their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def page(tmp_path, **changes):
    path = tmp_path / "report.html"
    write_page(path, path.with_suffix(".md"), study(tmp_path / "figures", **changes))
    return path.read_text(encoding="utf-8")


def test_the_page_is_self_contained(tmp_path):
    text = page(tmp_path)
    tags = Reader(text).tags
    addresses = [value for _, attrs in tags for name, value in attrs.items() if name in ("src", "href", "srcset")]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not {"script", "iframe", "object", "form"} & {tag for tag, _ in tags}
    assert "@import" not in text
    assert "url(" not in text


def test_every_link_within_the_page_has_its_target(tmp_path):
    tags = Reader(page(tmp_path)).tags
    names = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(names) == len(set(names))
    targets = {attrs["href"][1:] for tag, attrs in tags if tag == "a" and attrs["href"].startswith("#")}
    assert targets <= set(names)
    assert {"summary", "ladder", "audit", "classification", "cross-validation", "external", "recorded"} <= targets
    assert {"ablations", "joint", "card"} <= targets


def test_every_figure_has_alternative_text(tmp_path):
    images = [attrs for tag, attrs in Reader(page(tmp_path)).tags if tag == "img"]
    assert len(images) == 11  # the study's figures, and the ladder
    assert all(attrs["alt"] for attrs in images)


def test_text_is_escaped():
    table = Table(HOSTILE, (HOSTILE,), [(HOSTILE,)], note=HOSTILE)
    text = render([Section("one", HOSTILE, [Text(HOSTILE), Bullets([HOSTILE], HOSTILE), table])], HOSTILE)
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 11  # title and table caption occur twice, once as a label


def test_every_table_and_figure_of_phantoms_is_labelled(tmp_path):
    made = study(tmp_path)
    for make in SECTIONS:
        section = make(made)
        for block in section.blocks:
            if isinstance(block, Table | Figures | Numbers):
                badge = section.badge if block.badge is None else block.badge
                if badge == "real images, other runs":
                    assert section.name in ("ladder", "recorded")
                    continue
                assert badge.startswith("phantom data") or block.caption.startswith("Table 1 of the paper"), block


def test_real_data_have_no_label_and_phantom_volumes_beside_them_do(tmp_path):
    made = study(tmp_path, notes={"images": "", "volumes": "phantom data"})
    badges = {section.name: section.badge for section in (make(made) for make in SECTIONS)}
    assert badges["classification"] == ""
    assert badges["joint"] == "phantom data"
    assert badges["run"] == "phantom data: volumes"
    text = page(tmp_path, notes={"images": "", "volumes": ""})
    assert "A demo on synthetic images" not in text
    # phantoms in every contrast are phantoms, whatever the classifier was trained on
    assert re.findall(r'badge warning">([^<]+)<', text) == ["phantom data"]


def test_each_table_on_the_page_has_its_label(tmp_path):
    text = page(tmp_path)
    tables = text.count("<table")
    labels = text.count('class="badge')
    assert labels >= tables > 40


def without_masks(metrics):
    nothing = {"n": 0, "pointing_hit": None, "heat_share": None, "lesion_share": None}
    maps = {"fused": {"all": nothing | {"heat_over_uniform": None, "ci95": None}}}
    return edited(metrics, "gradcam", n_with_mask=0, maps=maps)


def without_ablations(metrics):
    for name in ("fusion", "regularisation", "baselines", "sensitivity"):
        metrics = edited(metrics, f"ablation_{name}", rows=[])
    metrics = edited(metrics, "gradcam_consistency", maps={}, seeds=0)
    full = metrics["ablation_joint"]["rows"][:1]
    return edited(
        metrics, "ablation_joint", rows=full, missing_modalities={"rows": [], "average": {}, "difference": None}
    )


def without_grades(metrics):
    found = metrics["joint3d"]
    lost = {
        name: None for name in found if name.startswith("grade_") and name not in ("grade_errors", "grade_ci95_exact")
    }
    ends = found["ci95"] | {name: None for name in found["ci95"] if name.startswith("grade_")}
    doubt = [
        row
        | {
            "grade_error_auroc": None,
            "grade_errors": 0,
            "n_graded": 0,
            "ci95": row["ci95"] | {"grade_error_auroc": None},
        }
        for row in found["uncertainty"]
    ]
    exact = dict.fromkeys(found["grade_ci95_exact"])
    metrics = edited(
        metrics, "joint3d", **lost, ci95=ends, uncertainty=doubt, grade_ci95_exact=exact, temperature=None, n_graded=0
    )
    return edited(metrics, "explain_joint", maps={})


def without_outlines(metrics):
    found = metrics["joint3d"]
    lost = {name: None for name in found if name.startswith(("dice_", "hd95_", "uncertainty_error"))}
    ends = found["ci95"] | dict.fromkeys(lost)
    nothing = {"n": 0, "ci95": None} | dict.fromkeys(lost)
    return edited(metrics, "joint3d", **lost, ci95=ends, by_grade={"HGG": nothing, "LGG": nothing}, uncertainty=[])


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (without_masks, "These images have no lesion masks"),
        (without_ablations, "Not run here: only the paper&#39;s numbers are shown."),
        (without_grades, "Dice, whole tumour"),
        (without_outlines, "grade AUC"),
    ],
)
def test_a_run_may_lack_parts(tmp_path, edit, said):
    assert said in page(tmp_path, metrics=edit(study(tmp_path).metrics))


def test_without_runs_or_times_the_page_is_still_made(tmp_path):
    text = page(tmp_path, recorded=[], timings={}, pictures=study(tmp_path / "none").pictures)
    assert "There are no recorded runs." in text
    assert "Time of each stage: 0 s over 0 stages" in text


def test_a_missing_file_of_scores_is_named(tmp_path):
    metrics = dict(study(tmp_path).metrics)
    del metrics["audit"]
    with pytest.raises(InputError, match=r"metrics/audit\.json: no such file; run `dvc repro`"):
        page(tmp_path, metrics=metrics)


def test_a_file_that_is_not_a_picture_is_named(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"x\.png: not a readable picture"):
        embedded(path)


def test_the_page_as_markdown_holds_every_section_and_table(tmp_path):
    html = page(tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    made = study(tmp_path / "figures")
    assert text.startswith(f"# Report\n\n**{made.badge}**\n") and "phantom" in made.badge
    for section in (make(made) for make in SECTIONS):
        assert f"## {section.title}" in text
        for block in section.blocks:
            if isinstance(block, Table):
                assert f"#### {block.caption}" in text
                assert (
                    f"| {' | '.join(block.columns)} |".replace("\n", "<br>").replace("\N{NO-BREAK SPACE}", " ") in text
                )
    assert "<table>" not in text
    assert text.count("\n| ---") == len([tag for tag, _ in Reader(html).tags if tag == "table"])
