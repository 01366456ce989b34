import json
import os
import re
import time
import typing
from pathlib import Path

import numpy as np
import pytest
from commands import dfi, fails, succeeds
from manifests import OPTIONS, RECIPE, batch, record, run, write

from dfi_jax import Editor, FileError, InputError, Job, Progress
from dfi_jax.manifest import read_manifest, run_jobs, select_unfinished
from dfi_jax.photo.photo import read

pytestmark = pytest.mark.usefixtures("without_faces")


def test_every_line_gets_a_folder_like_that_of_an_edit(folder):
    printed = succeeds(*batch(folder)).split()
    names = ["me-smile", "you-frown", "my-face"]
    # Results are printed in the manifest's order.
    assert printed == [str(folder / "out" / name) for name in names]
    assert record(folder / "out" / "me-smile")["alphas"] == [0.1, 0.3]
    assert record(folder / "out" / "my-face")["placement"] == [10, 10, 110, 110]
    options = [*OPTIONS, "--face", "whole", "-a", "0.1,0.3", "-o", folder / "single"]
    succeeds("edit", folder / "me.png", folder / "smile.safetensors", *options)
    for name in ("alpha-0.1.png", "alpha-0.3.png"):
        single, many = (folder / part / name for part in ("single", "out/me-smile"))
        assert single.read_bytes() == many.read_bytes()


def test_each_process_does_its_share_of_the_lines(folder, monkeypatch):
    photos = [f"absent-{i}.png" for i in range(5)]
    write(folder, *({"photo": name, "attribute": "smile.safetensors"} for name in photos))
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    for index, share in ((1, {"1", "3"}), (0, {"0", "2", "4"})):  # Nobody waits for another.
        monkeypatch.setenv("JAX_PROCESS_ID", str(index))
        result = dfi(*batch(folder, "--distributed"))
        assert set(re.findall(r"absent-(\d)", result.stderr)) == share
        assert f"{len(share)} of {len(share)} edits failed" in result.stderr
    monkeypatch.setenv("JAX_NUM_PROCESSES", "9")
    monkeypatch.setenv("JAX_PROCESS_ID", "8")  # It has nothing to do.
    result = dfi(*batch(folder, "--distributed"))
    assert (result.exit_code, result.stdout) == (0, "")
    assert "has 5 edits, none of which is for this process" in result.stderr


def test_only_few_edits_wait_to_be_written_and_one_that_cannot_be_is_a_failure(
    tmp_path, random_vgg, monkeypatch
):
    taken, saved, waiting = [], [], []

    class Slow:
        record: typing.ClassVar = {}

        def save(self, folder, *, overwrite):
            time.sleep(0.02)
            saved.append(folder.name)
            if folder.name == "7":
                raise FileError("the disk is full.")
            if folder.name == "9":
                raise MemoryError("no room")

    def edit_many(editor, jobs, **_):
        for job in jobs:
            taken.append(job.name)
            waiting.append(len(taken) - len(saved))
            yield job, Slow()

    monkeypatch.setattr(Editor, "edit_many", edit_many)
    monkeypatch.setattr("dfi_jax.manifest.run.WRITE_BACKLOG", 2)
    jobs = [Job(photo="me.png", attribute="older", name=str(i)) for i in range(12)]
    outcomes = run(Editor(weights=random_vgg), jobs, tmp_path)
    assert [outcome.job.name for outcome in outcomes] == saved == taken
    failures = {outcome.job.name: outcome.failure for outcome in outcomes if outcome.failure}
    assert failures["7"] == "the disk is full."
    assert failures["9"].startswith("its results couldn't be written because of MemoryError (no ro")
    assert [outcome.job.name for outcome in outcomes if outcome.record is None] == ["7", "9"]
    assert max(waiting) <= 3


class Made:
    """An edit that is written at once."""

    record: typing.ClassVar = {}

    def save(self, folder, *, overwrite):
        pass


def test_outcomes_are_announced_in_the_manifest_s_order_while_others_are_made(
    tmp_path, random_vgg, monkeypatch
):
    outcomes, ended = [], []
    working = Progress(phase="reconstruction", done=1, total=2, unit="evaluations")

    def edit_many(editor, jobs, *, on_failure, on_progress):
        edited, faceless, first = jobs
        assert len(outcomes) == 1
        yield first, Made()
        on_failure(faceless, InputError("no face."))
        assert len(outcomes) == 1
        yield edited, Made()
        for _ in range(5000):  # A photo that takes 5 s at most.
            on_progress(working)
            if len(outcomes) == 5:
                break
            time.sleep(0.001)
        ended.append(len(outcomes))

    monkeypatch.setattr(Editor, "edit_many", edit_many)
    names = ["missing", "edited", "faceless", "first", "file"]
    photos = [tmp_path / "no-such.png", *["me.png"] * 4]
    jobs = [Job(photo=p, attribute="older", name=n) for p, n in zip(photos, names, strict=True)]
    (tmp_path / "file").touch()
    run_jobs(Editor(weights=random_vgg), jobs, tmp_path, on_outcome=outcomes.append)
    assert [outcome.job.name for outcome in outcomes] == names
    assert ended == [5]


