import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfi_jax.data.admission import thresholded
from dfi_jax.data.wanted import Term, Wanted, find_attribute
from dfi_jax.errors import InputError

NAMES = ("Male", "Smiling", "Mouth Slightly Open", "5 o' Clock Shadow")


@pytest.mark.parametrize(
    "name",
    ["Mouth Slightly Open", "mouth_slightly_open", "MOUTHSLIGHTLYOPEN", " mouth slightly_Open"],
)
def test_case_spaces_and_underscores_do_not_matter(name):
    assert find_attribute(name, NAMES) == 2


def test_of_names_that_differ_in_case_the_very_one_is_found():
    assert [find_attribute(name, ("smiling", "Smiling")) for name in ("smiling", "Smiling")] == [
        0,
        1,
    ]


def test_a_misspelt_attribute_gets_the_nearest_names():
    with pytest.raises(InputError, match="'Smilling' doesn't exist; did you mean Smiling"):
        find_attribute("Smilling", NAMES)


def test_an_unknown_attribute_gets_all_names():
    with pytest.raises(InputError, match="'Zzz' doesn't exist; choose from 5 o' Clock Shadow, Ma"):
        find_attribute("Zzz", NAMES)


def test_a_dataset_without_scores_has_no_attributes_to_choose_from():
    with pytest.raises(InputError, match="in a dataset without scores"):
        find_attribute("Smiling", ())


def test_attributes_are_separated_by_commas():
    differing = Wanted.parse("Smiling, ~ Mouth Slightly Open")
    assert differing == Wanted((Term("Smiling"), Term("Mouth Slightly Open", on=False)))
    assert Wanted.parse("+Young,-Male,Smiling").terms == (
        Term("Young", shared=True),
        Term("Male", on=False, shared=True),
        Term("Smiling"),
    )


@pytest.mark.parametrize("text", ["", " , ", "~", "+Young,-Male", "Smiling,+"])
def test_at_least_one_attribute_must_differ(text):
    with pytest.raises(InputError, match="names no attribute to change"):
        Wanted.parse(text)


@pytest.mark.parametrize("name", ["a,b", "~Smiling", " Smiling"])
def test_a_name_that_text_cannot_hold_is_rejected(name):
    with pytest.raises(InputError, match="isn't the name of an attribute"):
        Wanted((Term(name),))


names = st.text(st.characters(exclude_characters=",~+-"), min_size=1).map(str.strip).filter(bool)
terms = st.builds(Term, names, st.booleans(), st.booleans())


@given(st.lists(terms, min_size=1))
def test_the_text_of_what_is_wanted_is_read_back(wanted):
    if all(term.shared for term in wanted):
        wanted.append(Term("Smiling"))
    assert Wanted.parse(str(Wanted(tuple(wanted)))) == Wanted(tuple(wanted))


def test_names_are_resolved_to_those_of_the_dataset():
    wanted = Wanted.parse("smiling,~mouth_slightly_open,+MALE").resolve(NAMES)
    assert str(wanted) == "Smiling,~Mouth Slightly Open,+Male"
    with pytest.raises(InputError, match="did you mean Smiling"):
        Wanted.parse("Smilling").resolve(NAMES)


def test_what_is_wanted_is_given_as_a_value_or_as_text():
    for wanted in (Wanted.parse("smiling"), "smiling"):
        assert Wanted.of(wanted, NAMES) == Wanted((Term("Smiling"),))


@pytest.mark.parametrize("wanted", [None, "", " "])
def test_the_only_attribute_of_a_dataset_needs_no_name(wanted):
    assert Wanted.of(wanted, ["Target"]) == Wanted((Term("Target"),))
    assert Wanted.of("target", ["Target"]) == Wanted((Term("Target"),))
    for attributes in (NAMES, ()):
        with pytest.raises(InputError, match="names no attribute to change"):
            Wanted.of(wanted, attributes)


def test_the_source_set_has_the_opposite_except_for_what_is_shared():
    signs = np.array([[x, y, z, 0] for x in (1, -1) for y in (1, -1) for z in (1, -1)], np.float32)
    wanted = Wanted.parse("Male,~Smiling,+Mouth Slightly Open")
    source, target = wanted.members(thresholded(signs), NAMES)
    assert signs[target].tolist() == [[1, -1, 1, 0]]
    assert signs[source].tolist() == [[-1, 1, 1, 0]]
    source, target = Wanted.parse("Male,-Smiling").members(thresholded(signs), NAMES)
    assert signs[target, :2].tolist() == [[1, -1]] * 2
    assert signs[source, :2].tolist() == [[-1, -1]] * 2


def test_an_attribute_is_mentioned_in_any_spelling():
    wanted = Wanted.parse("Smiling,+male")
    assert wanted.mentions("Male")
    assert not wanted.mentions("Eyeglasses")
