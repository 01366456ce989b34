from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfi_jax.data import folders
from dfi_jax.errors import FileError
from dfi_jax.photo.placement import Placement


@pytest.fixture
def root(tmp_path):
    """Five images of one colour each, of different sizes."""
    for i, name in enumerate(("a.jpg", "b.png", "sub/c.png", "sub/d d.png", "é.png")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (20 + i, 30), (40 * i, 0, 255)).save(path)
    return tmp_path


def lists(root, source, target):
    (root / "source.txt").write_text(source, encoding="utf-8")
    (root / "sub" / "target.txt").write_text(target, encoding="utf-8")
    return root / "source.txt", root / "sub" / "target.txt"


def test_a_pair_of_lists_is_without_then_with_relative_to_each_list(root):
    text = f"# without it\na.jpg\n\n  sub/../b.png \n{root / 'é.png'}\n"
    dataset = folders.load_pair(*lists(root, text, "c.png\r\nd d.png"))
    assert dataset.names == ("a.jpg", "b.png", "é.png", "sub/c.png", "sub/d d.png")
    assert dataset.attributes == ("Target",)
    assert dataset.scores.ravel().tolist() == [-1, -1, -1, 1, 1]
    assert dataset.people is None
    np.testing.assert_allclose(
        dataset.face(3, 8), np.broadcast_to([80 / 255, 0, 1], (8, 8, 3)), atol=1e-6
    )
    assert dataset.index(root / "sub" / "c.png") == 3


def test_an_image_outside_the_first_lists_folder_keeps_its_whole_path(root):
    source, target = lists(root, "a.jpg", "c.png")
    dataset = folders.load_pair(target, source)
    assert dataset.names == ("c.png", str(root / "a.jpg"))
    assert dataset.face(1, 8).shape == (8, 8, 3)
    assert dataset.index(root / "a.jpg") == 1


def test_lists_are_found_from_the_working_folder(root, monkeypatch):
    source, target = lists(root, "a.jpg", "c.png")
    monkeypatch.chdir(root)
    dataset = folders.load_pair(source.relative_to(root), target.relative_to(root))
    monkeypatch.chdir(root.parent)
    assert dataset.face(1, 8).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (
            "a.jpg\nb.png\na.jpg\n",
            "c.png",
            r"a\.jpg occurs twice, in .*source\.txt, line 1 and in .*source\.txt, line 3; remove",
        ),
        (
            "a.jpg\n",
            "c.png\n../a.jpg\n",
            r"a\.jpg occurs twice, in .*source\.txt, line 1 and in .*target\.txt, line 2; remove",
        ),
        ("a.jpg\n\nx.png\n", "c.png", r"source\.txt, line 3, lists .*x\.png, which is not a file"),
        ("a.jpg\n", "../sub\n", r"target\.txt, line 1, lists .*sub, which is not a file"),
        ("x" * 5000, "c.png", r"source\.txt, line 1, lists .*….*, which is not a file"),
        ("a\x1b[31m\n", "c.png", r"lists .*a\\x1b\[31m, which is not a file"),
        ("# none\n\n", "c.png", r"source\.txt lists no image"),
        ("a.jpg", "", r"target\.txt lists no image"),
    ],
)
def test_invalid_lists_are_rejected_with_the_line(root, source, target, message):
    with pytest.raises(FileError, match=message):
        folders.load_pair(*lists(root, source, target))


def test_lists_that_are_not_text_are_rejected(root):
    source, target = lists(root, "a.jpg", "c.png")
    with pytest.raises(FileError, match=r"absent\.txt can't be read"):
        folders.load_pair(root / "absent.txt", target)
    with pytest.raises(FileError, match=r"a\.jpg is an image, .*; give a folder of images"):
        folders.load_pair(root / "a.jpg", target)
    source.write_bytes("a.jpg\né.png\n".encode("latin-1"))
    with pytest.raises(FileError, match=r"source\.txt, line 2, isn't UTF-8"):
        folders.load_pair(source, target)


