import numpy as np
import pytest
from PIL import Image

from dfi_jax.data import celeba
from dfi_jax.errors import FileError
from dfi_jax.photo.placement import CANONICAL_POINTS

NAMES = "Male Mouth_Slightly_Open Smiling"
POINTS = " ".join(
    f"{point}_{axis}"
    for point in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
    for axis in "xy"
)
TEMPLATE = np.array([(69.5, 111.3), (107.7, 111.2), (88.2, 135.5), (72, 152), (105.5, 152)])
"""The points to which CelebA's images are aligned, approximately."""

SCORES = {"000001.jpg": (-1, 1, 1), "000002.jpg": (1, -1, -1), "000003.jpg": (1, 1, -1)}


def table(header, rows):
    lines = [
        str(len(rows)),
        header + " ",
        *("  ".join(map(str, (name, *row))) for name, row in rows.items()),
    ]
    return "\n".join(lines) + "\n"


def points_of(i):
    return np.round(TEMPLATE + i).astype(int).ravel()


@pytest.fixture
def folder(tmp_path):
    """Three images with all their published files, the landmarks in reverse order."""
    (tmp_path / "img_align_celeba").mkdir()
    for i, name in enumerate(SCORES):
        Image.new("RGB", (178, 218), (50 * i, 100, 200)).save(tmp_path / "img_align_celeba" / name)
    (tmp_path / "list_attr_celeba.txt").write_text(table(NAMES, SCORES))
    landmarks = {name: points_of(i) for i, name in reversed(list(enumerate(SCORES)))}
    (tmp_path / "list_landmarks_align_celeba.txt").write_text(table(POINTS, landmarks))
    (tmp_path / "identity_CelebA.txt").write_text(
        "000001.jpg 2880\n000002.jpg 2937\n000003.jpg 2880\n"
    )
    return tmp_path


def test_rows_are_read_as_published_and_matched_by_name(folder):
    dataset = celeba.load(folder)
    assert len(dataset) == 3
    assert dataset.names == tuple(SCORES)
    assert dataset.attributes == ("Male", "Mouth_Slightly_Open", "Smiling")
    np.testing.assert_array_equal(dataset.scores, list(SCORES.values()))
    np.testing.assert_array_equal(dataset.landmarks, [points_of(i).reshape(5, 2) for i in range(3)])
    assert dataset.people.tolist() == [2880, 2937, 2880]
    assert dataset.index(folder / "img_align_celeba" / "000002.jpg") == 1


def test_the_published_folder_is_read(folder, tmp_path):
    for name in ("list_attr_celeba.txt", "list_landmarks_align_celeba.txt", "identity_CelebA.txt"):
        (tmp_path / "Anno").mkdir(exist_ok=True)
        (folder / name).rename(tmp_path / "Anno" / name)
    (tmp_path / "Img").mkdir()
    (folder / "img_align_celeba").rename(tmp_path / "Img" / "img_align_celeba")
    dataset = celeba.load(tmp_path)
    assert dataset.landmarks is not None
    assert dataset.people is not None
    assert dataset.face(0, 20).shape == (20, 20, 3)
    for wrong in ("Anno", "Img"):
        with pytest.raises(FileError, match=f"; give {tmp_path}, which has it"):
            celeba.load(tmp_path / wrong)


def test_an_archive_unpacked_into_a_folder_of_its_name_is_read(folder):
    (folder / "img_align_celeba").rename(folder / "inner")
    (folder / "img_align_celeba").mkdir()
    (folder / "inner").rename(folder / "img_align_celeba" / "img_align_celeba")
    assert celeba.load(folder).folder == folder / "img_align_celeba" / "img_align_celeba"


def test_with_landmarks_the_points_are_moved_to_the_canonical_ones(folder):
    pixels = np.zeros((218, 178, 3), np.uint8)
    eye = points_of(0)[:2]
    pixels[eye[1] - 2 : eye[1] + 3, eye[0] - 2 : eye[0] + 3] = 255
    Image.fromarray(pixels).save(folder / "img_align_celeba" / "000001.jpg", quality=100)
    face = celeba.load(folder).face(0, 200)[..., 0]
    y, x = (np.average(axis, weights=face) for axis in np.mgrid[:200, :200])
    # The template fits the canonical points to 2 pixels.
    np.testing.assert_allclose((x, y), CANONICAL_POINTS[0], atol=2)


