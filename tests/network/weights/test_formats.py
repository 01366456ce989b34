"""Files of every format are written as their own tools write them, read, and run in PyTorch."""

import dataclasses
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from weight_files import (
    BLOCKS,
    FORMATS,
    oihw,
    write_caffe,
    write_keras,
    write_legacy_pytorch,
    write_lpips_jax,
    write_matconvnet,
    write_old_caffe,
    write_old_matconvnet,
    write_pytorch,
    write_safetensors,
)

from dfi_jax.data import load_dataset
from dfi_jax.errors import FileError, InputError
from dfi_jax.network.vgg import features, layer_names
from dfi_jax.network.weights import caffe, converted, formats, load_vgg
from dfi_jax.network.weights.catalog import CAFFE, MATCONVNET, TORCHVISION
from dfi_jax.network.weights.normalization import normalize
from dfi_jax.network.weights.parameters import random_params

NAMES = [name for name, _, _ in FORMATS]


@pytest.fixture(scope="module")
def networks():
    """Random parameters of both architectures, by layer: (kernel OIHW, bias)."""
    return {architecture: oihw(random_params(architecture, seed=3)) for architecture in BLOCKS}


@pytest.mark.parametrize(("name", "write", "preprocess"), FORMATS, ids=NAMES)
def test_a_published_file_is_read_bit_for_bit(tmp_path, networks, name, write, preprocess):
    architecture = "vgg16" if name.startswith("old") else "vgg19"
    write(tmp_path / name, networks[architecture], architecture)
    found = formats.read(tmp_path / name)
    assert found.architecture == architecture
    assert found.preprocess == preprocess
    assert not found.normalized
    assert tuple(found.params) == layer_names(architecture)
    for layer, (kernel, bias) in networks[architecture].items():
        np.testing.assert_array_equal(found.params[layer]["kernel"], kernel.transpose(2, 3, 1, 0))
        np.testing.assert_array_equal(found.params[layer]["bias"], bias)


def test_the_file_of_lpips_jax_is_read_bit_for_bit(tmp_path, networks):
    write_lpips_jax(tmp_path / "vgg16.ckpt", networks["vgg16"], "vgg16")
    found = formats.read(tmp_path / "vgg16.ckpt")
    np.testing.assert_array_equal(
        found.params["conv5_3"]["kernel"], networks["vgg16"]["conv5_3"][0].transpose(2, 3, 1, 0)
    )


