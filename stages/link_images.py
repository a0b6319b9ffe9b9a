"""Stage link_images: finds the slice of a reference set that each image was made from, with its patient and lesion.

Reads data/ingested.csv, the folder images.root and the folder images.reference.root.
Writes data/links.csv (one row per linked image), data/linked_masks.npz (the lesions in the images' own frames) and
data/figures/link/links.png. All three are empty without a reference (images.reference.source: none).
Takes less than 1 s in the demo on 2 cores, which has no reference. Run: dvc repro link_images.
"""

from pathlib import Path

from btlib.core.runtime.artifacts import atomic_path, write_csv
from btlib.core.runtime.stage import run
from btlib.core.settings.params import load_params
from btlib.images.data.links import COLUMNS, best_matches, is_link, linked_masks, read_reference
from btlib.images.data.manifest import read_manifest
from btlib.images.data.masks import write_masks
from btlib.report.figures.files import FigureFolder
from btlib.report.figures.links import link_figure


def main(ingested: Path, root: Path, reference: Path, links: Path, masks: Path, figures: Path) -> None:
    p = load_params("images.reference").images.reference
    images = read_manifest(ingested)
    with atomic_path(figures) as folder:
        folder.mkdir()
        found, lesions = images[[]].iloc[:0].reindex(columns=list(COLUMNS)), {}
        if p.source != "none":
            slices = read_reference(p.source, reference, p.annotations)
            matches = best_matches(images, root, slices)
            linked = is_link(matches, p.distance, p.correlation)
            found = matches[linked]
            lesions = linked_masks(found, images, reference, slices)
            # no note: a reference set is made of real images
            FigureFolder(folder, note="").write("links.png", link_figure(matches, linked, p.distance, p.correlation))
    write_masks(masks, lesions)
    write_csv(links, found)
    print(f"{len(found)} of {len(images)} images linked, to {found['patient'].nunique()} patients")


if __name__ == "__main__":
    run(main)
