"""Letters that are drawn in the faces of two families of fonts."""

from importlib import resources

import letters
import numpy as np
import pytest
from fontTools.ttLib import TTFont


@pytest.mark.parametrize("name", letters.FAMILIES)
def test_every_font_of_a_family_has_all_its_letters(name):
    family = letters.FAMILIES[name]
    assert len(set(family.letters)) == len(family.letters)
    assert len(set(family.files)) == len(letters.FONTS)
    for file in family.files:
        package, _, path = file.partition("/")
        pytest.importorskip(package)
        with TTFont(str(resources.files(package).joinpath(path)), lazy=True) as font:
            assert set(map(ord, family.letters)) <= font.getBestCmap().keys()
            style = font["name"].getDebugName(4).lower().replace("oblique", "italic")
        serif, bold, italic = list(letters.FONTS.values())[family.files.index(file)]
        assert [word in style for word in ("serif", "bold", "italic")] == [
            score > 0 for score in (serif, bold, italic)
        ]


def test_pairs_are_the_same_letters_of_one_family_in_both_faces():
    dataset = letters.make_dataset({"DejaVu": "abcde", "Source Pro": "xyz"}, 16)
    found = letters.select_pairs(dataset, "DejaVu", letters.CHANGES["italic"], k=3)
    before, after = ([dataset.names[i] for i in rows] for rows in (found.source, found.target))
    assert before == [f"DejaVu/serif/{letter}" for letter in "ace"]
    assert after == [f"DejaVu/italic serif/{letter}" for letter in "ace"]
    serif, bold, italic = dataset.scores.T > 0
    assert serif[found.target].all()
    assert italic[found.target].all()
    assert not (bold[found.target] | italic[found.source]).any()
    np.testing.assert_array_equal(dataset.scores[found.source, 0], 1)
