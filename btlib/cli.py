"""The command `btlib`: prediction with trained models, and tools for studies: profiles, sweeps, summaries."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from btlib.core.runtime.command import command

app = typer.Typer(
    name="btlib",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=(
        "Brain-tumour MRI with trained models: class of a single slice, or segmentation and grade of four scans.\n\n"
        "Research software, not a medical device. Train and evaluate with the pipeline, dvc repro; the commands "
        "profile, experiment, cluster, summary and ci-report support it."
    ),
)
Models = Annotated[Path, typer.Option(metavar="FOLDER", help="The models packaged by the pipeline.")]
PACKED = Path("models/deploy")


def _scan(name: str) -> Any:
    """The option for one of a case's four scans."""
    return typer.Option(f"--{name}", metavar="SCAN", help="This scan of a single case: NIfTI, FILE#K, a DICOM folder.")


@app.command()
def predict(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the results go: a new or empty folder.")],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Images (PNG, JPEG, TIFF, BMP, WebP, DICOM) or folders of images; or cases of four volumes: NIfTI "
            "folders, a cases.csv, DICOM studies.",
        ),
    ] = None,
    t1: Annotated[Path | None, _scan("t1")] = None,
    t1ce: Annotated[Path | None, _scan("t1ce")] = None,
    t2: Annotated[Path | None, _scan("t2")] = None,
    flair: Annotated[Path | None, _scan("flair")] = None,
    models: Models = PACKED,
    read_as: Annotated[
        Literal["images", "volumes"] | None,
        typer.Option("--as", help="How to read PATH if its files are ambiguous.", show_default=False),
    ] = None,
    resample: Annotated[
        bool, typer.Option("--resample", help="Resample volumes on other grids to T1ce's by their headers.")
    ] = False,
    orientation: Annotated[
        str | None,
        typer.Option(
            "--assume-orientation", metavar="AXES", help="Orientation of NIfTI files that lack one: RAS, LPS."
        ),
    ] = None,
    labels: Annotated[str, typer.Option(metavar="NUMBERS", help="Numbering of the masks: canonical, brats, msd.")] = (
        "canonical"
    ),
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run with the same paths, options and models.")
    ] = False,
) -> None:
    """Predict new images or volumes.

    Images: slices.csv and slices.json with calibrated probabilities, and overlays/ with Grad-CAM. Volumes: cases.csv
    and cases.json with grades and volumes in ml, and a folder per case with mask, uncertainty and Grad-CAM.

    "unsure" marks answers below the confidence that kept errors rare on the validation set; "unfamiliar" marks inputs
    unlike the training set, whose predictions are unreliable.

    Files and cases that cannot be predicted are listed in unused.csv. The others are still predicted, and the exit code
    is 1.

    Modalities are identified by names, tags and the images themselves; a case on which they disagree is refused. State
    them with the options for the four scans, or with a case.json beside the files.
    """
    from btlib.app.predict.dispatch import VolumeOptions
    from btlib.app.predict.dispatch import predict as predict_all
    from btlib.core.runtime.workers import stay_here

    stay_here()
    scans = {"t1": t1, "t1ce": t1ce, "t2": t2, "flair": flair}
    stated = {name: path for name, path in scans.items() if path}
    options = VolumeOptions(stated, resample, orientation, labels)
    count = predict_all(paths or [], models, out, read_as, options, resume)
    print(f"{count} predicted: {out}")


@app.command()
def export(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the files go; created if missing.")],
    models: Models = PACKED,
) -> None:
    """Export the models to ONNX, for other programs.

    classifier.onnx maps preprocessed images to calibrated probabilities and novelty scores; joint.onnx maps
    preprocessed cubes to region and grade probabilities. A .json beside each describes preprocessing and outputs. Both
    are checked against PyTorch in onnxruntime before they are written.
    """
    from btlib.app.export import export_models

    for path, difference in export_models(models, out).items():
        print(f"{path}: differs from PyTorch by at most {difference:.1e}")


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 chooses any free one.")] = 8000,
    models: Models = PACKED,
) -> None:
    """Show predictions in the browser, on this machine only.

    Drop an image or the scans of a case onto the page. Nothing is kept, and nothing leaves the machine.
    """
    from btlib.app.serve.server import serve as serve_page

    serve_page(models, port)


profiles = typer.Typer(no_args_is_help=True, help="Settings for another scale or purpose, from profiles/.")
app.add_typer(profiles, name="profile")
Profile = Annotated[Path, typer.Argument(metavar="PROFILE", help="Such as profiles/paper.yaml.")]


@profiles.command()
def apply(profile: Profile) -> None:
    """Write the profile's values to params.yaml, keeping its comments and other values.

    To undo: git checkout params.yaml
    """
    from btlib.core.settings.profile import apply as apply_profile

    print(f"params.yaml: {apply_profile(profile)} keys set from {profile}; to undo: git checkout params.yaml")


@profiles.command()
def flags(profile: Profile) -> None:
    """Print the profile as options of an experiment: btlib profile flags PROFILE | xargs dvc exp run"""
    from btlib.core.settings.profile import flags as flags_of

    print(flags_of(profile))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def experiment(context: typer.Context) -> None:
    """Run dvc exp run with these options after checking the keys; for a mistyped key the right one is suggested.

    btlib experiment --queue -S 'mixup_alpha=0.1,0.2,0.4' evaluate
    """
    from btlib.core.settings.experiment import run_experiment

    run_experiment(context.args)


@app.command(context_settings={"allow_interspersed_args": False})
def cluster(
    scheduler: Annotated[
        str, typer.Option(metavar="ADDRESS", envvar="DASK_SCHEDULER_ADDRESS", help="Such as tcp://10.0.0.1:8786.")
    ],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="What to run on it: dvc repro", show_default=False)
    ] = None,
) -> None:
    """Check the workers of a Dask cluster, and run a command whose stages work there.

    btlib cluster --scheduler tcp://10.0.0.1:8786 dvc repro

    Every worker must see the project's folder, and have this code and these versions of the libraries. The results are
    those of one computer. How to start a cluster: docs/cluster.md
    """
    from btlib.core.runtime.workers import run_on_cluster

    run_on_cluster(scheduler, words or [])


@app.command()
def summary() -> None:
    """Show the headline numbers of the last run, the time of each stage, and where the results are."""
    from btlib.report.headlines import print_summary

    print_summary()


@app.command()
def results() -> None:
    """Render the tables of docs/results.md again from the runs in docs/runs/."""
    from btlib.report.results_page import write_results

    write_results()
    print("docs/results.md: tables rendered from docs/runs/")


@app.command()
def ci_report(
    base: Annotated[
        str | None,
        typer.Option(metavar="REVISION", help="Commit to compare with; by default the merge base with origin/main."),
    ] = None,
) -> None:
    """Run the main model and write ci-report/report.md: the effect of a change on its scores, with pictures."""
    from btlib.report.ci import write_ci_report

    write_ci_report(base)


def main() -> None:
    """Runs the command line; InputError becomes one message and exit code 1."""
    with command("btlib"):
        app(prog_name="btlib")


if __name__ == "__main__":
    main()
