"""What is written about an edit, and when."""

import dataclasses
import hashlib
import json
import time
from importlib import metadata

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from builders import make_provenance, make_vector, small_recipe
from PIL import Image

from dfi_jax import Edit, FileError, InputError, Job, Placement, Recipe, Replacement
from dfi_jax.editor.assembly import prepare_work
from dfi_jax.editor.record import CROP, find_warnings, make_record, vector_record
from dfi_jax.engine.reconstruction import concatenate
from dfi_jax.engine.slots import Reconstruction
from dfi_jax.photo.faces import CANONICAL_LANDMARKS
from dfi_jax.photo.photo import Photo
from dfi_jax.photo.warp import Warp

RECIPE = small_recipe(size=32, iterations=4)


@pytest.fixture(scope="module")
def vector(random_vgg):
    return make_vector(random_vgg, RECIPE)


def grey_edit(*alphas):
    """An edit at some strengths, which changed nothing."""
    grey, count = np.full((40, 40, 3), 0.5, np.float32), len(alphas)
    return Edit(
        photo=Photo.of(grey),
        placement=Placement.whole((40, 40)),
        face=grey,
        faces=np.stack([grey] * count),
        pixels=(grey,) * count,
        alphas=alphas,
        objective=np.zeros(count),
        history=np.ones((count, 3)),
        iterations=np.full(count, 3),
        record={"recipe": Recipe().to_dict(), "files": [f"alpha-{a:g}.png" for a in alphas]},
    )


@pytest.mark.parametrize("blocked", ["alpha-0.4.png", "alpha-1.png", "sheet.png", "loss.png"])
def test_a_record_is_only_written_after_everything_else(tmp_path, blocked):
    edit = grey_edit(0.4, 1.0)
    (tmp_path / blocked).mkdir()
    with pytest.raises(FileError, match=f"{blocked} can't be written"):
        edit.save(tmp_path, overwrite=True)
    assert not (tmp_path / "result.json").exists()
    (tmp_path / blocked).rmdir()
    edit.save(tmp_path, overwrite=True)
    assert json.loads((tmp_path / "result.json").read_text()) == edit.record


def test_a_single_photo_is_saved_alone_and_replaces_a_file_only_if_told(tmp_path):
    path = tmp_path / "me.png"
    grey_edit(0.4).save_photo(path)
    with pytest.raises(FileError, match=r"me\.png exists already"):
        grey_edit(0.4).save_photo(path)
    grey_edit(0.4).save_photo(path, overwrite=True)
    with pytest.raises(InputError, match="is one file, but there are 2 strengths; give a folder"):
        grey_edit(0.4, 1.0).save_photo(tmp_path / "you.png")
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_with_nothing_but_what_a_killed_run_left_is_free(tmp_path):
    (tmp_path / ".left.png").touch()
    assert len(grey_edit(0.4).save(tmp_path)) == 4


@pytest.fixture
def work(random_vgg, vector, photo, tmp_path):
    """A photo that is ready to be edited with a mask."""
    Image.new("L", (120, 140), 255).save(tmp_path / "mask.png")
    mask = tmp_path / "mask.png"
    job = Job(photo=photo, attribute=vector, alphas=(0.2, -1.0), face="whole", mask=mask)
    return prepare_work(job, vgg=random_vgg, recipe=RECIPE)


def reconstruction(iterations):
    """The result of a single problem."""
    history = np.linspace(3, 1, iterations)[None]
    images = np.full((1, 32, 32, 3), 0.5, np.float32)
    counts = np.array([iterations])
    return Reconstruction(images, history[:, -1], history, counts, counts)


