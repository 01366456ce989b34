"""Many edits in one run, from a manifest: a file of JSON lines, one edit per line.

    {"photo": "me.jpg", "attribute": "eyeglasses", "alphas": [0.5, 1]}

The fields are named like the fields of `Job`. `photo` and `attribute` are required; `alphas`,
`face`, `mask` and `name` are optional. An attribute is text, as in `AttributeLike`, or the path of
a vector's file. Paths are relative to the manifest. `Edit.save` writes each edit to its own folder.
Edits that already have a `result.json` are skipped, so running a manifest again resumes it.
"""

import dataclasses
import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from dfi_jax.data.dataset import Dataset
from dfi_jax.data.near import Nearness
from dfi_jax.editor.editor import Editor
from dfi_jax.editor.job import DEFAULT_K, Job, is_vector_file
from dfi_jax.editor.record import network_record, vector_record
from dfi_jax.editor.result import Edit, check_folder
from dfi_jax.editor.work import work_recipe
from dfi_jax.errors import DfiError, FileError, InputError, one_line
from dfi_jax.photo.choice import FaceLike, parse_face
from dfi_jax.progress import OnProgress, Progress
from dfi_jax.storage.files import check_file, file_sha256, is_file, user_path
from dfi_jax.storage.text import read_lines
from dfi_jax.vectors.attribute_vector import AttributeVector
from dfi_jax.vectors.fitted import FittedDataset

WRITE_BACKLOG = 16
"""Maximum number of edits that wait to be written, because each holds its photos in memory."""

FIELDS: dict[str, tuple[type, ...]] = {
    "photo": (str,),
    "attribute": (str,),
    "alphas": (list,),
    "face": (str, int, list),
    "mask": (str,),
    "name": (str,),
}
"""The fields of a line, and the types that each accepts."""


class Outcome(NamedTuple):
    """What became of a job.

    Attributes:
      job: The job.
      failure: Reason for the failure, in one sentence, or None if the edit was written.
      record: Record of the edit, or None if it failed.
    """

    job: Job
    failure: str | None = None
    record: dict[str, Any] | None = None


def read_manifest(
    path: Path,
    *,
    dataset: Dataset | FittedDataset | None = None,
    near: Nearness | None = None,
    k: int = DEFAULT_K,
    points: Literal[5, 68] = 5,
    warp: bool = False,
) -> list[Job]:
    """Returns the jobs of a manifest.

    Args:
      path: The manifest.
      dataset: The dataset for all jobs.
      near: The nearness for all jobs.
      k: Maximum number of images per set, for all jobs.
      points: Number of landmarks that detected faces are aligned by, for all jobs.
      warp: Whether faces are warped to the average face, for all jobs.

    Raises:
      FileError: If the manifest can't be read.
      InputError: If a line is invalid, in which case the message has its number, if there are no
        lines, or if two jobs have the same name.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     manifest = Path(folder, "jobs.jsonl")
    ...     _ = manifest.write_text('{"photo": "me.jpg", "attribute": "older"}')
    ...     [job.label for job in read_manifest(manifest)]
    ['me-older']
    """
    shared: dict[str, Any] = {
        "dataset": dataset,
        "near": near,
        "k": k,
        "points": points,
        "warp": warp,
    }
    jobs = []
    for number, line in enumerate(read_lines(path), 1):
        if line.strip():
            try:
                job = _parse_line(line, path.parent)
                jobs.append(dataclasses.replace(job, **shared))
            except DfiError as error:
                raise type(error)(f"{path}, line {number}: {error}") from None
    if not jobs:
        raise InputError(f"{path} is empty; write a line for each photo.")
    for label, times in Counter(job.label for job in jobs).items():
        if times > 1:
            raise InputError(
                f"{path} has {times} jobs with the name {label}; give each a `name` of its own."
            )
    return jobs


