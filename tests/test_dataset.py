import numpy as np
import pytest
from PIL import Image

from dfi_jax import faces
from dfi_jax.data import load_dataset
from dfi_jax.data.dataset import Dataset, require
from dfi_jax.errors import FileError, InputError


def dataset(**changes):
    pictures = np.random.default_rng(0).random((3, 250, 250, 3)).astype(np.float32)
    fields = {"name": "made", "names": ("a", "b", "c"), "read": lambda i: pictures[i], "attributes": ("Smiling",),
              "scores": np.array([[1], [-1], [2]], np.float32)}  # fmt: skip
    return Dataset(**fields | changes)


def test_the_face_is_where_landmarks_the_crop_or_nothing_say():
    points = np.stack([faces.CANONICAL_POINTS * 0.85 + (40, 20)] * 3)
    aligned = dataset(landmarks=points, crop=(0, 0, 10, 10)).face(1, 200)
    np.testing.assert_array_equal(aligned, faces.align(dataset().read(1), points[1], size=200))
    cropped = dataset(crop=(40, 20, 210, 190)).face(1, 170)
    np.testing.assert_array_equal(cropped, dataset().read(1)[20:190, 40:210])
    np.testing.assert_array_equal(dataset().face(1, 250), dataset().read(1))


def test_a_face_that_is_not_in_its_image_names_the_image():
    with pytest.raises(FileError, match="b of made: the crop 0,0,400,400 doesn't lie inside"):
        dataset(crop=(0, 0, 400, 400)).face(1, 50)
    with pytest.raises(FileError, match="c of made: the face's points coincide"):
        dataset(landmarks=np.zeros((3, 5, 2))).face(2, 50)


def test_a_file_is_found_through_a_link_and_by_name_where_images_are_no_files(tmp_path):
    (tmp_path / "store").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "store" / "x", format="PNG")
    (tmp_path / "b").symlink_to(tmp_path / "store" / "x")
    files = dataset(folder=tmp_path)
    assert files.index(tmp_path / "b") == 1
    prepared = dataset(names=("Ann/Ann_0001.jpg", "Bob/Bob_0001.jpg", "Bob/Bob_0002.jpg"))
    assert prepared.index(tmp_path / "Bob" / "Bob_0002.jpg") == 2
    assert prepared.index(tmp_path / "Bob_0002.jpg") is None


def test_a_fingerprint_changes_with_all_that_a_face_depends_on(tmp_path):
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


def test_what_is_missing_is_looked_for_near_by(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "table.txt").touch()
    assert require(tmp_path / "inner", "other.txt", "table.txt") == tmp_path / "inner" / "table.txt"
    with pytest.raises(FileError, match=f"has no table.txt; {tmp_path / 'inner'} has, give that folder"):
        require(tmp_path, "table.txt")
    (tmp_path / "table.txt.gz").touch()
    with pytest.raises(FileError, match=r"unpack table\.txt\.gz there"):
        require(tmp_path, "table.txt")
    with pytest.raises(FileError, match="does not exist; give the folder that holds a or b"):
        require(tmp_path / "absent", "a", "b")


def test_every_kind_of_spec_is_a_dataset(lfw_folder, tmp_path):
    assert load_dataset(f"lfw:{lfw_folder}").name == "lfw"
    assert len(load_dataset("synthetic:3")) == 3
    assert load_dataset("synthetic:3:7").names != load_dataset("synthetic:3").names
    for name in ("a", "b"):
        Image.new("RGB", (20, 20)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f"{name}.png\n")
    assert load_dataset(f"folders:{tmp_path / 'a.txt'}:{tmp_path / 'b.txt'}").attributes == ("Target",)
    (tmp_path / "scores.csv").write_text("image,Smiling\na.png,1\n")
    assert load_dataset(f"folder:{tmp_path}").attributes == ("Smiling",)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("lfw", "the dataset 'lfw' is of no known kind; give lfw:DIR"),
        ("mnist:x", "the dataset 'mnist:x' is of no known kind"),
        ("folders:a.txt", "names one list; give two, as folders:SOURCE:TARGET"),
        ("synthetic:many", "should have one number"),
        ("synthetic:1:2:3", "should have one number"),
        ("tfds:mnist", "tfds:mnist is not known"),
        ("synthetic:0", "would have 0 images; give 1 or more"),
    ],
)
def test_a_spec_of_another_form_is_refused(spec, message):
    with pytest.raises(InputError, match=message):
        load_dataset(spec)


def test_the_home_of_nobody_known_is_a_folder_that_does_not_exist():
    with pytest.raises(FileError, match="~nobody-at-all/lfw does not exist"):
        load_dataset("lfw:~nobody-at-all/lfw")
