import os

import numpy as np
import pytest
from PIL import Image

from dfi_jax.data import load_dataset
from dfi_jax.data.dataset import Dataset
from dfi_jax.errors import FileError, InputError
from dfi_jax.photo.faces import CANONICAL_LANDMARKS
from dfi_jax.photo.placement import CANONICAL_POINTS, Placement


def dataset(**changes):
    images = np.random.default_rng(0).random((3, 250, 250, 3)).astype(np.float32)
    fields = {
        "name": "made",
        "names": ("a", "b", "c"),
        "read": lambda i: images[i],
        "attributes": ("Smiling",),
        "scores": np.array([[1], [-1], [2]], np.float32),
    }
    return Dataset(**fields | changes)


def test_a_console_shows_a_large_dataset_in_a_line():
    names = tuple(f"{i}.jpg" for i in range(1000))
    shown = repr(dataset(names=names, scores=np.ones((1000, 1), np.float32)))
    assert "made" in shown
    assert len(shown) < 200


def test_fields_are_given_by_name():
    with pytest.raises(TypeError, match="positional"):
        Dataset("made", ("a",), dataset().read, ("Smiling",), np.ones((1, 1), np.float32))


def test_the_face_is_placed_by_landmarks_or_the_crop_or_is_the_whole_image():
    points = np.stack([CANONICAL_POINTS * 0.85 + (40, 20)] * 3)
    by_landmarks = dataset(landmarks=points, crop=(0, 0, 10, 10))
    assert by_landmarks.placement(1) == Placement.from_landmarks(points[1])
    aligned = Placement.from_landmarks(points[1]).crop(dataset().read(1), size=200)
    np.testing.assert_array_equal(by_landmarks.face(1, 200), aligned)
    by_crop = dataset(crop=(40, 20, 210, 190))
    assert by_crop.placement(1) == Placement.from_box((40, 20, 210, 190))
    np.testing.assert_array_equal(by_crop.face(1, 170), dataset().read(1)[20:190, 40:210])
    assert dataset().placement(1) == Placement.whole((250, 250))
    np.testing.assert_array_equal(dataset().face(1, 250), dataset().read(1))


def test_a_warped_face_has_its_features_where_the_average_face_has_them(monkeypatch):
    # The nose lies 20 pixels to the right of the average nose, and so does a bright spot.
    points = CANONICAL_LANDMARKS.copy()
    points[27:36, 0] += 20
    shifted = np.zeros((200, 200, 3), np.float32)
    x, y = points[30].round().astype(int)
    shifted[y - 2 : y + 3, x - 2 : x + 3] = 1
    monkeypatch.setattr("dfi_jax.photo.faces.nearest", lambda pixels, placement: points)
    face = dataset(read=lambda index: shifted, warped=True).face(0, 200)
    rows, columns, _ = np.nonzero(face > 0.5)
    # The spline is smoothed, so it may miss a landmark by a few pixels.
    assert abs(columns.mean() - CANONICAL_LANDMARKS[30, 0]) < 5
    assert abs(rows.mean() - y) < 5


@pytest.mark.parametrize(
    "points",
    [None, CANONICAL_LANDMARKS + 150, CANONICAL_LANDMARKS * [-1, 1] + [200, 0]],
    ids=["no face", "somebody else's face", "a map that folds"],
)
def test_a_face_that_cannot_be_warped_stays_as_it_is(monkeypatch, points):
    monkeypatch.setattr("dfi_jax.photo.faces.nearest", lambda pixels, placement: points)
    np.testing.assert_array_equal(dataset(warped=True).face(1, 50), dataset().face(1, 50))


def test_warped_faces_have_another_fingerprint():
    first = np.array([0])
    assert dataset().fingerprint(first) != dataset(warped=True).fingerprint(first)


