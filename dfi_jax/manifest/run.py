"""Edits of many photos, each written as soon as it is done. A failure ends no other edit."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from dfi_jax.editor.editor import Editor
from dfi_jax.editor.job import Job
from dfi_jax.editor.result import check_folder
from dfi_jax.errors import DfiError, FileError, one_line
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


OnOutcome = Callable[[Outcome], None]
"""A function that is called with the outcome of a job."""


def check_files(jobs: Sequence[Job]) -> list[Outcome]:
    """Returns a failure for each job whose photo, mask or vectors aren't all files.

    >>> check_files([Job(photo=Path("no-such.jpg"), attribute="older")])[0].failure
    "no-such.jpg doesn't exist; check the path."
    """
    failures = []
    for job in jobs:
        given = (job.photo, job.mask, job.attribute, *job.finer)
        paths = [path for path in given if isinstance(path, Path)]
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
        except FileError as error:
            failures.append(Outcome(job, str(error)))
    return failures


def run_jobs(
    editor: Editor,
    jobs: Sequence[Job],
    folder: Path,
    *,
    on_outcome: OnOutcome,
    on_progress: OnProgress | None = None,
) -> None:
    """Edits the photos of jobs, and writes each edit as soon as it is done.

    A separate thread writes the edits while the devices work.

    Args:
      editor: The editor.
      jobs: The jobs, all different.
      folder: The folder that gets a subfolder for each job.
      on_outcome: Function that is called with the outcome of each job, as soon as it and those of
        all jobs before it are known. After a failure, the other jobs continue.
      on_progress: Function that is called with the progress of every phase, and with the number of
        jobs that have an outcome.

    >>> import dfi_jax
    >>> quick = {"features.layers": "conv1_1", "solver.iterations": "1"}
    >>> recipe = dfi_jax.Recipe().set(quick)
    >>> editor = Editor(recipe=recipe, weights="random-vgg16", cache=None)
    >>> job = Job(photo=Path("no-such.jpg"), attribute="older")
    >>> run_jobs(editor, [job], Path("out"), on_outcome=lambda outcome: print(outcome.failure))
    no-such.jpg doesn't exist; check the path.
    """
    known = {outcome.job: outcome for outcome in check_files(jobs)}
    possible = [job for job in jobs if job not in known]
    known |= {outcome.job: outcome for outcome in _check_folders(possible, folder)}
    possible = [job for job in possible if job not in known]
    writing: deque[tuple[Job, dict[str, Any], Future[list[Path]]]] = deque()
    announced = 0

    def end_writing() -> None:
        job, record, saving = writing.popleft()
        try:
            saving.result()
        except DfiError as error:
            known[job] = Outcome(job, str(error))
        except Exception as error:  # One photo's results mustn't cost those of the others.
            reason = one_line(f"{type(error).__name__} ({error})")
            known[job] = Outcome(
                job,
                f"its results couldn't be written because of {reason}; rerun this edit alone with "
                f"`dfi edit --debug` for a traceback.",
            )
        else:
            known[job] = Outcome(job, record=record)

    def announce() -> None:
        nonlocal announced
        while writing and (writing[0][2].done() or len(writing) > WRITE_BACKLOG):
            end_writing()
        while announced < len(jobs) and jobs[announced] in known:
            on_outcome(known.pop(jobs[announced]))
            announced += 1
            if on_progress is not None:
                on_progress(Progress(phase="edits", done=announced, total=len(jobs), unit="edits"))

    def fail(job: Job, error: DfiError) -> None:
        known[job] = Outcome(job, str(error))
        announce()

    def watch(progress: Progress) -> None:
        # The next edit may take long, and an edit is written long before that.
        announce()
        if on_progress is not None:
            on_progress(progress)

    announce()
    with ThreadPoolExecutor(max_workers=1) as writer:
        for job, edit in editor.edit_many(possible, on_failure=fail, on_progress=watch):
            # An interrupted run may have left files of this edit, but no result.json.
            saving = writer.submit(edit.save, folder / job.label, overwrite=True)
            writing.append((job, edit.record, saving))
            announce()
        while writing:
            end_writing()
            announce()