def test_without_landmarks_the_crop_is_where_the_template_says(folder):
    (folder / "list_landmarks_align_celeba.txt").unlink()
    (folder / "identity_CelebA.txt").unlink()
    dataset = celeba.load(folder)
    assert dataset.landmarks is None
    assert dataset.people is None
    # This is the closed form of the least squares, with scale and translation only.
    p, q = (points - points.mean(axis=0) for points in (TEMPLATE, CANONICAL_POINTS))
    scale = np.sum(p * q) / np.sum(p * p)
    shift = CANONICAL_POINTS.mean(axis=0) - scale * TEMPLATE.mean(axis=0)
    corners = [(edge - shift) / scale + 0.5 for edge in (-0.5, 199.5)]
    np.testing.assert_array_equal(dataset.crop, np.round(np.concatenate(corners)))
    assert dataset.face(0, 30).shape == (30, 30, 3)


def test_rows_without_an_image_and_images_without_a_row_are_skipped(folder, caplog):
    (folder / "img_align_celeba" / "000002.jpg").rename(folder / "img_align_celeba" / "000004.jpg")
    dataset = celeba.load(folder)
    assert caplog.messages[0].endswith("txt: 1 of 3 images don't exist and were left out.")
    assert dataset.names == ("000001.jpg", "000003.jpg")
    np.testing.assert_array_equal(dataset.scores, [SCORES["000001.jpg"], SCORES["000003.jpg"]])
    np.testing.assert_array_equal(dataset.landmarks[1].ravel(), points_of(2))
    assert dataset.people.tolist() == [2880, 2880]
    for path in (folder / "img_align_celeba").iterdir():
        path.unlink()
    with pytest.raises(FileError, match=r"none of the 3 images of .*list_attr_celeba\.txt is in"):
        celeba.load(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\nMale Young\n000001.jpg 1\n", "line 3, has 1 values instead of 2"),
        ("2\nMale Young\n000001.jpg 1 1\n000002.jpg 1 1 1\n", "line 4, has 3 values instead of 2"),
        ("1\nMale Young\n000001.jpg 1 yes\n", "line 3, can't be read .*'yes'"),
        (
            "2\nMale Young\n\n000001.jpg 1 1\n000002.jpg 1 nan\n",
            "line 5, has a value that is not finite",
        ),
        ("1\nMale\n000001.jpg 1e99\n", "line 3, has a value that is not finite"),
        ("2\nMale\n000001.jpg 1\n000001.jpg -1\n", "line 4, is about 000001.jpg, as line 3 is"),
        (f"1\nMale\n{'a' * 99}.jpg 1\n", "line 3, names an image with more than 47 characters"),
        ("3\nMale\n000001.jpg 1\n", "announces 3 images in its first line but has 1"),
        ("0\nMale\n", "lists no images"),
        ("1\n", "doesn't begin with"),
        ("", "doesn't begin with"),
        ("Male Young\n000001.jpg 1 1\n", "doesn't begin with"),
        ("1\nMale Male\n000001.jpg 1 1\n", "has 2 columns 'Male'"),
    ],
)
def test_an_invalid_attributes_file_is_rejected_with_the_line(folder, text, message):
    (folder / "list_attr_celeba.txt").write_text(text)
    with pytest.raises(FileError, match=f"list_attr_celeba.txt.*{message}"):
        celeba.load(folder)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_rejected(folder, encoding):
    # The table is longer than the buffer that the header is read into.
    rows = {f"{i:06d}.jpg": (1,) for i in range(2000)} | {"é.jpg": (1,)}
    (folder / "list_attr_celeba.txt").write_text(table("Male", rows), encoding=encoding)
    with pytest.raises(
        FileError, match=r"list_attr_celeba\.txt, line \d+, isn't UTF-8 text; save the file in"
    ):
        celeba.load(folder)


def as_csv(text):
    """A published table in the form that Kaggle gives it."""
    _, header, *rows = text.splitlines()
    lines = [["image_id", *header.split()], *(row.split() for row in rows)]
    return "".join(",".join(line) + "\n" for line in lines)


