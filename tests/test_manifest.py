import dataclasses
import json
import os
import re
import shutil
import time
import typing
from pathlib import Path

import numpy as np
import pytest
from builders import LAYERS, make_vector, small_recipe
from commands import dfi, fails, succeeds
from PIL import Image

from dfi_jax import (
    RULES,
    DfiError,
    Editor,
    FileError,
    InputError,
    Job,
    Progress,
    Rule,
    load_dataset,
    near,
    starter,
)
from dfi_jax.data import folders
from dfi_jax.editor.record import device, network_record, versions
from dfi_jax.manifest import check_files, read_manifest, run_jobs, select_unfinished
from dfi_jax.photo.photo import read

pytestmark = pytest.mark.usefixtures("without_faces")

RECIPE = small_recipe(size=32, iterations=2)
OPTIONS = ["--weights", "random-vgg16", "--set", f"features.layers={','.join(LAYERS)}"]
OPTIONS += ["--set", "features.size=32", "--set", "solver.iterations=2"]


@pytest.fixture
def folder(photo, random_vgg, tmp_path):
    """A folder with two photos, two vectors, and a manifest of three edits."""
    for i, name in enumerate(("smile", "frown")):
        make_vector(random_vgg, RECIPE, i).save(tmp_path / f"{name}.safetensors", dtype="int8")
    shutil.copy(photo, tmp_path / "you.png")
    write(
        tmp_path,
        {
            "photo": "me.png",
            "attribute": "smile.safetensors",
            "alphas": [0.1, 0.3],
            "face": "whole",
        },
        {"photo": "you.png", "attribute": "frown.safetensors", "face": "whole"},
        {
            "photo": "me.png",
            "attribute": "frown.safetensors",
            "face": [10, 10, 110, 110],
            "name": "my-face",
        },
    )
    return tmp_path


def write(folder, *jobs):
    text = "\n".join(job if isinstance(job, str) else json.dumps(job) for job in jobs)
    (folder / "jobs.jsonl").write_text(text)
    return folder / "jobs.jsonl"


def batch(folder, *options):
    return ["batch", folder / "jobs.jsonl", "-o", folder / "out", *OPTIONS, *options]


def run(editor, jobs, folder, **options):
    outcomes = []
    run_jobs(editor, jobs, folder, on_outcome=outcomes.append, **options)
    return outcomes


def record(folder):
    return json.loads((folder / "result.json").read_text())


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


def test_finished_edits_are_skipped(folder):
    succeeds(*batch(folder))
    (folder / "out" / "you-frown" / "result.json").unlink()
    times = {path: path.stat().st_mtime_ns for path in (folder / "out").glob("*/result.json")}
    result = dfi(*batch(folder))
    assert result.stdout.split() == [str(folder / "out" / "you-frown")]
    assert "2 of 3 edits are finished already" in result.stderr
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    (folder / "you.png").unlink()  # Its edit is finished, and doesn't need it any more.
    assert succeeds(*batch(folder)) == ""


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"alphas": [0.1]}, "alphas"),
        ({"face": [0, 0, 100, 100]}, "face"),
        ({"mask": "mask.png"}, "mask"),
    ],
)
def test_results_that_were_asked_for_differently_are_not_taken_for_these(folder, change, what):
    job = {"photo": "me.png", "attribute": "smile.safetensors", "face": "whole", "name": "me"}
    write(folder, job)
    shutil.copy(folder / "me.png", folder / "mask.png")
    succeeds(*batch(folder))
    write(folder, job | change)
    assert f"has results with a different value of {what}" in fails(*batch(folder))


@pytest.fixture
def pair(tmp_path):
    """Two folders of 12 images each, and a copy of the second in which one image differs."""
    rng = np.random.default_rng(0)
    for name in ("without", "with"):
        for i in range(12):
            (tmp_path / name).mkdir(exist_ok=True)
            noise = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / name / f"{i}.png")
    shutil.copytree(tmp_path / "with", tmp_path / "other" / "with")
    shutil.copy(tmp_path / "without" / "0.png", tmp_path / "other" / "with" / "5.png")
    return tmp_path