@pytest.mark.parametrize(
    ("name", "write", "preprocess"),
    [
        ("a.safetensors", write_safetensors, TORCHVISION),
        ("a.mat", write_matconvnet, MATCONVNET),
        ("a.caffemodel", write_caffe, CAFFE),
    ],
)
def test_features_equal_those_of_pytorch_with_the_preprocessing_of_the_format(
    tmp_path, networks, name, write, preprocess
):
    torch = pytest.importorskip("torch")
    write(tmp_path / name, networks["vgg19"], "vgg19")
    images = np.random.default_rng(0).random((1, 41, 37, 3)).astype(np.float32)
    if preprocess is TORCHVISION:
        x = (images - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    elif preprocess is CAFFE:
        x = 255 * images[..., ::-1] - [103.939, 116.779, 123.68]
    else:
        x = 255 * images - [123.68, 116.779, 103.939]
    x = torch.from_numpy(x.transpose(0, 3, 1, 2).astype(np.float32))
    for layer, (kernel, bias) in networks["vgg19"].items():
        if layer.endswith("_1") and layer != "conv1_1":
            x = torch.nn.functional.max_pool2d(x, 2)
        x = torch.relu(
            torch.nn.functional.conv2d(x, torch.tensor(kernel), torch.tensor(bias), padding=1)
        )
    expected = x.numpy().transpose(0, 2, 3, 1)
    found = features(load_vgg(tmp_path / name), jnp.asarray(images), layers=("conv5_4",))["conv5_4"]
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.fixture(scope="module")
def published(tmp_path_factory, networks):
    """The contents of a file of each format that doesn't need PyTorch, and what they should be."""
    folder = tmp_path_factory.mktemp("published")
    found = {}
    for name, write, preprocess in FORMATS:
        if not name.endswith(".pth"):
            architecture = "vgg16" if name.startswith("old") else "vgg19"
            write(folder / name, networks[architecture], architecture)
            found[name] = (formats.read(folder / name), networks[architecture], preprocess)
            (folder / name).unlink()
    return found


def plain_features(network, x, layers):
    """Computes post-ReLU activations in float64, a convolution as nine shifted matrix products."""
    found = {}
    for layer, (kernel, bias) in network.items():
        if layer.endswith("_1") and layer != "conv1_1":
            h, w = x.shape[0] // 2, x.shape[1] // 2
            x = x[: 2 * h, : 2 * w].reshape(h, 2, w, 2, -1).max(axis=(1, 3))
        h, w = x.shape[:2]
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        x = sum(
            padded[i : i + h, j : j + w] @ kernel[:, :, i, j].T.astype(float)
            for i in range(3)
            for j in range(3)
        )
        x = np.maximum(x + bias, 0)
        if layer in layers:
            found[layer] = x
        if len(found) == len(layers):
            return found
    raise AssertionError(layers)


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from([name for name in NAMES if not name.endswith(".pth")]),
    layers=st.lists(st.sampled_from(layer_names("vgg16")[:6]), min_size=1, max_size=3, unique=True),
    size=st.tuples(st.integers(4, 23), st.integers(4, 23)),
    cut=st.booleans(),
)
def test_any_layers_of_images_of_any_size_are_right_after_conversion(
    published, tmp_path, name, layers, size, cut
):
    weights, network, preprocess = published[name]
    deepest = max(layers, key=layer_names("vgg19").index) if cut else None
    converted.write(tmp_path / "a.safetensors", weights, deepest=deepest)
    vgg = load_vgg(tmp_path / "a.safetensors")
    assert vgg.preprocess == preprocess
    image = np.random.default_rng(1).random((*size, 3)).astype(np.float32)
    channels = image[..., ::-1] if preprocess.bgr else image
    prepared = (preprocess.scale * channels.astype(float) - preprocess.mean) / preprocess.std
    expected = plain_features(network, prepared, layers)
    found = features(vgg, jnp.asarray(image[None]), layers=tuple(layers))
    assert set(found) == set(layers)
    for layer in layers:
        assert np.linalg.norm(found[layer][0] - expected[layer]) < 1e-5 * np.linalg.norm(
            expected[layer]
        )


@pytest.fixture(scope="module")
def real():
    """VGG-16 with real weights, as published and normalised on a few drawn faces."""
    vgg = load_vgg("vgg16")
    dataset = load_dataset("synthetic:5")
    faces = np.stack([dataset.face(i, 64) for i in range(5)])
    return {False: oihw(vgg.params), True: oihw(normalize(vgg, [faces]).vgg.params)}


@pytest.mark.parametrize(
    ("name", "write"), [("a.safetensors", write_safetensors), ("a.ckpt", write_lpips_jax)]
)
def test_normalised_networks_are_recognised_and_stay_so_when_converted(tmp_path, real, name, write):
    for normalized, network in real.items():
        write(tmp_path / name, network, "vgg16")
        weights = formats.read(tmp_path / name)
        assert weights.normalized == normalized
        converted.write(tmp_path / "b.safetensors", weights, deepest="conv1_1")
        assert load_vgg(tmp_path / "b.safetensors").normalized == normalized


def test_a_caffe_file_is_recognised_as_such_and_as_normalised_whatever_its_name(tmp_path, real):
    for normalized, network in real.items():
        write_caffe(tmp_path / "a.bin", network, "vgg16")
        assert load_vgg(tmp_path / "a.bin").normalized == normalized


