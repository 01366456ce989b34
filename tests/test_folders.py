import numpy as np
import pytest
from PIL import Image

from dfi_jax.data import folders
from dfi_jax.errors import FileError


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


def test_lists_are_source_then_target_relative_to_each_list(root):
    text = f"# those that lack it\na.jpg\n\n  sub/../b.png \n{root / 'é.png'}\n"
    dataset = folders.load_lists(*lists(root, text, "c.png\r\nd d.png"))
    assert dataset.names == ("a.jpg", "b.png", "é.png", "sub/c.png", "sub/d d.png")
    assert dataset.attributes == ("Target",)
    assert dataset.scores.ravel().tolist() == [-1, -1, -1, 1, 1]
    assert dataset.people is None
    np.testing.assert_allclose(dataset.face(3, 8), np.broadcast_to([80 / 255, 0, 1], (8, 8, 3)), atol=1e-6)
    assert dataset.index(root / "sub" / "c.png") == 3


def test_an_image_outside_of_the_first_lists_folder_keeps_its_whole_path(root):
    source, target = lists(root, "a.jpg", "c.png")
    dataset = folders.load_lists(target, source)
    assert dataset.names == ("c.png", str(root / "a.jpg"))
    assert dataset.face(1, 8).shape == (8, 8, 3)
    assert dataset.index(root / "a.jpg") == 1


def test_lists_are_found_from_the_working_folder(root, monkeypatch):
    source, target = lists(root, "a.jpg", "c.png")
    monkeypatch.chdir(root)
    dataset = folders.load_lists(source.relative_to(root), target.relative_to(root))
    monkeypatch.chdir(root.parent)
    assert dataset.face(1, 8).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("a.jpg\nb.png\na.jpg\n", "c.png", r"source\.txt, line 3, lists .*a\.jpg, as .*source\.txt, line 1 does"),
        ("a.jpg\n", "c.png\n../a.jpg\n", r"target\.txt, line 2, lists .*a\.jpg, as .*source\.txt, line 1 does"),
        ("a.jpg\n\nx.png\n", "c.png", r"source\.txt, line 3, lists .*x\.png, which is not a file"),
        ("a.jpg\n", "../sub\n", r"target\.txt, line 1, lists .*sub, which is not a file"),
        ("# none\n\n", "c.png", r"source\.txt lists no image"),
        ("a.jpg", "", r"target\.txt lists no image"),
    ],
)
def test_lists_that_are_wrong_are_refused_with_the_place(root, source, target, message):
    with pytest.raises(FileError, match=message):
        folders.load_lists(*lists(root, source, target))


def test_lists_that_are_no_text_are_refused(root):
    source, target = lists(root, "a.jpg", "c.png")
    with pytest.raises(FileError, match=r"absent\.txt can't be read"):
        folders.load_lists(root / "absent.txt", target)
    with pytest.raises(FileError, match="sub can't be read"):
        folders.load_lists(root / "sub", target)
    source.write_bytes("a.jpg\né.png\n".encode("latin-1"))
    with pytest.raises(FileError, match=r"source\.txt, line 2, isn't UTF-8"):
        folders.load_lists(source, target)


TABLE = 'image,person,Smiling,Male\na.jpg,Ann,1.5,-1\n"sub/d d.png", Bob ,-0.5,1\n\né.png,Ann,0,2e-1\n'


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
        ("image,Smiling,Smiling\na.jpg,1,1\n", "has two columns 'Smiling'"),
        ("image,image,Smiling\na.jpg,a.jpg,1\n", "has two columns 'image'"),
        ("image,person\na.jpg,Ann\n", "has no column of scores"),
        ("image,Smiling,\na.jpg,1,\n", "has a column without a name"),
        ("image,Smiling\na.jpg,1\nb.png,1,2\n", "line 3, has 3 cells and the header has 2"),
        ("image,Smiling\na.jpg,1\n\nb.png\n", "line 4, has 1 cells and the header has 2"),
        ("image,Smiling\na.jpg,much\n", "line 2, can't be read .*'much'"),
        ("image,Smiling\na.jpg,\n", "line 2, can't be read"),
        ("image,Smiling\na.jpg,nan\n", "line 2, has a score that is not finite"),
        ("image,Smiling\na.jpg,-inf\n", "line 2, has a score that is not finite"),
        ("image,Smiling\nabsent.png,nan\n", "line 2, has a score that is not finite"),
        ("image,Smiling\n,1\n", "line 2, names no image"),
        ("image,Smiling\na.jpg,1\nsub/../a.jpg,1\n", r"line 3, is about a\.jpg, as line 2 is"),
        ('image,Smiling\n"a.jpg,1\n', "line 2, can't be read as CSV"),
        ("image,Smiling\nx.jpg,1\n", "has scores for 1 images, and none of them is there"),
        ("image,Smiling\n", "has no row of scores"),
        ("\n", "has no column image"),
        ("image,Smiling\na.jpg,1e99\n", "line 2, has a score that is not finite"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_the_place(root, text, message):
    (root / "scores.csv").write_text(text)
    with pytest.raises(FileError, match=f"scores.csv.*{message}"):
        folders.load_table(root)


@pytest.mark.parametrize(("encoding", "line"), [("latin-1", 5), ("utf-16", 1)])
def test_a_table_in_another_encoding_is_refused(root, encoding, line):
    (root / "scores.csv").write_text(TABLE, encoding=encoding)
    with pytest.raises(FileError, match=f"scores.csv, line {line}, isn't UTF-8"):
        folders.load_table(root)


def test_the_folder_that_is_meant_is_named(root):
    (root / "scores.csv").write_text(TABLE)
    with pytest.raises(FileError, match=f"; {root} has, give that folder"):
        folders.load_table(root / "sub")
    with pytest.raises(FileError, match=r"absent does not exist; give the folder that holds scores\.csv"):
        folders.load_table(root / "absent")


def test_an_image_that_is_none_is_refused_when_it_is_read(root):
    (root / "b.png").write_text("no image")
    (root / "scores.csv").write_text("image,Smiling\nb.png,1\n")
    with pytest.raises(FileError, match=r"b\.png is not an image"):
        folders.load_table(root).face(0, 8)


def test_lists_of_lfw_s_images_get_its_crop(root, lfw_folder):
    images = sorted((lfw_folder / "lfw-deepfunneled").rglob("*.jpg"))
    source, target = lists(root, str(images[0]), str(images[1]))
    dataset = folders.load_lists(source, target)
    expected = Image.open(images[1]).crop((40, 20, 210, 190))
    np.testing.assert_allclose(dataset.face(1, 170), np.asarray(expected) / 255, atol=1e-6)
    source.write_text(f"{images[0]}\na.jpg\n", encoding="utf-8")
    assert folders.load_lists(source, target).crop is None