def test_results_of_other_images_are_not_taken_for_these(folder, pair):
    write(folder, {"photo": "me.png", "attribute": "Target", "face": "whole", "name": "me"})
    run = [*batch(folder), "--dataset", f"pair:{pair}/without:{pair}/with"]
    succeeds(*run)
    assert succeeds(*run) == ""
    other = [*run[:-1], f"pair:{pair}/without:{pair}/other/with"]
    assert "has results with a different value of dataset_sha256" in fails(*other)
    shutil.copy(pair / "other" / "with" / "5.png", pair / "with" / "5.png")
    assert "has results with a different value of the images of selection 1" in fails(*run)


@pytest.mark.parametrize("left", [0, 0.5, 0.999])
def test_an_edit_whose_picture_is_cut_short_is_made_again(tmp_path, random_vgg, left):
    editor = Editor(weights=random_vgg, cache=None)
    job = Job(photo="me.png", attribute="older", face="whole", name="me")
    write_record(tmp_path, job, editor, files=["alpha-1.png", "alpha-2.jpg"])
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    for name in ("alpha-1.png", "alpha-2.jpg"):
        Image.fromarray(noise).save(tmp_path / "me" / name)
    assert select_unfinished([job], tmp_path, editor=editor) == []
    for name in ("alpha-1.png", "alpha-2.jpg"):
        picture = tmp_path / "me" / name
        content = picture.read_bytes()
        picture.write_bytes(content[: int(left * len(content))])
        assert select_unfinished([job], tmp_path, editor=editor) == [job]
        picture.write_bytes(content + b"of another program")
    assert select_unfinished([job], tmp_path, editor=editor) == []


def test_an_edit_whose_picture_is_gone_is_made_again(folder):
    write(folder, {"photo": "me.png", "attribute": "smile.safetensors", "face": "whole"})
    (name,) = succeeds(*batch(folder)).split()
    pictures = list((folder / "out" / "me-smile").glob("alpha-*"))
    content = pictures[0].read_bytes()
    pictures[0].write_bytes(b"")
    assert succeeds(*batch(folder)).split() == [name]
    assert pictures[0].read_bytes() == content
    pictures[0].unlink()
    jobs = read_manifest(folder / "jobs.jsonl")
    assert select_unfinished(jobs, folder / "out", editor=Editor(weights="random-vgg16")) == jobs


def test_results_of_another_recipe_network_or_photo_are_not_taken_for_these(folder):
    write(folder, {"photo": "me.png", "attribute": "smile.safetensors", "face": "whole"})
    succeeds(*batch(folder))
    for options, what in (
        (["--set", "solver.memory=3"], "recipe"),
        (["--precision", "tf32"], "network"),
    ):
        assert f"has results with a different value of {what}" in fails(*batch(folder, *options))
    shutil.copy(folder / "you.png", folder / "me.png")
    succeeds(*batch(folder))  # The new file has the same content.
    (folder / "me.png").write_bytes((folder / "out/me-smile/sheet.png").read_bytes())
    assert "has results with a different value of photo" in fails(*batch(folder))


def write_record(folder, job, editor, **changes):
    """Writes what an edit without pictures would have in its record."""
    made = job.request(editor.recipe) | {
        "recipe": editor.recipe.to_dict(),
        # On another device, the same convolutions may be computed in another way.
        "network": network_record(editor.vgg) | {"convolution": "another"},
        "dataset_sha256": job.dataset_sha256,
        "files": [],
        "versions": versions(),
        "device": device(),
    }
    (folder / job.label).mkdir(exist_ok=True)
    (folder / job.label / "result.json").write_text(json.dumps(made | changes))


