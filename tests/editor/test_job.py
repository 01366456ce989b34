import time
from pathlib import Path

import numpy as np
import pytest
from builders import make_unchecked
from PIL import Image

from dfi_jax import Editor, InputError, Job, Wanted
from dfi_jax.editor.job import check_alphas


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "best"}, "'best' doesn't exist; choose from default"),
        ({"batch_size": 0}, "batch_size is 0; give 1 to 1,000,000"),
        ({"batch_size": 10**400}, "; give 1 to 1,000,000"),
        ({"weights": "vgg11"}, "vgg11"),
        ({"recipe": None}, "recipe is None; give a Recipe"),
        ({"weights": None}, "weights is None; give the name of a network"),
        ({"cache": "~/cache"}, "cache is '~/cache'; give a Cache, or None"),
        ({"batch_size": 2.5}, "batch_size is 2.5; give a whole number"),
    ],
)
def test_an_editor_that_cannot_be_is_one_sentence(options, message):
    with pytest.raises(InputError, match=message):
        make_unchecked(Editor, **options).load()


@pytest.mark.parametrize(
    ("alphas", "message"),
    [
        ([], "alphas is empty"),
        ([0.1, np.nan], "alpha is nan"),
        ([np.inf], "alpha is inf"),
        ([0.1, 1.1e6], r"alpha is 1\.1e\+06; give a number from -1e\+06 to 1e\+06"),
        ([-1.1e6], r"alpha is -1\.1e\+06"),
        ([0.1, 0.1000000001], r"alpha 0\.1 is given twice"),
    ],
)
def test_strengths_that_cannot_be_are_one_sentence(alphas, message):
    with pytest.raises(InputError, match=message):
        Job(photo="me.jpg", attribute="older", alphas=alphas)
    Job(photo="me.jpg", attribute="older", alphas=[-1e6, 1e6])


@pytest.mark.parametrize(
    ("alphas", "message"),
    [
        (0.5, r"alphas is 0\.5; give a list of numbers"),
        (np.float32(0.5), "alphas is .*; give a list of numbers"),
        ("0.5", "alphas is '0.5'; give a list of numbers"),
        (["1"], "alpha is '1'; give a number"),
        (np.ones((2, 2)), "alphas is .*; give a list"),
    ],
)
def test_strengths_that_are_no_list_of_numbers_are_one_sentence(alphas, message):
    with pytest.raises(InputError, match=message):
        check_alphas(alphas)


def test_many_strengths_are_checked_soon():
    started = time.process_time()
    Job(photo="me.jpg", attribute="older", alphas=[i / 100 for i in range(30_000)])
    assert time.process_time() - started < 1  # Comparing all with each other takes six seconds.


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({"photo": "a folder/me.at.home.jpg"}, "me-at-home-older"),
        ({"photo": Path("me.jpg"), "attribute": Path("to/smile.safetensors")}, "me-smile"),
        ({"attribute": "to/smile.safetensors"}, "photo-smile"),
        ({"attribute": {"older": 0.5, "beard": -1}}, "photo-older-0-5-beard--1"),
        (
            {"photo": Image.new("L", (9, 9)), "attribute": Wanted.parse("Male, ~Young")},
            "photo-Male-~Young",
        ),
        ({"photo": "me.jpg", "name": "mine"}, "mine"),
        ({"photo": "é" * 5000}, "é" * 100),
    ],
)
def test_a_job_is_named_after_its_photo_and_its_attribute(pixels, options, label):
    assert Job(**{"photo": pixels, "attribute": "older"} | options).label == label
