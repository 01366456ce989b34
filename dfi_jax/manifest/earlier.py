"""Comparison of a job with the results of an earlier run, before these count as the job's own."""

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dfi_jax.data.dataset import Dataset
from dfi_jax.editor.assembly import work_recipe
from dfi_jax.editor.editor import Editor
from dfi_jax.editor.job import Job
from dfi_jax.editor.record import PACKAGES, device, network_record, vector_record, versions
from dfi_jax.errors import DfiError, FileError
from dfi_jax.storage.files import file_sha256, is_file
from dfi_jax.vectors.attribute_vector import AttributeVector

ENDS = {".png": b"IEND\xaeB`\x82", ".jpg": b"\xff\xd9"}
"""The last bytes of a PNG and a JPEG file."""

OWN_FILES = ("photo", "mask")
"""Files of a job alone. If they changed, another job's results may still be right; if the recipe,
say, is another one, a run would mix its results with the earlier ones."""

TAIL = 4096
"""Number of bytes in which the end is looked for. Programs may append something to a picture."""


def select_unfinished(
    jobs: Sequence[Job],
    folder: Path,
    *,
    editor: Editor,
    on_different: Callable[[str], None] | None = None,
    on_failure: Callable[[Job, FileError], None] | None = None,
) -> list[Job]:
    """Returns the jobs whose results aren't in the folder yet.

    Args:
      jobs: The jobs.
      folder: The folder that has a subfolder for each job.
      editor: The editor whose recipe and network the results should have.
      on_different: Function that is called for each job whose results were made with other
        versions of packages or on another kind of device, with their names, as in `jax 0.9.0` or
        `the device NVIDIA H100`. Such results count as finished.
      on_failure: Function that is called for each job whose results were made with another photo
        or mask. Such a job isn't returned. Without the function, the error is raised.

    Raises:
      FileError: If a job's subfolder has results that were made with another vector, recipe or
        network, with other images, or with another value of a field in `Job.request`.

    >>> job = Job(photo="me.jpg", attribute="older")
    >>> editor = Editor(weights="random-vgg16")
    >>> len(select_unfinished([job], Path("no-such-folder"), editor=editor))
    1
    """
    unfinished = []
    now = _made_with({"versions": versions(), "device": device()})
    # Thousands of jobs may share a vector or images, which take milliseconds to read.
    compare = _Compare(
        editor=editor,
        vector_sha256=cache(lambda path: vector_record(AttributeVector.load(path))["sha256"]),
        images_sha256=cache(_images_sha256),
    )
    for job in jobs:
        record = folder / job.label / "result.json"
        made: Any = None
        with contextlib.suppress(OSError, ValueError, RecursionError):
            if is_file(record):
                made = json.loads(record.read_text(encoding="utf-8"))
        whole = isinstance(made, dict) and _has_files(folder / job.label, made)
        try:
            differing = compare.find(made, job) if whole else None
        except DfiError:  # A file of the job can't be read, which is that job's failure alone.
            differing = None
        if differing is None:
            unfinished.append(job)
        elif differing:
            error = FileError(
                f"{folder / job.label} has results with a different value of {differing[0]}; "
                f"choose another folder, or give the job another name."
            )
            if on_failure is None or not set(differing) <= set(OWN_FILES):
                raise error
            on_failure(job, error)
        elif on_different is not None:
            then = _made_with(made)
            if differing := [text for name, text in then.items() if text != now[name]]:
                on_different(", ".join(differing))
    return unfinished


class _Compare(NamedTuple):
    editor: Editor
    vector_sha256: Callable[[str | Path], str]
    images_sha256: Callable[[Dataset, tuple[str, ...]], str | None]

    def find(self, made: dict[str, Any], job: Job) -> list[str]:
        """Returns the names of what was different when a record was made."""
        found: dict[str, Any] = {}
        wanted: dict[str, Any] = {}
        for name, path in (("photo", job.photo), ("mask", job.mask)):
            if path is None or (isinstance(path, Path) and is_file(path)):
                wanted[name] = None if path is None else file_sha256(path)
                found[name] = _sha256(made.get(name))
        if isinstance(job.attribute, Path) and is_file(job.attribute):
            wanted["vector"] = self.vector_sha256(job.attribute)
            found["vector"] = _sha256(made.get("vector"))
        recorded = made.get("finer", [])  # Earlier records have none.
        found["finer"] = list(map(_sha256, recorded)) if isinstance(recorded, list) else recorded
        wanted["finer"] = self._finer(job, found["finer"])
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

    def _finer(self, job: Job, recorded: Any) -> list[Any]:
        """Returns the SHA-256 of each finer vector of a job, as recorded if its file is gone."""
        known = [
            vector_record(vector)["sha256"]
            if isinstance(vector, AttributeVector)
            else self.vector_sha256(vector)
            if is_file(Path(vector))
            else None
            for vector in job.finer
        ]
        if not isinstance(recorded, list) or len(recorded) != len(known):
            return known
        return [now or before for now, before in zip(known, recorded, strict=True)]


def _made_with(record: dict[str, Any]) -> dict[str, str]:
    """Returns texts about the packages and the device of a record, by the package or `device`."""
    packages, made_on = (
        value if isinstance(value := record.get(name), dict) else {}
        for name in ("versions", "device")
    )
    texts = {name: f"{name} {packages.get(name, 'of an unknown version')}" for name in PACKAGES}
    return texts | {"device": f"the device {made_on.get('kind', 'of an unknown kind')}"}


def _images_sha256(dataset: Dataset, names: tuple[str, ...]) -> str | None:
    """Returns the fingerprint of images, or None if one of them doesn't exist any more."""
    rows = {name: row for row, name in enumerate(dataset.names)}
    try:
        return dataset.fingerprint(np.array([rows[name] for name in names], int))
    except (KeyError, FileError):
        return None


def _has_files(folder: Path, made: dict[str, Any]) -> bool:
    """Returns whether all pictures that a record names still exist and aren't cut short."""
    files = made.get("files")
    return isinstance(files, list) and all(
        isinstance(name, str) and is_file(folder / name) and _is_whole(folder / name)
        for name in files
    )


def _is_whole(picture: Path) -> bool:
    """Returns whether a picture has an end, as it has unless a copy of it was interrupted."""
    try:
        with picture.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return ENDS.get(picture.suffix, b"") in file.read()
    except OSError:  # It exists, even if only others may read it.
        return True


def _sha256(described: Any) -> Any:
    """Returns the SHA-256 in a part of a record, or the part itself if it has none."""
    return described.get("sha256") if isinstance(described, dict) else described
