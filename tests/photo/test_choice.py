import inspect

import numpy as np
import pytest

from dfi_jax.errors import FileError, InputError
from dfi_jax.photo import faces
from dfi_jax.photo.choice import choose, locate, parse_face
from dfi_jax.photo.faces import Face, detect
from dfi_jax.photo.photo import Photo
from dfi_jax.photo.placement import CANONICAL_POINTS, Placement

EYES = np.array([(203.2, 101.5), (246.5, 104.2)])
"""The centres of the astronaut's eyes."""


def face_of(side):
    return Face((0, 0, side, side), CANONICAL_POINTS)


def test_the_largest_face_is_chosen_or_the_one_with_a_number():
    found = [face_of(90), face_of(50), face_of(10)]
    assert choose(found) is found[0]
    assert choose(found, 1) is found[0]
    assert choose(found, 3) is found[2]


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_number_that_no_face_has_is_refused(number):
    with pytest.raises(InputError, match=f"no face {number}, because 2 faces were .* face, to 2"):
        choose([face_of(90), face_of(50)], number)
    with pytest.raises(InputError, match="no face 2, because 1 face was detected in it"):
        choose([face_of(90)], 2)


def test_no_face_is_an_error_that_names_the_way_out():
    with pytest.raises(InputError, match=r"no face was detected .*`whole` or to a box x0,y0,x1,y1"):
        choose([])


def test_without_the_extra_a_face_is_located_only_where_it_is_given(monkeypatch, nobody):
    monkeypatch.setattr(faces, "installed", lambda: False)
    for face in ("auto", 1):
        with pytest.raises(FileError, match=r"needs the packages dlib and .*`whole`"):
            locate(nobody, face)
    assert locate(nobody, "whole") == locate(nobody, annotated=Placement.whole((120, 140)))


def test_the_face_of_a_photo_is_located(astronaut):
    photo = Photo.of(astronaut)
    placement = locate(photo)
    np.testing.assert_allclose(placement.map_points(CANONICAL_POINTS[:2]), EYES, atol=4)
    assert placement == detect(astronaut)[0].placement
    assert locate(photo, points=68) == detect(astronaut, points=68)[0].placement
    assert placement.crop(photo.pixels).shape == (200, 200, 3)


def test_a_box_may_be_a_list(nobody):
    assert locate(nobody, [10, 20, 70, 80]).box == (10, 20, 70, 80)
    with pytest.raises(InputError, match=r"the box is \[10, 20, 70\]; give four integers"):
        locate(nobody, [10, 20, 70])


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_photo_on_its_side_or_upside_down_is_refused_with_the_turn_that_it_needs(
    astronaut, quarters
):
    photo = Photo.of(np.ascontiguousarray(np.rot90(astronaut, quarters)))
    with pytest.raises(InputError, match=rf"a turn of {90 * quarters}° clockwise; turn the"):
        locate(photo)


def test_a_face_that_is_detected_upside_down_is_refused(astronaut, monkeypatch):
    (face,) = detect(astronaut)
    x0, y0, x1, y1 = face.box
    height, width = astronaut.shape[:2]
    box = (width - x1, height - y1, width - x0, height - y0)
    found = [Face(box, face.points, score=0.9)]
    monkeypatch.setattr(faces, "detect", lambda pixels, points: found)
    photo = Photo.of(np.ascontiguousarray(astronaut[::-1, ::-1]))
    with pytest.raises(InputError, match="upside down; turn the photo"):
        locate(photo)
    found[0] = Face(box, face.points, score=1.0)  # No face upside down has so high a score.
    assert locate(photo) == face.placement


def test_a_number_selects_among_the_detected_faces(two_heads):
    photo = Photo.of(two_heads)
    large, small = detect(photo.pixels)
    assert locate(photo) == locate(photo, 1) == large.placement
    assert locate(photo, 2) == small.placement
    with pytest.raises(InputError, match="no face 3, because 2 faces were detected"):
        locate(photo, 3)


def test_a_photo_without_a_face_is_an_error_that_names_the_way_around(nobody):
    pytest.importorskip("dlib")
    with pytest.raises(InputError, match=r"no face was detected .*`whole`"):
        locate(nobody)


@pytest.fixture
def undetected(monkeypatch):
    """Detection fails the test."""

    def forbid(*arguments, **options):
        raise AssertionError("a face was looked for")

    monkeypatch.setattr(faces, "detect", forbid)


def test_an_annotated_face_is_used_only_if_none_is_given(undetected, nobody):
    annotated = Placement.from_box((40, 20, 110, 90))
    given = Placement.from_landmarks(CANONICAL_POINTS / 3)
    assert locate(nobody, annotated=annotated) is annotated
    assert locate(nobody, "whole", annotated=annotated).box == (0, 0, 120, 140)
    assert locate(nobody, (10, 20, 70, 90), annotated=annotated).box == (10, 20, 70, 90)
    assert locate(nobody, given, annotated=annotated) is given


def test_a_number_looks_for_faces_even_if_one_is_annotated(astronaut):
    annotated = Placement.from_box((40, 20, 110, 90))
    photo = Photo.of(astronaut)
    assert locate(photo, 1, annotated=annotated) == detect(astronaut)[0].placement


@pytest.mark.parametrize(
    ("face", "message"),
    [
        ((10, 20, 121, 90), "doesn't lie inside the photo, which is 120 × 140 pixels"),
        ((10, 20, 41, 90), "the face is 31 × 70 pixels, which is too small"),
        (Placement.from_box((0, 0, 200, 200)), "doesn't lie inside the photo"),
        (Placement.from_landmarks(CANONICAL_POINTS + 500), "lies outside the photo"),
        (Placement.from_landmarks(CANONICAL_POINTS / 10), "the face is 20 × 20 pixels"),
    ],
)
def test_a_face_that_cannot_be_edited_is_refused(undetected, nobody, face, message):
    with pytest.raises(InputError, match=message):
        locate(nobody, face)
    if isinstance(face, Placement):
        with pytest.raises(InputError, match=message):
            locate(nobody, annotated=face)


def test_a_photo_of_less_than_a_face_is_refused_without_detection(undetected):
    with pytest.raises(InputError, match="the face is 31 × 60 pixels, which is too small"):
        locate(Photo.of(np.zeros((60, 31, 3), np.uint8)))


@pytest.mark.parametrize("face", ["largest", "2", None, 1.5, True])
def test_another_kind_of_face_is_refused(undetected, nobody, face):
    with pytest.raises(InputError, match=r"give auto, whole, a number from 1 .* or a box"):
        inspect.unwrap(locate)(nobody, face)  # The tests' type checks would come first.


@pytest.mark.parametrize(
    ("text", "face"),
    [
        ("auto", "auto"),
        (" whole ", "whole"),
        ("1", 1),
        ("12", 12),
        ("40,20,210,190", (40, 20, 210, 190)),
        ("-5, 0, 10, 10", (-5, 0, 10, 10)),
    ],
)
def test_a_face_is_read_from_text(text, face):
    assert parse_face(text) == face


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Auto",
        "largest",
        "0",
        "-1",
        "1.5",
        "1,2,3",
        "1,2,3,4,5",
        "1,2,3,x",
        "10,0,10,9",
        "9,9,5,5",
    ],
)
def test_text_that_is_no_face_is_refused(text):
    with pytest.raises(
        InputError, match=r"the face is '.*'; give auto, whole, a number from 1 .*box"
    ):
        parse_face(text)
