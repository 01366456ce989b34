"""Edits of many photos, each written as soon as it is done. A failure ends no other edit."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from dfi_jax.editor.editor import Editor
from dfi_jax.editor.job import Job
from dfi_jax.editor.result import Edit, check_folder
from dfi_jax.errors import DfiError, FileError
from dfi_jax.progress import OnProgress, Progress
from dfi_jax.storage.files import check_file

WRITE_BACKLOG = 16
"""Maximum number of edits that wait to be written, because each holds its photos in memory."""


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


def _without(failures: Sequence[Outcome], jobs: Sequence[Job]) -> list[Job]:
    """Returns the jobs that haven't failed."""
    failed = {id(failure.job) for failure in failures}
    return [job for job in jobs if id(job) not in failed]


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
    failures += _check_folders(_without(failures, jobs), folder)
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

    todo = _without(failures, jobs)
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