def test_an_image_is_only_read_for_a_placement_if_its_size_is_needed():
    read = []
    counting = {"read": lambda i: (read.append(i), np.zeros((30, 20, 3), np.float32))[1]}
    dataset(**counting, crop=(0, 0, 9, 9)).placement(1)
    dataset(**counting, landmarks=np.stack([CANONICAL_POINTS] * 3)).placement(1)
    whole = dataset(**counting)
    assert whole.placement(1, pixels=np.zeros((50, 40, 3), np.float32)) == Placement.whole((40, 50))
    assert not read
    assert whole.placement(1) == Placement.whole((20, 30))
    assert read == [1]


def test_a_face_that_is_not_in_its_image_names_the_image():
    with pytest.raises(
        FileError, match="b of the dataset made: the box 0,0,400,400 doesn't lie in"
    ):
        dataset(crop=(0, 0, 400, 400)).face(1, 50)
    with pytest.raises(FileError, match="c of the dataset made: the face's points coincide"):
        dataset(landmarks=np.zeros((3, 5, 2))).face(2, 50)
    with pytest.raises(FileError, match="c of the dataset made: the face's points coincide"):
        dataset(landmarks=np.zeros((3, 5, 2))).placement(2)
    with pytest.raises(FileError, match="a of the dataset made: the face lies outside"):
        dataset(landmarks=np.stack([CANONICAL_POINTS + 900] * 3)).face(0, 50)


def test_a_file_is_found_through_a_link_or_by_name_if_images_are_not_files(tmp_path):
    (tmp_path / "store").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "store" / "x", format="PNG")
    (tmp_path / "b").symlink_to(tmp_path / "store" / "x")
    files = dataset(folder=tmp_path)
    (tmp_path / "a").symlink_to("a")
    assert files.index(tmp_path / "b") == 1
    assert files.index(tmp_path / "store" / "a") is None
    prepared = dataset(names=("Ann/Ann_0001.jpg", "Bob/Bob_0001.jpg", "Bob/Bob_0002.jpg"))
    assert prepared.index(tmp_path / "Bob" / "Bob_0002.jpg") == 2
    assert prepared.index(tmp_path / "Bob_0002.jpg") is None


def test_a_fingerprint_changes_with_everything_that_a_face_depends_on(tmp_path):
    rows = np.array([0, 2])
    first = dataset().fingerprint(rows)
    assert dataset().fingerprint(rows) == first
    other = np.ones((3, 250, 250, 3), np.float32)
    for changed in (
        dataset(read=lambda i: other[i]),
        dataset(crop=(0, 0, 9, 9)),
        dataset(landmarks=np.ones((3, 5, 2))),
    ):
        assert changed.fingerprint(rows) != first
    assert dataset().fingerprint(np.array([0, 1])) != first
    for name in "abc":
        Image.new("RGB", (2, 2), "red").save(tmp_path / name, format="PNG")
    files = dataset(folder=tmp_path)
    before = files.fingerprint(rows)
    Image.new("RGB", (2, 2), "blue").save(tmp_path / "c", format="PNG")
    assert files.fingerprint(rows) != before


def test_every_kind_of_spec_is_a_dataset(lfw_folder, tmp_path):
    assert load_dataset(f"lfw:{lfw_folder}").name == "lfw"
    assert len(load_dataset("synthetic:3")) == 3
    assert load_dataset("synthetic:3:7").names != load_dataset("synthetic:3").names
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (20, 20)).save(tmp_path / name / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f"{name}/{name}.png\n")
    for suffix in ("", ".txt"):
        pair = load_dataset(f"pair:{tmp_path / 'a'}{suffix}:{tmp_path / 'b'}{suffix}")
        assert pair.attributes == ("Target",)
        assert pair.names == ("a/a.png", "b/b.png")
        assert pair.scores.tolist() == [[-1], [1]]
    (tmp_path / "scores.csv").write_text("image,Smiling\na/a.png,1\n")
    assert load_dataset(f"folder:{tmp_path}").attributes == ("Smiling",)


