"""`dfi edit`: from photos to edited photos."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dfi_jax.cli import options, output
from dfi_jax.cli.terminal import (
    Debug,
    Quiet,
    exit_with_failures,
    print_note,
    print_result,
    progress,
    report_failure,
    sentence_for_errors,
)
from dfi_jax.data.folders import IMAGE_SUFFIXES, warn_of_unread
from dfi_jax.editor.assembly import load_finer
from dfi_jax.editor.job import (
    Job,
    attribute_name,
    file_name,
    is_vector_file,
    load_optional_dataset,
)
from dfi_jax.editor.result import check_folder
from dfi_jax.errors import DfiError, FileError, InputError
from dfi_jax.photo.choice import parse_face
from dfi_jax.photo.photo import Photo, check_suffix
from dfi_jax.recipe import TransferDifference

MOST_NAMES = 100
"""Maximum number of names that are tried for a folder that another process has taken."""

Photos = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PHOTO...",
        help="Photos, or folders of photos, without their subfolders.",
        show_default=False,
        parser=options.named_path,
    ),
]

Attribute = Annotated[
    str,
    typer.Argument(metavar="ATTRIBUTE", help=options.ATTRIBUTE_HELP, show_default=False),
]

Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FOLDER",
        help="Folder for the results. If there are several photos, each gets a subfolder. By "
        "default, the folder is dfi-PHOTO-ATTRIBUTE, or dfi-ATTRIBUTE for several photos. If the "
        "name ends in .png, .jpg or .jpeg, only the edited photo is written, to a file of that "
        "name.",
        parser=options.named_path,
    ),
]

MaskImage = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        metavar="IMAGE",
        help="Image of the photo's size that is white where the photo may change.",
        parser=options.named_path,
    ),
]

Finer = Annotated[
    list[Path],
    typer.Option(
        "--finer",
        metavar="VECTOR",
        help="Vector of the same attribute at a larger size, such as 400, for a face that is much "
        "larger than 200 pixels. The edit is made again at that size, starting from the result "
        "before, and gets sharper. May be repeated, the smallest size first.",
        parser=options.named_path,
    ),
]
NO_VECTORS: list[Path] = []


@sentence_for_errors
def edit(
    photos: Photos = None,
    attribute: Attribute = "",
    alphas: options.Alphas = None,
    face: options.Face = options.DEFAULT_FACE,
    points: options.Points = options.DEFAULT_POINTS,
    warp: options.Warp = options.DEFAULT_WARP,
    mask: MaskImage = None,
    finer: Finer = NO_VECTORS,
    dataset: options.DatasetOrFitted = "",
    rule: options.RuleText = options.DEFAULT_RULE,
    near: options.Near = "",
    k: options.K = None,
    recipe: options.RecipeName = options.DEFAULT_RECIPE,
    settings: options.Settings = options.NO_SETTINGS,
    weights: options.Weights = options.DEFAULT_WEIGHTS,
    precision: options.Precision = options.DEFAULT_PRECISION,
    batch_size: options.BatchSize = None,
    out: Out = None,
    overwrite: options.Overwrite = False,
    json_: options.Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Change an attribute of the face in a photo.

    This writes the photo at each strength (as JPEG if the photo is a JPEG file, otherwise as PNG),
    sheet.png with the face before and after, loss.png with the loss curves, and result.json, which
    records how the edit was made.

    If one of several photos can't be edited, the error is printed and the others are still edited.
    """
    # All options are checked before anything takes long, such as loading the network.
    options.check_given(attribute, photos or [])
    files, several = _find_photos(photos or [])
    alpha_values = options.parse_alphas(alphas)
    face_choice, nearness = parse_face(face), options.parse_near(near)
    chosen_recipe = options.make_recipe(recipe, settings)
    if dataset and is_vector_file(attribute):
        raise InputError(
            f"the attribute is the file {attribute} and --dataset is given; omit one of them, "
            f"because the attribute vector comes from only one."
        )
    folders = _name_folders(files, attribute, out=out, several=several)
    alone = out is not None and out.suffix.lower() in IMAGE_SUFFIXES and not out.is_dir()
    if alone and (several or len(alpha_values or ()) > 1):
        raise InputError(
            f"{out} is one file, but there are several photos or strengths; give a folder."
        )
    for folder in folders:
        check = output.check_out_file if alone else output.check_out
        check(folder, overwrite=overwrite)
    # If one of several photos can't be opened, the others are edited all the same.
    images = [file if several else Photo.open(file) for file in files]
    if alone and out is not None:
        whole = any(isinstance(step, TransferDifference) for step in chosen_recipe.finish)
        check_suffix(out, fits_jpeg=not whole or _fits_jpeg(images[0]))
    mask_image = None if mask is None else Photo.open(mask)
    images_with_scores = load_optional_dataset(dataset)
    options.check_attribute(attribute, dataset=images_with_scores, rule=rule, near=nearness, k=k)
    larger = load_finer(finer, recipe=chosen_recipe)
    jobs = {
        Job(
            photo=image,
            attribute=attribute,
            alphas=alpha_values,
            dataset=images_with_scores,
            rule=rule,
            near=nearness,
            k=k,
            face=face_choice,
            points=points,
            warp=warp,
            mask=mask_image,
            finer=larger,
        ): folder
        for image, folder in zip(images, folders, strict=True)
    }
    output.check_space(folders[0], list(jobs))
    failures: dict[str, str] = {}

    def fail(job: Job, error: DfiError) -> None:
        if not several:
            raise error
        failures[str(job.photo)] = str(error)
        report_failure(str(job.photo), error, debug=debug)

    with progress(quiet=quiet) as on_progress:
        editor = options.load_editor(
            chosen_recipe,
            weights=weights,
            precision=precision,
            batch_size=batch_size,
            on_progress=on_progress,
        )
        for job, made in editor.edit_many(list(jobs), on_progress=on_progress, on_failure=fail):
            place = jobs[job] if overwrite else _find_free(jobs[job], alone=alone)
            if place != jobs[job]:
                print_note(f"another process wrote to {jobs[job]} meanwhile; the edit is {place}.")
            try:
                lost = []
                if alone:
                    lost = made.save_photo(place, overwrite=overwrite)
                    written = [place]
                else:
                    written = made.save(place, overwrite=overwrite)
            except DfiError as error:
                fail(job, error)
                continue
            record = made.record | {"warnings": [*made.record["warnings"], *lost]}
            for warning in record["warnings"]:
                print_note(f"{place}: {warning}")
            if json_:
                output.print_json(place, record)
            else:
                for path in [place] if several else written:
                    print_result(path)
    if failures:
        exit_with_failures(failures, total=len(jobs))


