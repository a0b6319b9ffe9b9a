"""Stage predict_external: predicts the images of another hospital with the packaged classifier, set by set.

Reads the set's folder, laid out as params.yaml says under external, and models/deploy/classifier/. The folder must not
share images with images.root.
Writes data/external/<set>/: predictions.csv (one row per image) and worst.png (the worst errors). Where the study's
images are real, the phantom set is left out: its table has no rows.
Takes about 9 s in the demo on 2 cores. Run: dvc repro predict_external.
"""

from pathlib import Path

from btlib.app.predict.external import write_external, write_left_out
from btlib.app.predict.slices import SlicePredictor
from btlib.core.runtime.stage import run
from btlib.core.settings.params import load_params
from btlib.images.data.external import external_images, is_left_out, refuse_unlisted, refuse_without_none


def main(root: Path, model: Path, images: Path, out: Path) -> None:
    """The folder `out` has the name under which params.yaml lists the set."""
    p = load_params("images.source", "external")
    named = {one.name: one for one in p.external}
    refuse_unlisted(out.name, named)
    chosen = named[out.name]
    if is_left_out(root, p.images.source):
        write_left_out(out)
        print(f"external '{chosen.name}': the phantom set is left out, because the study's images are real")
        return
    predictor = SlicePredictor.load(model)
    refuse_without_none(predictor.classes, chosen.name)
    entries = external_images(chosen.name, root, chosen.layout, chosen.annotations, images)
    table = write_external(out, root, entries, predictor)
    print(f"external '{chosen.name}': {len(table)} images predicted, {int(table.unsure.sum())} of them unsure")


if __name__ == "__main__":
    run(main)
