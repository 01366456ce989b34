import numpy as np
import pytest

from dfi_jax.data import near
from dfi_jax.data.anchor import Anchor
from dfi_jax.data.nearness import default_nearness
from dfi_jax.errors import InputError
from dfi_jax.network.weights import load_vgg


@pytest.mark.parametrize(
    ("text", "nearness"),
    [
        ("scores", near.scores),
        ("scores:all", near.Scores(count_wanted=True)),
        ("binary", near.binary),
        ("flags", near.flags),
        ("landmarks68", near.landmarks(points=68)),
        ("landmarks68:8:flags", near.landmarks(first=near.flags, candidates=8, points=68)),
        ("binary:0.7", near.Binary(0.7)),
        ("pixels", near.pixels),
        ("pixels:60", near.Pixels(60)),
        ("landmarks", near.landmarks()),
        ("landmarks:binary", near.landmarks(first=near.binary)),
        ("landmarks:pixels:60", near.landmarks(first=near.Pixels(60))),
        ("landmarks:8", near.landmarks(candidates=8)),
        ("landmarks:8:conv4_1", near.landmarks(first=near.features("conv4_1"), candidates=8)),
        ("conv5_1", near.features("conv5_1")),
    ],
)
def test_a_nearness_and_its_text_stand_for_each_other(text, nearness):
    assert near.parse(text) == nearness
    assert str(nearness) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("taste", "can't be selected by 'taste'; choose from scores, binary"),
        ("", "can't be selected by ''; choose from scores"),
        ("features", "can't be selected by 'features'; .* name a layer, such as conv5_1"),
        ("scores:3", "can't be selected by 'scores:3'"),
        ("pixels:many", "can't be selected by 'pixels:many'"),
        ("binary:1.2.3", "can't be selected by 'binary:1.2.3'"),
        ("binary:", "can't be selected by 'binary:'"),
        ("binary:0", "the confident share of the scores is 0.0; give a number above 0"),
        ("pixels:0", "can't be compared at 0 pixels"),
        ("pixels:1000000000", "at 1000000000 pixels; give 1 to 2000"),
        ("pixels:" + "9" * 5000, "a text of 5007 characters; give one of at most 200"),
        ("landmarks:" * 3000, "a text of 30000 characters; give one of at most 200"),
        ("landmarks:", "can't be selected by 'landmarks:'"),
        ("landmarks:taste", "can't be selected by 'taste'"),
        ("landmarks:0", "can't choose from 0 candidates"),
        ("conv9_9", "'conv9_9' isn't the name of a layer"),
        ("conv5_1:3", "'conv5_1:3' isn't the name of a layer"),
    ],
)
def test_another_text_is_rejected_in_a_sentence(text, message):
    with pytest.raises(InputError, match=message) as error:
        near.parse(text)
    assert str(error.value).endswith(".")


def test_a_nearness_says_what_it_needs():
    assert near.scores.needs == near.binary.needs == {"scores"}
    assert near.pixels.needs == {"face"}
    assert near.features("conv5_1").needs == {"face", "network"}
    assert near.landmarks().needs == {"scores", "face", "landmarks"}
    assert near.landmarks(first=near.pixels).needs == {"face", "landmarks"}
    assert near.landmarks(first=near.flags, points=68).needs == {"scores", "landmarks68"}


def test_scores_are_compared_if_they_are_known_and_otherwise_pixels():
    assert default_nearness(Anchor(scores=np.zeros(3, np.float32))) == near.scores
    assert default_nearness(Anchor()) == near.pixels


def test_a_layer_that_the_network_has_not_is_rejected():
    vgg = load_vgg("random-vgg16")
    near.features("conv5_3").check(vgg)
    near.pixels.check(vgg)
    for nearness in (
        near.features("conv5_4"),
        near.landmarks(first=near.features("conv5_4")),
    ):
        with pytest.raises(InputError, match="vgg16 has no layer 'conv5_4'"):
            nearness.check(vgg)