def test_the_numbers_of_a_record_are_those_of_the_edit(random_vgg, work, photo):
    result = concatenate([reconstruction(4), reconstruction(2)])
    record = make_record(work, result, vgg=random_vgg, batch_size=3)
    for name, path in (("photo", photo), ("mask", photo.with_name("mask.png"))):
        assert record[name]["name"] == path.name
        assert record[name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record["files"] == ["alpha-0.2.png", "alpha--1.png"]
    assert (record["iterations"], record["objective"]) == ([4, 2], [1, 1])
    # The shorter history continues with its last value.
    np.testing.assert_allclose(record["history"], [[3, 7 / 3, 5 / 3, 1], [3, 1, 1, 1]])
    assert (record["dataset"], record["near"], record["k"]) == (None, None, 100)
    assert (record["points"], record["warp"], record["selections"]) == (5, False, [])
    assert record["device"]["batch_size"] == 3
    for package in ("jax", "numpy", "pillow"):
        assert record["versions"][package] == metadata.version(package)


def test_every_second_is_counted_in_one_phase(random_vgg, vector, photo):
    started = time.perf_counter()
    job = Job(photo=photo, attribute=vector, face="whole")
    work = prepare_work(job, vgg=random_vgg, recipe=RECIPE)
    assert sum(work.seconds.values()) <= time.perf_counter() - started
    assert work.seconds["photo"] > 0
    assert work.seconds["vector"] > 0
    started = time.perf_counter()
    work.begin()
    work.results[0] = reconstruction(3)
    time.sleep(0.02)
    work.end()
    assert 0.02 <= work.seconds["reconstruction"] <= time.perf_counter() - started


def test_a_noisy_vector_is_warned_of_with_the_numbers_of_its_images(random_vgg):
    for share, warned in ((1.3, True), (0.9, True), (0.81, True), (0.79, False)):
        made = make_provenance(
            random_vgg, RECIPE, n_source=3, n_target=7, length=(10.0,), noise=(10 * share**0.5,)
        )
        warnings = find_warnings(made)
        assert len(warnings) == warned
        if share == 1.3:
            assert warnings[0].startswith("100% of the attribute vector is noise")
        if share == 0.9:
            assert (
                "90% of the attribute vector is noise, because it comes from 3 images"
                in warnings[0]
            )
            assert "and 7 with the attribute" in warnings[0]


def test_a_vector_of_warped_faces_warns_unless_the_face_is_warped_too(random_vgg, work):
    def warnings():
        record = make_record(work, reconstruction(4), vgg=random_vgg, batch_size=None)
        return " ".join(record["warnings"])

    assert "warp" not in warnings()
    made = dataclasses.replace(work.vector.provenance, warped=True)
    work.vector = work.vector.replace(provenance=made)
    assert "was fitted to warped faces, and this face isn't warped" in warnings()
    work.warp = Warp.between(CANONICAL_LANDMARKS, CANONICAL_LANDMARKS)
    assert "warp" not in warnings()


def test_a_recipe_whose_edits_are_crops_says_what_of_the_photo_they_lack(random_vgg, work):
    work.recipe = work.recipe.replace(finish=())
    for mode, warned in (("RGB", False), ("RGBA", True), ("I;16", True)):
        photo = Photo.of(Image.new(mode, (120, 140)))
        work.located = dataclasses.replace(work.located, photo=photo)
        record = make_record(work, reconstruction(4), vgg=random_vgg, batch_size=None)
        assert [CROP] * warned == [found for found in record["warnings"] if found == CROP]


def test_the_checksum_of_a_vector_changes_with_any_of_its_numbers(vector):
    positions = {name: jnp.ones((*w.shape[:2], 1)) for name, w in vector.features.items()}
    away = Replacement(vector.features, positions, positions)
    replaced = vector.replace(replacement=away)

    def checksum(made):
        return vector_record(made)["sha256"]

    changed = [vector, vector.opposite(), replaced, replaced.opposite()]
    for part in Replacement._fields:
        other = jax.tree.map(lambda layer: layer.at[0, 0, 0].add(1), getattr(away, part))
        changed.append(vector.replace(replacement=away._replace(**{part: other})))
    # The opposite of a replacement that is the same both ways has the opposite vector only.
    assert len({checksum(made) for made in changed}) == len(changed)
    noted = dataclasses.replace(vector.provenance, note="another note")
    assert checksum(vector.replace(provenance=noted)) == checksum(vector)