def test_images_of_every_selection_are_compared(tmp_path, random_vgg):
    editor = Editor(weights=random_vgg, cache=None)
    people = load_dataset("synthetic:2")
    job = Job(photo="me.png", attribute="Smiling", dataset=people, face="whole", name="me")
    first, second = ([name] for name in people.names)
    used = {"source": first, "target": second, "images_sha256": people.fingerprint(np.arange(2))}
    unreadable = [7, {}]
    write_record(tmp_path, job, editor, selections=[*unreadable, used])
    assert select_unfinished([job], tmp_path, editor=editor) == []
    for changes in ({"images_sha256": "0"}, {"source": ["nobody"]}, {"target": first}):
        write_record(tmp_path, job, editor, selections=[*unreadable, used | changes])
        with pytest.raises(FileError, match="a different value of the images of selection 3;"):
            select_unfinished([job], tmp_path, editor=editor)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attribute", "smiling"),
        ("alphas", (0.5,)),
        ("dataset", None),
        ("near", near.pixels),
        ("k", 7),
        ("rule", "leave_out=image"),
        ("face", 2),
        ("points", 68),
        ("warp", True),
        ("finer", (starter("older"),)),
    ],
)
def test_results_with_another_value_of_any_field_are_not_taken_for_these(
    tmp_path, random_vgg, field, value
):
    editor = Editor(weights=random_vgg, cache=None)
    people = load_dataset("synthetic:2")
    job = Job(photo="me.png", attribute="older", dataset=people, face="whole", name="me")
    write_record(tmp_path, job, editor)
    changed = dataclasses.replace(job, **{field: value})
    with pytest.raises(FileError, match=f"has results with a different value of {field};"):
        select_unfinished([changed], tmp_path, editor=editor)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, []),
        ({"versions": versions() | {"jax": "0.0.1"}}, ["jax 0.0.1"]),
        ({"device": {"kind": "Abacus"}}, ["the device Abacus"]),
        ({"device": None}, ["the device of an unknown kind"]),
    ],
)
def test_results_of_other_versions_or_devices_count_as_finished_and_are_told(
    tmp_path, random_vgg, changes, told
):
    editor = Editor(weights=random_vgg, cache=None)
    job = Job(photo="me.png", attribute="older", face="whole", name="me")
    write_record(tmp_path, job, editor, **changes)
    different = []
    assert not select_unfinished([job], tmp_path, editor=editor, on_different=different.append)
    assert different == told


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
    assert failures == {"7": "the disk is full."}
    assert [outcome.job.name for outcome in outcomes if outcome.record is None] == ["7"]
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


@pytest.mark.parametrize("what", ["mask", "vector", "finer"])
def test_results_with_other_content_of_a_file_are_not_taken_for_these(folder, random_vgg, what):
    shutil.copy(folder / "me.png", folder / "mask.png")
    finer = make_vector(random_vgg, RECIPE.set({"features.size": "48"}))
    finer.save(folder / "large.safetensors")
    job = {"photo": "me.png", "attribute": "smile.safetensors", "face": "whole"}
    given = {"finer": ["large.safetensors"]} if what == "finer" else {"mask": "mask.png"}
    write(folder, job | given)
    succeeds(*batch(folder))
    assert "finished already" in dfi(*batch(folder)).stderr
    if what == "mask":
        with Image.open(folder / "me.png") as picture:
            picture.rotate(180).save(folder / "mask.png")
    elif what == "vector":
        shutil.copy(folder / "frown.safetensors", folder / "smile.safetensors")
    else:
        (folder / "large.safetensors").unlink()  # A finished edit doesn't need it any more.
        assert "finished already" in dfi(*batch(folder)).stderr
        finer.opposite().save(folder / "large.safetensors")
    assert f"has results with a different value of {what}" in fails(*batch(folder))


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
    assert "3 of 4 edits failed" in result.stderr
    for name in ("absent-smile", "broken-smile", "me-absent"):
        assert name in result.stderr
        assert not (folder / "out" / name).exists()


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


def test_paths_in_a_manifest_from_a_pipe_start_in_the_current_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    ours, theirs = os.pipe()
    os.write(theirs, (folder / "jobs.jsonl").read_bytes())
    os.close(theirs)
    (job, *_) = read_manifest(Path(f"/dev/fd/{ours}"))
    os.close(ours)
    assert job.photo.is_file()