@pytest.mark.parametrize(
    ("dtype", "error"), [("float32", 0), ("float16", 5e-4), ("bfloat16", 4e-3)]
)
def test_converted_weights_are_read_back_to_their_precision(tmp_path, networks, dtype, error):
    write_safetensors(tmp_path / "a.safetensors", networks["vgg16"], "vgg16")
    read = dataclasses.replace(
        formats.read(tmp_path / "a.safetensors"), preprocess=CAFFE, normalized=True
    )
    converted.write(
        tmp_path / "b.safetensors",
        read,
        dtype=dtype,
        deepest="conv3_1",
        source={"file": "a.safetensors"},
    )
    found = formats.read(tmp_path / "b.safetensors")
    assert tuple(found.params) == ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1")
    assert found.architecture == read.architecture
    assert found.preprocess == CAFFE
    assert found.normalized
    assert read.source is None
    assert found.source["file"] == "a.safetensors"
    for layer, parts in found.params.items():
        for part, array in parts.items():
            assert array.dtype == np.float32
            np.testing.assert_allclose(
                array, read.params[layer][part], rtol=error, atol=1e-7 if error else 0
            )


def test_a_layer_that_was_not_converted_is_rejected(tmp_path, networks):
    write_safetensors(tmp_path / "a.safetensors", networks["vgg16"], "vgg16")
    converted.write(
        tmp_path / "b.safetensors", formats.read(tmp_path / "a.safetensors"), deepest="conv2_1"
    )
    vgg = load_vgg(tmp_path / "b.safetensors")
    assert features(vgg, jnp.zeros((1, 8, 8, 3)), layers=("conv2_1",))["conv2_1"].shape == (
        1,
        4,
        4,
        128,
    )
    with pytest.raises(
        InputError, match=r"weights of b\.safetensors end at conv2_1, before conv2_2"
    ):
        features(vgg, jnp.zeros((1, 8, 8, 3)), layers=("conv2_2",))
    with pytest.raises(InputError, match="have no layer 'conv9_1'"):
        converted.write(
            tmp_path / "c.safetensors", formats.read(tmp_path / "b.safetensors"), deepest="conv9_1"
        )


def test_everything_between_the_convolutions_of_a_caffe_file_is_skipped(tmp_path, networks):
    write_caffe(tmp_path / "a.caffemodel", networks["vgg16"], "vgg16")
    dense = caffe.message("NetParameter")()
    dense.layer.add(name="fc6").blobs.add(data=bytes(3 << 20)).shape.dim.extend((1024, 3072))
    dense.layer.add(name="fc8").blobs.add(data=[1.0, 2.0]).shape.dim.extend((2,))
    # These are the fields input, input_dim (10 and 224) and force_backward.
    described = b"\x1a\x04data" + b"\x20\x0a\x20\xe0\x01" + b"\x28\x01"
    content = (tmp_path / "a.caffemodel").read_bytes()
    (tmp_path / "b.caffemodel").write_bytes(
        described + dense.SerializeToString() + content + described
    )
    plain, found = (
        formats.read(tmp_path / name).params for name in ("a.caffemodel", "b.caffemodel")
    )
    for layer, parts in plain.items():
        np.testing.assert_array_equal(found[layer]["kernel"], parts["kernel"])


@pytest.mark.parametrize(("name", "write", "preprocess"), FORMATS, ids=NAMES)
def test_a_truncated_file_is_rejected(tmp_path, networks, name, write, preprocess):
    path = tmp_path / name
    write(path, networks["vgg16"], "vgg16")
    content = path.read_bytes()
    for part in (0.97, 0.3):
        path.write_bytes(content[: int(len(content) * part)])
        with pytest.raises(FileError, match=name):
            formats.read(path)