def select_unfinished(jobs: Sequence[Job], folder: Path, *, editor: Editor) -> list[Job]:
    """Returns the jobs whose results aren't in the folder yet.

    Args:
      jobs: The jobs.
      folder: The folder that has a subfolder for each job.
      editor: The editor whose recipe and network the results should have.

    Raises:
      FileError: If a job's subfolder has results that were made with another photo, mask, vector,
        recipe or network, with other images, or with another value of a field in `Job.request`.

    >>> job = Job(photo="me.jpg", attribute="older")
    >>> editor = Editor(weights="random-vgg16")
    >>> len(select_unfinished([job], Path("no-such-folder"), editor=editor))
    1
    """
    unfinished = []
    # Thousands of jobs may share a vector or images, which take milliseconds to read.
    compare = _Compare(
        editor=editor,
        vector_sha256=cache(lambda path: vector_record(AttributeVector.load(path))["sha256"]),
        images_sha256=cache(_images_sha256),
    )
    for job in jobs:
        try:
            made = json.loads((folder / job.label / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            made = None
        if not isinstance(made, dict) or not _has_files(folder / job.label, made):
            unfinished.append(job)
        elif differing := compare.find(made, job):
            raise FileError(
                f"{folder / job.label} has results with a different value of {differing[0]}; "
                f"choose another folder, or give the job another name."
            )
    return unfinished


class _Compare(NamedTuple):
    editor: Editor
    vector_sha256: Callable[[Path], str]
    images_sha256: Callable[[Dataset, tuple[str, ...]], str | None]

    def find(self, made: dict[str, Any], job: Job) -> list[str]:
        """Returns the names of what was different when a record was made."""
        found: dict[str, Any] = {}
        wanted: dict[str, Any] = {}
        for name, path in (("photo", job.photo), ("mask", job.mask)):
            if path is None or (isinstance(path, Path) and is_file(path)):
                wanted[name] = None if path is None else file_sha256(path)
                found[name] = _recorded_sha256(made, name)
        if isinstance(job.attribute, Path) and is_file(job.attribute):
            wanted["vector"] = self.vector_sha256(job.attribute)
            found["vector"] = _recorded_sha256(made, "vector")
        recipe = work_recipe(self.editor.resolved_recipe, masked=job.mask is not None)
        request = job.request(recipe) | {"dataset_sha256": job.dataset_sha256}
        request |= {"network": network_record(self.editor.vgg), "recipe": recipe.to_dict()}
        wanted |= request
        found |= {name: made.get(name) for name in request}
        for network in (found["network"], wanted["network"]):
            if isinstance(network, dict):
                # Whether convolutions are direct follows from the recipe and the device.
                network.pop("convolution", None)
        selections = made.get("selections")
        if isinstance(job.dataset, Dataset) and isinstance(selections, list):
            for i, selection in enumerate(selections):
                try:
                    names = (*selection["source"], *selection["target"])
                    found[f"the images of selection {i + 1}"] = selection["images_sha256"]
                    wanted[f"the images of selection {i + 1}"] = self.images_sha256(
                        job.dataset, names
                    )
                except (TypeError, KeyError):
                    continue
        return [
            name for name, value in wanted.items() if found[name] != json.loads(json.dumps(value))
        ]


def _images_sha256(dataset: Dataset, names: tuple[str, ...]) -> str | None:
    """Returns the fingerprint of images, or None if one of them doesn't exist any more."""
    rows = {name: row for row, name in enumerate(dataset.names)}
    try:
        return dataset.fingerprint(np.array([rows[name] for name in names], int))
    except (KeyError, FileError):
        return None


def _has_files(folder: Path, made: dict[str, Any]) -> bool:
    """Returns whether all pictures that a record names still exist."""
    files = made.get("files")
    return isinstance(files, list) and all(
        isinstance(name, str) and is_file(folder / name) for name in files
    )


def _recorded_sha256(made: dict[str, Any], name: str) -> str | None:
    described = made.get(name)
    return described.get("sha256") if isinstance(described, dict) else None


def check_files(jobs: Sequence[Job]) -> list[Outcome]:
    """Returns a failure for each job whose photo, mask or vector isn't a file.

    >>> check_files([Job(photo=Path("no-such.jpg"), attribute="older")])[0].failure
    "no-such.jpg doesn't exist; check the path."
    """
    failures = []
    for job in jobs:
        paths = [path for path in (job.photo, job.mask, job.attribute) if isinstance(path, Path)]
        try:
            for path in paths:
                check_file(path)
        except FileError as error:
            failures.append(Outcome(job, str(error)))
    return failures


def _check_folders(jobs: Sequence[Job], folder: Path) -> list[Outcome]:
    """Returns a failure for each job whose results can't be written."""
    failures = []
    for job in jobs:
        place = folder / job.label
        try:
            check_folder(place, overwrite=True)
            if place.is_dir() and not os.access(place, os.W_OK):
                raise FileError(f"{place} can't be written to; check its permissions.")
        except OSError as error:
            if not isinstance(error, FileError):
                error = FileError(
                    f"{place} can't be written to ({error.strerror}); change its name."
                )
            failures.append(Outcome(job, str(error)))
    return failures


def run_jobs(
    editor: Editor,
    jobs: Sequence[Job],
    folder: Path,
    *,
    on_progress: OnProgress | None = None,
) -> Iterator[Outcome]:
    """Edits the photos of jobs, and writes each edit as soon as it is done.

    A separate thread writes the edits while the devices work.

    Args:
      editor: The editor.
      jobs: The jobs.
      folder: The folder that gets a subfolder for each job.
      on_progress: Function that is called with the progress of every phase, and with the number of
        jobs that have an outcome.

    Yields:
      The outcome of each job, as soon as it is known. After a failure, the other jobs continue.

    >>> import dfi_jax
    >>> quick = {"features.layers": "conv1_1", "solver.iterations": "1"}
    >>> recipe = dfi_jax.Recipe().set(quick)
    >>> editor = Editor(recipe=recipe, weights="random-vgg16", cache=None)
    >>> job = Job(photo=Path("no-such.jpg"), attribute="older")
    >>> [outcome.failure for outcome in run_jobs(editor, [job], Path("no-such-folder"))]
    ["no-such.jpg doesn't exist; check the path."]
    """
    failures = check_files(jobs)
    missing = {id(failure.job) for failure in failures}
    failures += _check_folders([job for job in jobs if id(job) not in missing], folder)
    missing = {id(failure.job) for failure in failures}
    writing: deque[tuple[Job, Edit, Future[list[Path]]]] = deque()
    finished = 0

    def fail(job: Job, error: DfiError) -> None:
        failures.append(Outcome(job, str(error)))

    def count(outcome: Outcome) -> Outcome:
        nonlocal finished
        finished += 1
        if on_progress is not None:
            on_progress(Progress(phase="edits", done=finished, total=len(jobs), unit="edits"))
        return outcome

    def written() -> Outcome:
        job, edit, saving = writing.popleft()
        try:
            saving.result()
        except DfiError as error:
            return Outcome(job, str(error))
        return Outcome(job, record=edit.record)

    todo = [job for job in jobs if id(job) not in missing]
    with ThreadPoolExecutor(max_workers=1) as writer:
        for job, edit in editor.edit_many(todo, on_failure=fail, on_progress=on_progress):
            # An interrupted run may have left files of this edit, but no result.json.
            saving = writer.submit(edit.save, folder / job.label, overwrite=True)
            writing.append((job, edit, saving))
            while writing and (writing[0][2].done() or len(writing) > WRITE_BACKLOG):
                yield count(written())
            while failures:
                yield count(failures.pop(0))
        while writing:
            yield count(written())
    while failures:
        yield count(failures.pop(0))


def _parse_line(line: str, folder: Path) -> Job:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"it isn't JSON ({error}).") from None
    if not isinstance(values, dict):
        raise InputError('give an object, such as {"photo": "me.jpg", "attribute": "older"}.')
    for key, value in values.items():
        if key not in FIELDS:
            raise InputError(f"the field {key!r} is unknown; use {', '.join(FIELDS)}.")
        if isinstance(value, bool) or not isinstance(value, FIELDS[key]):
            kinds = " or ".join(
                {str: "text", int: "a number", list: "a list"}[t] for t in FIELDS[key]
            )
            raise InputError(f"{key} is {value!r}; give {kinds}.")
    if not values.get("photo") or not values.get("attribute"):
        raise InputError("photo or attribute is missing; give both.")
    if values.get("mask") == "":
        raise InputError("mask is empty; give an image, or leave the field out.")
    options: dict[str, Any] = {}
    if "alphas" in values:
        if not all(isinstance(a, int | float) and type(a) is not bool for a in values["alphas"]):
            raise InputError(f"alphas is {values['alphas']}; give a list of numbers.")
        try:
            options["alphas"] = tuple(float(alpha) for alpha in values["alphas"])
        except OverflowError:
            raise InputError("alphas has a number that is too large; give a smaller one.") from None
    if "face" in values:
        options["face"] = _parse_face(values["face"])
    if "mask" in values:
        options["mask"] = folder / user_path(values["mask"])
    attribute = values["attribute"]
    if is_vector_file(attribute):
        attribute = folder / user_path(attribute)
    job = Job(
        photo=folder / user_path(values["photo"]),
        attribute=attribute,
        name=values.get("name", ""),
        **options,
    )
    named = job.label == Path(job.label).name and job.label not in ("", ".", "..")
    # A name that can't be shown, such as one with NUL, can't be that of a folder either.
    if not named or one_line(job.label) != job.label:
        raise InputError(f"name is {job.label!r}; give the name of a folder.")
    return job


def _parse_face(value: str | int | list[Any]) -> FaceLike:
    if isinstance(value, list):
        if len(value) != 4 or not all(type(edge) is int for edge in value):
            raise InputError(f"face is {value}; give a box as four integers, [x0, y0, x1, y1].")
        x0, y0, x1, y1 = value
        return x0, y0, x1, y1
    if isinstance(value, int):
        value = str(value)
    return parse_face(value)