def _find_free(place: Path, *, alone: bool) -> Path:
    """Returns a file or folder for an edit, with a number if another process has taken its own.

    >>> _find_free(Path("no-such-folder"), alone=False).name
    'no-such-folder'
    """
    stem, suffix = (place.stem, place.suffix) if alone else (place.name, "")
    for name in (place.name, *(f"{stem}-{number}{suffix}" for number in range(2, MOST_NAMES))):
        path = place.with_name(name)
        try:
            check_folder(path)
        except FileError:  # It isn't free.
            continue
        if not (alone and path.exists()):
            return path
    return place


def _fits_jpeg(photo: Photo | Path) -> bool:
    original = photo.original if isinstance(photo, Photo) else None
    return original is None or original.fits_jpeg


def _find_photos(paths: Sequence[Path]) -> tuple[list[Path], bool]:
    """Returns the photos that the paths lead to, and whether each gets its own folder."""
    folders = [path for path in paths if _is_folder(path)]
    found: list[Path] = []
    for path in paths:
        found += _images_in(path) if path in folders else [path]
    photos = list(dict.fromkeys(found))
    return photos, bool(folders) or len(photos) > 1


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # Opening the path as a photo reports what is wrong with it.
        return False


def _images_in(folder: Path) -> list[Path]:
    """Returns the images in a folder but not in its subfolders, which may hold earlier results."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise FileError(f"{folder} can't be read ({error.strerror}); choose another.") from None
    images = [
        path
        for path in paths
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and not path.is_dir()  # A link to nowhere is reported, not skipped.
    ]
    warn_of_unread(folder, [path.name for path in paths])
    if not images:
        raise FileError(
            f"{folder} is a folder without photos; give one with files that end in "
            f"{', '.join(IMAGE_SUFFIXES)}."
        )
    return images


def _name_folders(
    files: Sequence[Path], attribute: str, *, out: Path | None, several: bool
) -> list[Path]:
    """Returns the folder of each photo's results."""
    named = file_name(attribute_name(attribute))
    if not several:
        return [out or Path(output.folder_name(f"dfi-{files[0].stem}-{named}"))]
    parent = out or Path(output.folder_name(f"dfi-{named}"))
    folders: list[Path] = []
    numbers: dict[str, int] = {}  # The last number of each name, which thousands may share.
    for file in files:
        stem = name = output.folder_name(file.stem)
        while name.casefold() in numbers:  # Some file systems ignore case.
            numbers[stem.casefold()] += 1
            name = f"{stem}-{numbers[stem.casefold()]}"
        numbers[name.casefold()] = 1
        folders.append(parent / name)
    return folders
