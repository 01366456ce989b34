import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from builders import make_vector
from commands import dfi, fails, succeeds
from manifests import RECIPE, batch, write
from PIL import Image

from dfi_jax import Editor, FileError, Job, load_dataset, near, starter
from dfi_jax.editor.record import device, network_record, versions
from dfi_jax.manifest import read_manifest, select_unfinished

pytestmark = pytest.mark.usefixtures("without_faces")


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


def test_results_of_another_recipe_or_network_are_not_taken_for_these(folder):
    write(folder, {"photo": "me.png", "attribute": "smile.safetensors", "face": "whole"})
    succeeds(*batch(folder))
    for options, what in (
        (["--set", "solver.memory=3"], "recipe"),
        (["--precision", "tf32"], "network"),
    ):
        assert f"has results with a different value of {what}" in fails(*batch(folder, *options))
    shutil.copy(folder / "you.png", folder / "me.png")
    succeeds(*batch(folder))  # The new file has the same content.


def test_a_photo_that_changed_since_an_earlier_run_fails_its_own_edit(folder):
    line = {"attribute": "smile.safetensors", "face": "whole"}
    write(folder, {"photo": "me.png", **line})
    succeeds(*batch(folder))
    (folder / "me.png").write_bytes((folder / "out/me-smile/sheet.png").read_bytes())
    write(folder, {"photo": "me.png", **line}, {"photo": "you.png", **line})
    result = dfi(*batch(folder))
    assert result.exit_code == 1
    assert "1 of 2 edits failed" in result.stderr
    assert "me-smile has results with a different value of photo" in result.stderr
    assert (folder / "out/you-smile/result.json").exists()


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
    result = dfi(*batch(folder))
    assert result.exit_code == 1
    assert f"has results with a different value of {what}" in result.stderr


def test_paths_in_a_manifest_from_a_pipe_start_in_the_current_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    ours, theirs = os.pipe()
    os.write(theirs, (folder / "jobs.jsonl").read_bytes())
    os.close(theirs)
    (job, *_) = read_manifest(Path(f"/dev/fd/{ours}"))
    os.close(ours)
    assert job.photo.is_file()


@pytest.mark.parametrize(
    "text", ["[]", "7", "[" * 100_000, "{", "", "{}", '{"files": 7}', '{"files": [7]}']
)
def test_a_record_that_is_no_record_counts_as_no_result(folder, random_vgg, text):
    write(folder, {"photo": "me.png", "attribute": "older", "name": "a"})
    (folder / "out" / "a").mkdir(parents=True)
    (folder / "out" / "a" / "result.json").write_text(text)
    jobs = read_manifest(folder / "jobs.jsonl")
    assert select_unfinished(jobs, folder / "out", editor=Editor(weights=random_vgg)) == jobs