def test_paths_of_a_spec_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (20, 20)).save(tmp_path / name / f"{name}.png")
    assert load_dataset("pair:~/a:~/b").names == ("a/a.png", "b/b.png")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("lfw", "the dataset 'lfw' isn't of a known kind; give lfw:DIR"),
        ("mnist:x", "the dataset 'mnist:x' isn't of a known kind"),
        ("folders:a.txt:b.txt", "isn't of a known kind; .* pair:WITHOUT:WITH"),
        ("pair:a.txt", "doesn't name two folders or lists; give two, as pair:WITHOUT:WITH"),
        ("pair::a.txt", "doesn't name two folders or lists"),
        ("synthetic:many", "doesn't have the form synthetic:N, synthetic:N:SEED or"),
        ("synthetic:1:2:32:4", "doesn't have the form synthetic:N, synthetic:N:SEED or"),
        ("synthetic:1:2:3", "the size of the images is 3; give 16 to 8000"),
        (f"synthetic:1:2:{'9' * 900}", "give 16 to 8000"),
        ("tfds:mnist", "tfds:mnist is not known"),
        ("synthetic:0", "would have 0 images; give 1 to 1000000"),
        ("crop:1,2,3:synthetic:3", "the crop '1,2,3' isn't a box; give X0,Y0,X1,Y1"),
        ("crop:1,2,1,9:synthetic:3", "the crop '1,2,1,9' isn't a box"),
        ("crop:1,2,a,9:synthetic:3", "the crop '1,2,a,9' isn't a box"),
        ("crop:1,2,3,4:mnist:x", "the dataset 'mnist:x' isn't of a known kind"),
        ("crop:1,2,3,4:" * 700, "has a crop inside a crop; give one of them"),
        ("pair:" + ":" * 100_000, "a text of 100005 characters; give one of at most 10000"),
    ],
)
def test_a_spec_of_another_form_is_rejected(spec, message):
    with pytest.raises(InputError, match=message):
        load_dataset(spec)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
@pytest.mark.parametrize(
    "name",
    [
        "lfw/lfw_attributes.txt",
        "folder/scores.csv",
        "celeba/list_attr_celeba.txt",
        "celeba/list_landmarks_align_celeba.txt",
        "celeba/identity_CelebA.txt",
    ],
)
def test_a_table_that_is_no_file_is_not_waited_for(tmp_path, make, name):
    table = tmp_path / name
    for folder in ("lfw-deepfunneled", "img_align_celeba"):
        (table.parent / folder).mkdir(parents=True)
    (tmp_path / "celeba").mkdir(exist_ok=True)
    (tmp_path / "celeba" / "list_attr_celeba.txt").write_text("1\nMale\n1.jpg 1\n")
    table.unlink(missing_ok=True)
    make(table)
    with pytest.raises(FileError, match=f"{table.name} is a .*; give a file"):
        load_dataset(f"{table.parent.name}:{table.parent}")


def test_a_crop_replaces_that_of_any_dataset(tmp_path, lfw_folder):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        picture = rng.integers(0, 256, (60, 50, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / name / f"{name}.png")
    pair = load_dataset(f"crop:10,20,40,50:pair:{tmp_path}/a:{tmp_path}/b")
    np.testing.assert_allclose(pair.face(1, 30), picture[20:50, 10:40] / 255, atol=1e-6)
    lfw = load_dataset(f"lfw:{lfw_folder}")
    middle = load_dataset(f"crop:50,50,200,200:lfw:{lfw_folder}")
    np.testing.assert_allclose(middle.face(0, 150), lfw.read(0)[50:200, 50:200], atol=1e-6)
    assert middle.catalog_sha256 != lfw.catalog_sha256
    drawn = load_dataset("crop:5,5,95,95:synthetic:3")
    assert drawn.placement(0).box == (5, 5, 95, 95)


def test_the_home_of_an_unknown_user_is_a_folder_that_does_not_exist():
    with pytest.raises(FileError, match="~nobody-at-all/lfw doesn't exist"):
        load_dataset("lfw:~nobody-at-all/lfw")