def test_csv_files_are_read_like_the_published_ones(folder):
    published = celeba.load(folder)
    for name in ("list_attr_celeba", "list_landmarks_align_celeba"):
        text = (folder / f"{name}.txt").read_text()
        (folder / f"{name}.csv").write_text("\ufeff" + as_csv(text), encoding="utf-8")
        (folder / f"{name}.txt").unlink()
    found = celeba.load(folder)
    assert (found.names, found.attributes) == (published.names, published.attributes)
    np.testing.assert_array_equal(found.scores, published.scores)
    np.testing.assert_array_equal(found.landmarks, published.landmarks)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,Male\n000001.jpg,1\n", "doesn't begin with a line image_id,NAME"),
        ("image_id,Male,Male\n000001.jpg,1,1\n", "has 2 columns 'Male'"),
        ("image_id,Male\n000001.jpg,1\n000002.jpg,1,1\n", "line 3, has 2 values instead of 1"),
        ("image_id,Male\n000001.jpg,1\n000002.jpg,\n", "line 3, can't be read"),
        ("image_id,Male\n000001.jpg,1e999\n", "line 2, has a value that is not finite"),
    ],
)
def test_an_invalid_csv_file_is_rejected_with_the_line(folder, text, message):
    (folder / "list_attr_celeba.txt").unlink()
    (folder / "list_attr_celeba.csv").write_text(text)
    with pytest.raises(FileError, match=rf"list_attr_celeba\.csv.*{message}"):
        celeba.load(folder)


def test_files_of_other_images_are_rejected(folder):
    landmarks = folder / "list_landmarks_align_celeba.txt"
    right = landmarks.read_text()
    landmarks.write_text(right.replace("000002", "000009"))
    with pytest.raises(FileError, match=r"no row for 1 images of .*, such as 000002\.jpg"):
        celeba.load(folder)
    landmarks.write_text(right.replace("nose_x nose_y ", ""))
    with pytest.raises(FileError, match="line 3, has 10 values instead of 8"):
        celeba.load(folder)
    landmarks.write_text(right.replace("nose_x", "chin_x"))
    with pytest.raises(FileError, match=r"has the columns lefteye_x .* instead of lefteye_x"):
        celeba.load(folder)
    landmarks.write_text(right)
    (folder / "identity_CelebA.txt").write_text("000001.jpg 2880\n000001.jpg 2937\n")
    with pytest.raises(
        FileError, match=r"identity_CelebA.txt, line 2, is about 000001\.jpg, as line 1 is"
    ):
        celeba.load(folder)
    (folder / "identity_CelebA.txt").write_text("")
    with pytest.raises(FileError, match=r"identity_CelebA\.txt lists no images"):
        celeba.load(folder)


def test_a_missing_part_or_an_archive_is_named(folder):
    with pytest.raises(FileError, match="absent doesn't exist"):
        celeba.load(folder / "absent")
    (folder / "img_align_celeba").rename(folder / "elsewhere")
    with pytest.raises(FileError, match="has no img_align_celeba"):
        celeba.load(folder)
    (folder / "img_align_celeba.zip").touch()
    with pytest.raises(FileError, match=r"unpack img_align_celeba\.zip there"):
        celeba.load(folder)
    (folder / "Img").mkdir()
    (folder / "img_align_celeba.zip").rename(folder / "Img" / "img_align_celeba.zip")
    with pytest.raises(
        FileError, match=r"Img has no img_align_celeba; unpack img_align_celeba\.zip there"
    ):
        celeba.load(folder)
    (folder / "img_align_celeba").touch()
    with pytest.raises(FileError, match="img_align_celeba is a file"):
        celeba.load(folder)
    with pytest.raises(FileError, match=r"; give .*, which has it"):
        celeba.load(folder / "elsewhere")


def test_an_image_that_has_another_size_or_is_cut_short_is_rejected(folder):
    dataset = celeba.load(folder)
    Image.new("RGB", (100, 120)).save(dataset.folder / dataset.names[0])
    with pytest.raises(
        FileError, match="100 × 120 pixels, but CelebA's aligned images are 178 × 218"
    ):
        dataset.face(0, 50)
    path = dataset.folder / dataset.names[1]
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(FileError, match=r"000002\.jpg can't be read"):
        dataset.face(1, 50)


@pytest.mark.parametrize("number", ["1e30", "2880.5"])
def test_a_person_who_has_no_whole_number_is_rejected(folder, number):
    path = folder / "identity_CelebA.txt"
    path.write_text(path.read_text().replace("2937", number))
    with pytest.raises(FileError, match=r"gives 000002\.jpg an identity that isn't a whole number"):
        celeba.load(folder)
