import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfi_jax.data.select import find_attribute, having, parse_attributes, score_distance, select
from dfi_jax.errors import InputError

NAMES = ("Male", "Smiling", "Mouth Slightly Open", "5 o' Clock Shadow")


def scores(n=400, seed=0):
    return np.random.default_rng(seed).normal(0, 2, (n, len(NAMES))).astype(np.float32)


@pytest.mark.parametrize(
    "name", ["Mouth Slightly Open", "mouth_slightly_open", "MOUTHSLIGHTLYOPEN", " mouth slightly_Open"]
)
def test_case_spaces_and_underscores_do_not_matter(name):
    assert find_attribute(name, NAMES) == 2


def test_a_misspelt_attribute_gets_the_nearest_names():
    with pytest.raises(InputError, match="no attribute 'Smilling'; did you mean Smiling"):
        find_attribute("Smilling", NAMES)


def test_attributes_are_separated_by_commas():
    assert parse_attributes("Smiling, ~ Mouth Slightly Open") == ("Smiling", "~Mouth Slightly Open")
    for text in ("", " , ", "~"):
        with pytest.raises(InputError, match="names no attribute"):
            parse_attributes(text)


def test_the_thresholds_are_those_of_the_article():
    column = np.array([[0.5], [0.49], [-0.5], [-0.51]], np.float32)
    has, opposite = having(column, ["Smiling"], ["Smiling"])
    assert has.tolist() == [True, False, False, False]
    assert opposite.tolist() == [False, False, False, True]


@given(seed=st.integers(0, 1000))
def test_source_has_the_opposite_of_every_attribute_of_the_target(seed):
    table = scores(seed=seed)
    chosen = select(table, NAMES, ["Smiling", "~Male"], distance=score_distance(table, table[0]))
    for rows, sign in ((chosen.target, 1), (chosen.source, -1)):
        assert (sign * table[rows, 1] >= 0.5).all()
        assert (sign * table[rows, 0] <= -0.5).all()


def test_the_nearest_k_are_taken_nearest_first():
    table, like = scores(), np.zeros(len(NAMES), np.float32)
    chosen = select(table, NAMES, ["Smiling"], distance=score_distance(table, like), k=17)
    distances = np.linalg.norm(table - like, axis=1)
    expected = sorted((row for row in range(len(table)) if table[row, 1] >= 0.5), key=lambda row: distances[row])[:17]
    assert chosen.target.tolist() == expected
    assert len(chosen.source) == 17


def test_what_is_excluded_is_never_taken():
    table = scores()
    exclude = np.arange(len(table)) % 3 == 0
    chosen = select(table, NAMES, ["Smiling"], distance=score_distance(table, table[0]), exclude=exclude)
    assert not exclude[chosen.source].any()
    assert not exclude[chosen.target].any()


def test_too_few_images_are_counted():
    table = scores(30)
    table[:, 1] = -1
    table[:4, 1] = 1
    with pytest.raises(InputError, match="4 have it and 26 have the opposite"):
        select(table, NAMES, ["Smiling"], distance=score_distance(table, table[0]))


def test_k_below_one_is_refused():
    with pytest.raises(InputError, match="k is 0"):
        select(scores(), NAMES, ["Smiling"], distance=score_distance(scores(), scores()[0]), k=0)