def test_a_compressed_file_of_matlab_is_read(tmp_path, networks):
    from scipy.io import loadmat, savemat

    write_matconvnet(tmp_path / "a.mat", networks["vgg16"], "vgg16")
    layers = loadmat(tmp_path / "a.mat")["layers"]
    savemat(tmp_path / "b.mat", {"first": "x", "layers": layers}, do_compression=True)
    plain, found = (formats.read(tmp_path / name).params for name in ("a.mat", "b.mat"))
    for layer, parts in plain.items():
        for part, array in parts.items():
            np.testing.assert_array_equal(found[layer][part], array)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (132, 10),  # The size of the cell array in bytes,
        (132, 2**32 - 1),
        (144, 99),  # its class,
        (152, 99),  # the type of its shape,
        (156, 2**31 - 1),  # the size of its shape,
        (160, 2**31 - 1),  # and its first dimension.
        (160, 2**32 - 1),
    ],
)
def test_a_damaged_array_of_matlab_is_rejected(tmp_path, networks, place, value):
    path = tmp_path / "a.mat"
    write_old_matconvnet(path, networks["vgg16"], "vgg16")
    content = bytearray(path.read_bytes())
    content[place : place + 4] = value.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"a\.mat"):
        formats.read(path)


@pytest.mark.parametrize(
    ("name", "write", "fault"),
    [
        ("a.safetensors", write_safetensors, "shape"),
        ("a.pth", write_pytorch, "nan"),
        ("a.h5", write_keras, "missing"),
        ("a.mat", write_matconvnet, "nan"),
        ("a.caffemodel", write_caffe, "missing"),
        ("old.caffemodel", write_old_caffe, "shape"),
    ],
)
def test_a_wrong_layer_is_named(tmp_path, networks, name, write, fault):
    network = dict(networks["vgg16"])
    kernel, bias = network["conv4_2"]
    wrong = {
        "missing": None,
        "shape": (kernel[:, :7], bias),
        "nan": (np.full_like(kernel, np.nan), bias),
    }[fault]
    network["conv4_2"] = wrong
    network = {layer: arrays for layer, arrays in network.items() if arrays is not None}
    write(tmp_path / name, network, "vgg16")
    expected = {
        "missing": "has no kernel of conv4_2",
        "shape": r"kernel of conv4_2 .* but is float32 \(3, 3, 7, 512\)",
        "nan": "kernel of conv4_2 has values that aren't finite",
    }
    with pytest.raises(FileError, match=expected[fault]):
        formats.read(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["a.pth", "a.h5", "a.mat", "a.caffemodel", "a.safetensors", "a.ckpt", "a.bin"]
)
@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", "is empty"), (b"\n<!DOCTYPE html><html>", "is a web page"), (b"\x01\x02" * 300, None)],
)
def test_a_file_without_weights_is_rejected(tmp_path, name, content, expected):
    if name == "a.pth":
        pytest.importorskip("torch")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=expected):
        formats.read(tmp_path / name)


@pytest.mark.parametrize(
    ("prefix", "nested"),
    [
        ("features.", ("model", "state_dict")),
        ("module.encoder.vgg.features.", ()),
        ("model.features.", ("params_ema",)),
        ("", ("state_dict",)),
        ("net.", ("generator", "weights")),
        ("net.slice1.", ()),
    ],
)
def test_a_network_inside_a_larger_model_is_found(tmp_path, networks, prefix, nested):
    torch = pytest.importorskip("torch")
    write_pytorch(tmp_path / "a.pth", networks["vgg16"], "vgg16")
    tensors = torch.load(tmp_path / "a.pth", weights_only=True)
    saved = {
        name.replace("features.", prefix): torch.nn.Parameter(tensor)
        for name, tensor in tensors.items()
    } | {"head.bias": torch.ones(3), "head.0.weight": torch.ones(3)}
    for name in reversed(nested):
        saved = {name: saved, "epoch": 3}
    torch.save(saved, tmp_path / "b.bin")  # The name says nothing, but the contents do.
    expected, found = (formats.read(tmp_path / name) for name in ("a.pth", "b.bin"))
    assert found.architecture == "vgg16"
    for layer, arrays in expected.params.items():
        np.testing.assert_array_equal(found.params[layer]["kernel"], arrays["kernel"])


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("a.features.0", "a.features.28", "b.0", "b.28"), r"holds 2 networks \(a\.features\., b"),
        (("conv1_1", "conv5_1"), "has no layer with one of torchvision's names, such as features"),
    ],
)
def test_of_several_networks_or_none_nothing_is_guessed(tmp_path, names, sentence):
    tensors = {f"{name}.weight": np.ones(1, np.float32) for name in names}
    safetensors.numpy.save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(FileError, match=sentence):
        formats.read(tmp_path / "a.safetensors")