def test_a_byte_order_mark_and_blank_lines_are_skipped(folder):
    text = (folder / "jobs.jsonl").read_text().replace("\n", "\r\n\r\n")
    (folder / "jobs.jsonl").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(read_manifest(folder / "jobs.jsonl")) == 3


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "line 2: it isn't JSON"),
        ("[]", "line 2: give an object"),
        ({"photo": "me.png"}, "line 2: photo or attribute is missing"),
        ({"photo": "me.png", "attribute": "a", "alpha": 1}, "the field 'alpha' is unknown"),
        ({"photo": "me.png", "attribute": 3}, "attribute is 3; give text"),
        ({"photo": "me.png", "attribute": "a", "alphas": 1}, "alphas is 1; give a list"),
        ({"photo": "me.png", "attribute": "a", "alphas": ["x"]}, "give a list of numbers"),
        ({"photo": "me.png", "attribute": "a", "alphas": []}, "alphas is empty"),
        ({"photo": "me.png", "attribute": "a", "alphas": [0.1, 0.1]}, "alpha 0.1 is given twice"),
        ({"photo": "me.png", "attribute": "a", "alphas": [10**400]}, "alphas has a number that is"),
        ({"photo": "me.png", "attribute": "a", "face": [1, 2]}, "give a box as four integers"),
        ({"photo": "me.png", "attribute": "a", "face": "nose"}, "'nose'"),
        ({"photo": "me.png", "attribute": "a", "face": True}, "face is True"),
        ({"photo": "me.png", "attribute": "a", "face": 0}, "'0'"),
        ({"photo": "me.png", "attribute": "a", "mask": ""}, "mask is empty"),
        ({"photo": "me.png", "attribute": "a", "finer": [""]}, "finer is ['']; give a list of"),
        ({"photo": "me.png", "attribute": "a", "points": 6}, "points is 6; give 5 or 68"),
        ({"photo": "me.png", "attribute": "a", "points": True}, "points is True; give a number"),
        ({"photo": "me.png", "attribute": "a", "warp": 1}, "warp is 1; give true or false"),
        ({"photo": "me.png", "attribute": "a", "k": 0}, "k is 0; give 1 or more"),
        ({"photo": "me.png", "attribute": "a", "near": "home"}, "'home'"),
        ({"photo": "me.png", "attribute": "a", "dataset": 3}, "dataset is 3; give text"),
        ({"photo": "me.png", "attribute": "a", "dataset": "lfw:"}, "'lfw:' isn't of a known kind"),
        ({"photo": "me.png", "attribute": "a", "dataset": "lfw:no\0"}, "doesn't exist"),
        ({"photo": "me.png", "attribute": "a", "dataset": "fitted:x"}, "x has no fitted dataset"),
        ({"photo": "me.png", "attribute": "a", "dataset": f"folder:{'x' * 300}"}, "doesn't exist"),
        ({"photo": "me.png", "attribute": "a", "rule": "mine"}, "the rule 'mine' doesn't exist"),
        ('{"photo": "a", "photo": "b", "attribute": "a"}', "the field 'photo' is given twice"),
        ({"photo": "me.png", "attribute": "a", "name": "a/b"}, "give the name of a folder"),
        ({"photo": "me.png", "attribute": "a", "name": ".."}, "give the name of a folder"),
        ({"photo": "me.png", "attribute": "a", "name": "a\0"}, "give the name of a folder"),
        ({"photo": "me.png", "attribute": "a", "name": "\ud800"}, "give the name of a folder"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(folder, line, sentence):
    write(folder, {"photo": "you.png", "attribute": "older"}, line)
    with pytest.raises(DfiError) as error:
        read_manifest(folder / "jobs.jsonl")
    assert "line 2" in str(error.value)
    assert sentence in str(error.value)


def test_a_photo_that_no_file_can_be_is_reported_like_a_missing_one(folder):
    names = ["x" * 5000, "\0", "\ud800"]
    jobs = [{"photo": name, "attribute": "older", "name": str(i)} for i, name in enumerate(names)]
    failures = [outcome.failure for outcome in check_files(read_manifest(write(folder, *jobs)))]
    assert len(failures) == 3
    assert all(failure.endswith("doesn't exist; check the path.") for failure in failures)
    assert all(failure.isprintable() and len(failure) < 1000 for failure in failures)


@pytest.mark.parametrize(
    "text", ["[]", "7", "[" * 100_000, "{", "", "{}", '{"files": 7}', '{"files": [7]}']
)
def test_a_record_that_is_no_record_counts_as_no_result(folder, random_vgg, text):
    write(folder, {"photo": "me.png", "attribute": "older", "name": "a"})
    (folder / "out" / "a").mkdir(parents=True)
    (folder / "out" / "a" / "result.json").write_text(text)
    jobs = read_manifest(folder / "jobs.jsonl")
    assert select_unfinished(jobs, folder / "out", editor=Editor(weights=random_vgg)) == jobs


def test_a_process_must_know_which_it_is(folder, monkeypatch):
    monkeypatch.delenv("JAX_PROCESS_ID", raising=False)
    sentence = fails(*batch(folder, "--distributed"))
    assert "set JAX_NUM_PROCESSES and JAX_PROCESS_ID" in sentence
    assert not (folder / "out").exists()


def test_a_line_s_own_options_come_before_those_of_the_command(folder):
    line = {"photo": "me.png", "attribute": "older"}
    own = {"points": 68, "warp": True, "rule": "paper", "near": "pixels", "k": 7}
    write(folder, line, line | own | {"name": "own"}, line | {"dataset": "", "name": "starter"})
    shared, other, starter = read_manifest(
        folder / "jobs.jsonl", dataset=load_dataset("synthetic:3"), near=near.scores, k=30
    )
    assert (shared.points, shared.warp, shared.near, shared.k) == (5, False, near.scores, 30)
    assert (other.points, other.warp, other.near, other.k) == (68, True, near.pixels, 7)
    assert shared.resolved_rule == Rule(near=near.scores, k=30)
    assert other.resolved_rule == RULES["paper"].replace(near=near.pixels, k=7)
    assert starter.resolved_rule == Rule()
    with pytest.raises(InputError, match="k is 30 and there is no dataset"):
        read_manifest(write(folder, line), k=30)


def test_a_line_s_own_dataset_is_relative_to_the_manifest_and_loaded_once(
    folder, pair, monkeypatch
):
    loaded = []
    load = folders.load_pair
    monkeypatch.setattr(folders, "load_pair", lambda *paths: loaded.append(paths) or load(*paths))
    line = {"photo": "me.png", "attribute": "Target", "face": "whole"}
    own = [
        {"dataset": "pair:without:with", "name": "a"},
        {"dataset": "pair:without:with", "name": "b"},
        {"dataset": "crop:0,0,20,20:pair:without:other/with", "name": "c"},
        {"dataset": "synthetic:5", "name": "d"},
        {"dataset": "", "attribute": "older", "name": "e"},
        {"name": "f"},
    ]
    shared = load_dataset("synthetic:3")
    jobs = read_manifest(write(folder, *(line | each for each in own)), dataset=shared)
    a, b, c, d, e, f = (job.dataset for job in jobs)
    assert a is b
    assert loaded == [(pair / "without", pair / name) for name in ("with", "other/with")]
    assert (len(a), c.crop, len(d), e, f) == (24, (0, 0, 20, 20), 5, None, shared)
    write(folder, line | own[0], line | own[3])  # Only the first has the attribute.
    assert fails(*batch(folder)).startswith("dfi: d: the attribute 'Target' doesn't exist")


def test_a_line_of_nested_brackets_is_not_json(folder):
    write(folder, "[" * 100_000)
    with pytest.raises(InputError, match="line 1: it isn't JSON"):
        read_manifest(folder / "jobs.jsonl")


def test_a_manifest_that_cannot_be_read_is_one_sentence(folder):
    assert "is a folder; give a file" in fails("batch", folder, "-o", folder / "out")
    (folder / "utf-16.jsonl").write_text('{"photo": "me.png"}', encoding="utf-16")
    sentence = fails("batch", folder / "utf-16.jsonl", "-o", folder / "out")
    assert "line 1, isn't UTF-8 text; save the file in that encoding" in sentence
    write(folder, "")
    assert "is empty; write a line for each photo" in fails(*batch(folder))
    line = {"photo": "me.png", "attribute": "older"}
    write(folder, line, line)
    assert "has 2 jobs with the name me-older" in fails(*batch(folder))
    write(folder, line | {"name": "Ann"}, line | {"name": "ann"})
    assert "with the names Ann and ann, which are the same folder on" in fails(*batch(folder))
    write(folder, line)
    assert "batch_size is 0" in fails(*batch(folder, "--batch-size", "0"))


def test_an_unknown_attribute_is_named_before_anything_is_made(folder):
    write(folder, *({"photo": "me.png", "attribute": name} for name in ("older", "taller")))
    sentence = fails(*batch(folder))
    assert "me-taller: the starter vector 'taller' doesn't exist" in sentence
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
    assert "can't be written to (File name too long); change its name" in long
