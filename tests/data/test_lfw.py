from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfi_jax.data import lfw
from dfi_jax.errors import FileError

HEADER = "#\tperson\timagenum\tMale\tSmiling\n"


def folder_with(tmp_path, table):
    person = tmp_path / "lfw-deepfunneled" / "Ann_Lee"
    person.mkdir(parents=True)
    Image.new("RGB", (250, 250), "red").save(person / "Ann_Lee_0001.jpg")
    (tmp_path / "lfw_attributes.txt").write_text(table)
    return tmp_path


def test_rows_and_images_are_read_as_published(lfw_folder):
    dataset = lfw.load(lfw_folder)
    assert len(dataset) == 48
    assert dataset.attributes == ("Male", "Smiling", "Mouth Slightly Open", "Eyeglasses")
    assert dataset.people[2] == "Person Number1"
    assert dataset.names[3] == "Person_Number1/Person_Number1_0002.jpg"
    np.testing.assert_allclose(dataset.scores[3], [1.01, 1.01, 1.21, -0.39], atol=1e-6)


def test_a_folder_in_a_folder_of_the_same_name_and_a_byte_order_mark_are_read(tmp_path):
    folder_with(tmp_path, "\ufeff" + HEADER + "Ann Lee\t1\t-1\t1\r\n")
    (tmp_path / "lfw-deepfunneled").rename(tmp_path / "inner")
    (tmp_path / "lfw-deepfunneled").mkdir()
    (tmp_path / "inner").rename(tmp_path / "lfw-deepfunneled" / "lfw-deepfunneled")
    dataset = lfw.load(tmp_path)
    assert dataset.names == ("Ann_Lee/Ann_Lee_0001.jpg",)
    assert dataset.face(0, 20).shape == (20, 20, 3)


def test_a_header_with_73_attributes_is_read(tmp_path):
    names = [f"Attribute {i}" for i in range(73)]
    table = (
        "\t".join(["#", "person", "imagenum", *names])
        + "\n"
        + "\t".join(["Ann Lee", "1", *["0.5"] * 73])
        + "\n"
    )
    assert lfw.load(folder_with(tmp_path, table)).attributes == tuple(names)


def test_a_face_is_the_crop_resized(lfw_folder):
    dataset = lfw.load(lfw_folder)
    pixels = Image.open(dataset.folder / dataset.names[0]).crop((40, 20, 210, 190))
    assert dataset.face(0, 170).shape == (170, 170, 3)
    np.testing.assert_allclose(dataset.face(0, 170), np.asarray(pixels) / 255, atol=1e-6)


def test_a_photo_of_the_dataset_is_found(lfw_folder, tmp_path):
    dataset = lfw.load(lfw_folder)
    path = dataset.folder / dataset.names[7]
    assert dataset.index(path) == 7
    assert dataset.index(tmp_path / path.name) is None
    assert lfw.is_lfw_image(path)
    assert not lfw.is_lfw_image(Path("Ann_Lee/Bob_Ray_0001.jpg"))


def test_rows_without_an_image_are_skipped_and_counted(tmp_path, caplog):
    table = HEADER + "Ann Lee\t1\t0.5\t-1\nBob Ray\t1\t1\t1\n"
    assert lfw.load(folder_with(tmp_path, table)).people.tolist() == ["Ann Lee"]
    assert caplog.messages[0].endswith("txt: 1 of 2 images don't exist and were left out.")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (HEADER + "Ann Lee\t1\t0.5\n", "line 2, has 1 scores but the header names 2"),
        (HEADER + "Ann Lee\t1\t0.5\t1\t2\n", "line 2, has 3 scores"),
        (HEADER + "Ann Lee\t1\t0.5\tmuch\n", "line 2, can't be read"),
        (HEADER + "Ann Lee\t1\t0.5\tnan\n", "not finite"),
        (HEADER + "Ann Lee\t1\t0.5\t1e99\n", "not finite"),
        (HEADER, "has no scores; download"),
        (HEADER.replace("Smiling", "Male") + "Ann Lee\t1\t1\t1\n", "has 2 columns 'Male'"),
        ("Ann Lee\t1\t0.5\t1\n", "no header line"),
        (HEADER + "Bob Ray\t1\t0.5\t1\n", "none of the 1 images"),
        (HEADER + "Ann Lee\t1\t0.5\t1\n" * 2, "two rows for Ann_Lee/Ann_Lee_0001.jpg"),
    ],
)
def test_an_invalid_table_is_rejected_with_the_line(tmp_path, table, message):
    with pytest.raises(FileError, match=message):
        lfw.load(folder_with(tmp_path, table))


def test_a_missing_part_is_named(tmp_path):
    with pytest.raises(FileError, match="absent doesn't exist"):
        lfw.load(tmp_path / "absent")
    with pytest.raises(FileError, match=r"has no lfw_attributes\.txt"):
        lfw.load(tmp_path)
    (tmp_path / "lfw_attributes.txt").write_text(HEADER)
    with pytest.raises(FileError, match=r"lfw_attributes\.txt is a file"):
        lfw.load(tmp_path / "lfw_attributes.txt")
    with pytest.raises(FileError, match="has no lfw-deepfunneled"):
        lfw.load(tmp_path)
    (tmp_path / "lfw-deepfunneled.tgz").touch()
    with pytest.raises(FileError, match=r"unpack lfw-deepfunneled\.tgz there"):
        lfw.load(tmp_path)


def test_the_right_folder_is_suggested(lfw_folder):
    for wrong in (lfw_folder / "lfw-deepfunneled", lfw_folder.parent):
        with pytest.raises(FileError, match=f"; give {lfw_folder}, which has it"):
            lfw.load(wrong)


def test_an_image_of_another_size_is_rejected(tmp_path):
    dataset = lfw.load(folder_with(tmp_path, HEADER + "Ann Lee\t1\t0.5\t1\n"))
    Image.new("RGB", (100, 120)).save(dataset.folder / dataset.names[0])
    with pytest.raises(FileError, match="100 × 120 pixels, but LFW's images are 250 × 250"):
        dataset.face(0, 50)


def test_the_real_dataset_is_read_whole(real_lfw):
    dataset = lfw.load(real_lfw)
    assert len(dataset) == 3000
    assert dataset.scores.shape == (3000, 40)