def test_a_keras_network_inside_a_larger_model_is_found(tmp_path, networks):
    h5py = pytest.importorskip("h5py")
    write_keras(tmp_path / "a.h5", networks["vgg16"], "vgg16")
    with h5py.File(tmp_path / "a.h5") as plain, h5py.File(tmp_path / "b.h5", "w") as model:
        for name in plain:
            plain.copy(name, model, f"model_weights/vgg16/{name}")
    expected, found = (formats.read(tmp_path / name) for name in ("a.h5", "b.h5"))
    for layer, arrays in expected.params.items():
        np.testing.assert_array_equal(found.params[layer]["kernel"], arrays["kernel"])


def test_a_legacy_file_is_recognised_whatever_its_name(tmp_path, networks):
    pytest.importorskip("torch")
    write_legacy_pytorch(tmp_path / "a.bin", networks["vgg16"], "vgg16")
    assert formats.read(tmp_path / "a.bin").architecture == "vgg16"


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["conv1_1_W.npy", "conv1_1_b.npy"], "is an archive of NumPy arrays"),
        (["metadata.json", "model.weights.h5"], "in the format of Keras 3"),
        (["vgg16.pth"], "is a zip archive without a network; unpack it"),
        ([], "is a zip archive without a network|is damaged"),
    ],
)
def test_another_archive_is_named_for_what_it_is(tmp_path, names, sentence):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    if not names:
        path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(FileError, match=sentence):
        formats.read(path)


def test_a_pth_with_code_is_rejected_and_the_code_does_not_run(tmp_path):
    torch = pytest.importorskip("torch")

    class Trap:
        def __reduce__(self):
            return (type(tmp_path), (str(tmp_path / "trap"),))

    torch.save({"features.0.weight": Trap()}, tmp_path / "a.pth")
    with pytest.raises(FileError, match="something other than tensors"):
        formats.read(tmp_path / "a.pth")


def test_a_network_with_batch_normalisation_is_rejected(tmp_path):
    tensors = {
        "features.0.weight": np.zeros((64, 3, 3, 3), np.float32),
        "features.1.running_mean": np.zeros(64),
    }
    safetensors.numpy.save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(FileError, match="batch normalisation"):
        formats.read(tmp_path / "a.safetensors")


def test_the_error_names_a_package_that_is_not_installed(tmp_path, networks, monkeypatch):
    write_keras(tmp_path / "a.h5", networks["vgg16"], "vgg16")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(FileError, match=r"h5py.*pip install 'dfi-jax\[convert\]'"):
        formats.read(tmp_path / "a.h5")


def test_preprocessing_is_what_the_publishers_state():
    grey = jnp.full((1, 1, 1, 3), 0.5).at[..., 0].set(1.0)  # R is 255, G and B are 127.5.
    np.testing.assert_allclose(
        CAFFE(grey)[0, 0, 0], [127.5 - 103.939, 127.5 - 116.779, 255 - 123.68], rtol=1e-5
    )
    np.testing.assert_allclose(
        MATCONVNET(grey)[0, 0, 0], [255 - 123.68, 127.5 - 116.779, 127.5 - 103.939], rtol=1e-5
    )
    assert dataclasses.asdict(CAFFE)["bgr"]
    np.testing.assert_allclose(CAFFE.mean_rgb, np.array([123.68, 116.779, 103.939]) / 255)