@pytest.mark.parametrize("name", ["a\u2028b.jpg", "a\x85.jpg", "a\x0cb.jpg", "a.jpg ", " a.jpg"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_list_s_lines_end_at_line_ends_alone(root, name, end):
    Image.new("RGB", (20, 30)).save(root / name, "JPEG")
    source, target = lists(root, "", "c.png")
    source.write_bytes(f"\ufeff# without{end}{name}{end}".encode())
    assert folders.load_pair(source, target).names[0].endswith(name)


def test_a_list_with_nul_is_rejected_with_its_line(root):
    source, target = lists(root, "", "c.png")
    source.write_bytes(b"a.jpg\n\0b.jpg")
    with pytest.raises(FileError, match="line 2, isn't UTF-8 text"):
        folders.load_pair(source, target)


def test_two_folders_are_a_dataset(root):
    for folder in ("plain", "smiling/more"):
        (root / folder).mkdir(parents=True)
    for i, name in enumerate(
        ("plain/b.png", "plain/a.JPG", "smiling/z.jpeg", "smiling/more/c.webp", "smiling/d.bmp")
    ):
        Image.new("RGB", (20 + i, 30), (40 * i, 0, 255)).save(root / name)
    (root / "plain" / "notes.txt").write_text("not an image")
    (root / "plain" / ".hidden.png").write_text("not an image")
    (root / "smiling" / ".cache").mkdir()
    Image.new("RGB", (20, 30)).save(root / "smiling" / ".cache" / "e.png")
    dataset = folders.load_pair(root / "plain", root / "smiling")
    assert dataset.name == "pair"
    assert dataset.names == (
        "plain/a.JPG",
        "plain/b.png",
        "smiling/d.bmp",
        "smiling/more/c.webp",
        "smiling/z.jpeg",
    )
    assert dataset.attributes == ("Target",)
    assert dataset.scores.ravel().tolist() == [-1, -1, 1, 1, 1]
    assert dataset.crop is None
    assert dataset.placement(1) == Placement.whole((20, 30))
    expected = np.broadcast_to([0, 0, 1], (8, 8, 3))
    np.testing.assert_allclose(dataset.face(1, 8), expected, atol=1e-6)
    assert dataset.index(root / "smiling" / "more" / "c.webp") == 3


def test_folders_are_found_from_the_working_folder(root, monkeypatch):
    monkeypatch.chdir(root / "sub")
    (root / "sub" / "inner").mkdir()
    Image.new("RGB", (20, 30)).save(root / "sub" / "inner" / "a.png")
    (root / "other").mkdir()
    Image.new("RGB", (20, 30)).save(root / "other" / "a.png")
    dataset = folders.load_pair(Path("inner"), Path("../other"))
    monkeypatch.chdir(root)
    assert dataset.names == ("inner/a.png", str(root / "other" / "a.png"))
    assert dataset.face(0, 8).shape == dataset.face(1, 8).shape == (8, 8, 3)


def test_a_folder_and_a_list_are_a_pair(root):
    (root / "list.txt").write_text("a.jpg\nb.png\n")
    dataset = folders.load_pair(root / "list.txt", root / "sub")
    assert dataset.names == ("a.jpg", "b.png", "sub/c.png", "sub/d d.png")
    dataset = folders.load_pair(root / "sub", root / "list.txt")
    assert dataset.names == ("sub/c.png", "sub/d d.png", "a.jpg", "b.png")


def test_folders_that_are_not_a_pair_are_rejected(root):
    (root / "empty").mkdir()
    (root / "empty" / "notes.txt").touch()
    with pytest.raises(FileError, match="empty has no image; give a folder"):
        folders.load_pair(root / "sub", root / "empty")
    with pytest.raises(FileError, match=r"absent can't be read .*No such file"):
        folders.load_pair(root / "absent", root / "sub")
    with pytest.raises(FileError, match=r"c\.png occurs twice, in .*sub and in .*sub; remove"):
        folders.load_pair(root / "sub", root / "sub")
    with pytest.raises(FileError, match=r"c\.png occurs twice, in"):
        folders.load_pair(root / "sub", root)


def test_images_in_a_folder_are_sorted_and_hidden_files_are_skipped(root):
    (root / ".hidden").mkdir()
    (root / ".hidden" / "x.png").touch()
    (root / ".y.png").touch()
    found = [str(path.relative_to(root)) for path in folders.images_in(root)]
    assert found == ["a.jpg", "b.png", "sub/c.png", "sub/d d.png", "é.png"]
    with pytest.raises(FileError, match="absent can't be read"):
        folders.images_in(root / "absent")


def test_photos_that_cannot_be_read_are_counted_and_unusual_suffixes_are_read(tmp_path, caplog):
    for name in ("a.jfif", "b.HEIC", "c.nef", "d.txt", ".e.heic"):
        (tmp_path / name).touch()
    assert [path.name for path in folders.images_in(tmp_path)] == ["a.jfif"]
    assert "(.heic, .nef) were left out: 2; save them as JPEG" in caplog.text


def test_links_to_folders_are_followed_and_none_is_read_twice(tmp_path):
    for name in ("elsewhere/1.png", "with/0.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "with" / "up").symlink_to(tmp_path / "with")
    for name in ("a", "b"):
        (tmp_path / "with" / name).symlink_to(tmp_path / "elsewhere")
    found = folders.images_in(tmp_path / "with")
    assert [str(path.relative_to(tmp_path)) for path in found] == ["with/0.png", "with/a/1.png"]


def test_a_catalogue_of_shoes_is_read_from_the_nested_folders_of_ut_zappos50k(tmp_path):
    shoes = ("Boots/Ankle/A. Brand & Co/7512.4.2.jpg", "Shoes/Oxfords/Brand/8012345.89.jpg")
    others = ("Sandals/Flat/Brand/100627.72.jpg", "Shoes/Oxfords/Brand/8012345.9.jpg")
    for i, name in enumerate((*shoes, *others)):
        path = tmp_path / ("with" if name in others else "without") / name
        path.parent.mkdir(parents=True)
        Image.new("RGB", (136, 102), (60 * i, 0, 255)).save(path)
    dataset = folders.load_pair(tmp_path / "without", tmp_path / "with")
    assert dataset.names == tuple(f"without/{n}" for n in shoes) + tuple(
        f"with/{n}" for n in others
    )
    assert dataset.scores.ravel().tolist() == [-1, -1, 1, 1]
    means = [round(255 * float(dataset.face(row, 8)[..., 0].mean())) for row in range(4)]
    assert means == pytest.approx([0, 60, 120, 180], abs=2)  # JPEG rounds colours.


TABLE = (
    'image,person,Smiling,Male\na.jpg,Ann,1.5,-1\n"sub/d d.png", Bob ,-0.5,1\n\né.png,Ann,0,2e-1\n'
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_table_is_read(root, encoding, newline):
    (root / "scores.csv").write_text(TABLE, encoding=encoding, newline=newline)
    dataset = folders.load_table(root)
    assert dataset.names == ("a.jpg", "sub/d d.png", "é.png")
    assert dataset.attributes == ("Smiling", "Male")
    np.testing.assert_allclose(dataset.scores, [[1.5, -1], [-0.5, 1], [0, 0.2]])
    assert dataset.people.tolist() == ["Ann", "Bob", "Ann"]
    assert dataset.face(0, 8).shape == (8, 8, 3)
    assert dataset.index(root / "é.png") == 2


def test_each_image_without_a_person_shows_somebody_else(root):
    (root / "scores.csv").write_text("image,person,Smiling\na.jpg,,1\nb.png, ,-1\né.png,Ann,0\n")
    assert len(set(folders.load_table(root).people.tolist())) == 3


def test_a_table_of_another_name_without_people_and_with_missing_images_is_read(root):
    (root / "mine.csv").write_text("Smiling,image\n1,absent.png\n-1,./b.png\n")
    dataset = folders.load_table(root / "mine.csv")
    assert dataset.names == ("b.png",)
    assert dataset.scores.tolist() == [[-1]]
    assert dataset.people is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,Smiling\na.jpg,1\n", "has no column image"),
        ("image;Smiling\na.jpg;1\n", "has no column image in its header 'image;Smiling'"),
        ("image,Smiling,Smiling\na.jpg,1,1\n", "has 2 columns 'Smiling'"),
        ("image,image,Smiling\na.jpg,a.jpg,1\n", "has 2 columns 'image'"),
        ("image,person\na.jpg,Ann\n", "has no column of scores"),
        ("image,Smiling,\na.jpg,1,\n", "has a column without a name"),
        ("image,Smiling\na.jpg,1\nb.png,1,2\n", "line 3, has 3 cells but the header has 2"),
        ("image,Smiling\na.jpg,1\n\nb.png\n", "line 4, has 1 cells but the header has 2"),
        ("image,Smiling\na.jpg,much\n", "line 2, can't be read .*'much'"),
        ("image,Smiling\na.jpg,\n", "line 2, can't be read"),
        ("image,Smiling\na.jpg,nan\n", "line 2, has a score that is not finite"),
        ("image,Smiling\na.jpg,-inf\n", "line 2, has a score that is not finite"),
        ("image,Smiling\nabsent.png,nan\n", "line 2, has a score that is not finite"),
        ("image,Smiling\n,1\n", "line 2, names no image"),
        ("image,Smiling\na.jpg,1\nsub/../a.jpg,1\n", r"line 3, is about a\.jpg, as line 2 is"),
        ('image,Smiling\n"a.jpg,1\n', "line 2, can't be read as CSV"),
        (f"image,Smiling\n{'x' * 5000},1\n", "has scores for 1 images, none of which exists"),
        ("image,Smiling\nx.jpg,1\n", "has scores for 1 images, none of which exists"),
        ("image,Smiling\n", "has no row of scores"),
        ("\n", "has no column image"),
        ("image,Smiling\na.jpg,1e99\n", "line 2, has a score that is not finite"),
    ],
)
def test_an_invalid_table_is_rejected_with_the_line(root, text, message):
    (root / "scores.csv").write_text(text)
    with pytest.raises(FileError, match=f"scores.csv.*{message}"):
        folders.load_table(root)


@pytest.mark.parametrize(("encoding", "line"), [("latin-1", 5), ("utf-16", 1)])
def test_a_table_in_another_encoding_is_rejected(root, encoding, line):
    (root / "scores.csv").write_text(TABLE, encoding=encoding)
    with pytest.raises(FileError, match=f"scores.csv, line {line}, isn't UTF-8"):
        folders.load_table(root)


def test_the_right_folder_is_suggested(root):
    (root / "scores.csv").write_text(TABLE)
    with pytest.raises(FileError, match=f"; give {root}, which has it"):
        folders.load_table(root / "sub")
    with pytest.raises(
        FileError, match=r"absent doesn't exist; give the folder that holds scores\.csv"
    ):
        folders.load_table(root / "absent")


def test_a_file_that_is_not_an_image_is_rejected_when_it_is_read(root):
    (root / "b.png").write_text("no image")
    (root / "scores.csv").write_text("image,Smiling\nb.png,1\n")
    with pytest.raises(FileError, match=r"b\.png isn't an image"):
        folders.load_table(root).face(0, 8)


def test_lists_of_lfws_images_get_its_crop(root, lfw_folder):
    images = sorted((lfw_folder / "lfw-deepfunneled").rglob("*.jpg"))
    source, target = lists(root, str(images[0]), str(images[1]))
    dataset = folders.load_pair(source, target)
    expected = Image.open(images[1]).crop((40, 20, 210, 190))
    np.testing.assert_allclose(dataset.face(1, 170), np.asarray(expected) / 255, atol=1e-6)
    source.write_text(f"{images[0]}\na.jpg\n", encoding="utf-8")
    assert folders.load_pair(source, target).crop is None