def test_a_failure_ends_no_other_edit_and_is_listed(folder):
    (folder / "broken.png").write_text("<html>")
    lines = [
        {"photo": "absent.png", "attribute": "smile.safetensors"},
        {"photo": "broken.png", "attribute": "smile.safetensors", "face": "whole"},
        {"photo": "me.png", "attribute": "smile.safetensors", "face": "whole"},
        {"photo": "me.png", "attribute": "absent.safetensors", "face": "whole"},
    ]
    write(folder, *lines)
    result = dfi(*batch(folder))
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    assert (folder / "out" / "me-smile" / "result.json").is_file()
    assert "comparing with earlier results" in result.stderr
    assert "3 of 4 edits failed" in result.stderr
    for name in ("absent-smile", "broken-smile", "me-absent"):
        assert name in result.stderr
        assert not (folder / "out" / name).exists()


def test_a_vector_that_was_damaged_since_an_earlier_run_ends_no_other_edit(folder, random_vgg):
    jobs = read_manifest(folder / "jobs.jsonl")
    (folder / "out" / "me-smile").mkdir(parents=True)
    (folder / "out" / "me-smile" / "result.json").write_text('{"files": []}')
    (folder / "smile.safetensors").write_text("<html>")
    (folder / "out" / "you-frown").mkdir()
    os.mkfifo(folder / "out" / "you-frown" / "result.json")  # Nobody waits for it.
    editor = Editor(weights=random_vgg, recipe=RECIPE, cache=None)
    assert select_unfinished(jobs, folder / "out", editor=editor) == jobs


def test_an_edit_that_cannot_be_written_is_a_failure(folder, random_vgg):
    (folder / "out").mkdir()
    (folder / "out" / "you-frown").write_text("a file in the way")
    editor = Editor(weights=random_vgg, recipe=RECIPE, cache=None)
    jobs = read_manifest(folder / "jobs.jsonl")
    seen = []
    outcomes = run(editor, jobs, folder / "out", on_progress=seen.append)
    failures = {outcome.job.label: outcome.failure for outcome in outcomes if outcome.failure}
    assert set(failures) == {"you-frown"}
    assert "is a file" in failures["you-frown"]
    assert len(outcomes) == 3
    edits = [(progress.done, progress.total) for progress in seen if progress.phase == "edits"]
    assert edits == [(1, 3), (2, 3), (3, 3)]
    left = select_unfinished(jobs, folder / "out", editor=editor)
    assert [job.label for job in left] == ["you-frown"]


def test_json_is_for_scripts(folder):
    result = dfi(*batch(folder, "--json", "--quiet"))
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["attribute"] for line in lines] == ["smile", "frown", "frown"]


def test_a_mask_and_a_starter_are_fields_of_a_line(folder):
    mask = np.zeros((140, 120, 3), np.uint8)
    from PIL import Image

    Image.fromarray(mask).save(folder / "mask.png")
    line = {"photo": "me.png", "attribute": "smile.safetensors", "face": "whole", "alphas": [30]}
    write(folder, line | {"mask": "mask.png", "name": "masked"}, line | {"name": "free"})
    succeeds(*batch(folder))
    photo = read(folder / "me.png")
    masked, free = (read(folder / "out" / name / "alpha-30.png") for name in ("masked", "free"))
    np.testing.assert_array_equal(masked, photo)
    assert np.abs(free - photo).max() > 0


def test_a_process_must_know_which_it_is(folder, monkeypatch):
    monkeypatch.delenv("JAX_PROCESS_ID", raising=False)
    sentence = fails(*batch(folder, "--distributed"))
    assert "set JAX_NUM_PROCESSES and JAX_PROCESS_ID" in sentence
    assert not (folder / "out").exists()


def test_a_folder_that_cannot_be_written_is_found_before_the_others_are_edited(folder, monkeypatch):
    lines = [
        {"photo": "me.png", "attribute": "smile.safetensors", "face": "whole", "name": name}
        for name in ("fine", "file", "link", "locked", "x" * 300)
    ]
    (folder / "out" / "locked").mkdir(parents=True)
    (folder / "out" / "file").touch()
    (folder / "out" / "link").symlink_to("nowhere")
    # Root may write into every folder.
    monkeypatch.setattr("os.access", lambda path, _: Path(path).name != "locked")
    write(folder, *lines)
    editor = Editor(weights="random-vgg16", recipe=RECIPE)
    outcomes = run(editor, read_manifest(folder / "jobs.jsonl"), folder / "out")
    failures = {outcome.job.label: outcome.failure for outcome in outcomes}
    assert failures.pop("fine") is None
    file, link, locked, long = failures.values()  # In the manifest's order.
    assert "file is a file; choose a folder" in file
    assert "link is a link to nowhere; choose" in link
    assert "locked can't be written to; check its permissions" in locked
    assert "can't be written to (File name too long); choose another folder or name" in long
