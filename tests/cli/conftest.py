"""Fixtures of the tests of the command line."""

import pytest
from builders import make_vector, small_recipe

from dfi_jax import load_vgg


@pytest.fixture(scope="module")
def vector_file(tmp_path_factory):
    """A vector of noise for the random network."""
    path = tmp_path_factory.mktemp("vectors") / "smile.safetensors"
    make_vector(load_vgg("random-vgg16"), small_recipe(size=32)).save(path, dtype="int8")
    return path
