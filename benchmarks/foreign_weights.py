"""A random VGG-19, written in the formats of other tools, for `weights_cost.py`."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import safetensors.numpy
import scipy.io
import torch

from dfi_jax import load_vgg
from dfi_jax.network.weights import caffe, formats

DENSE = {"fc6": (4096, 25088), "fc7": (4096, 4096), "fc8": (1000, 4096)}
"""Shapes of the fully connected layers."""

Network = dict[str, tuple[np.ndarray, np.ndarray]]
"""The kernel (OIHW) and the bias of each layer."""


def make_network(*, dense: bool) -> Network:
    """Returns a random VGG-19, with its fully connected layers if `dense`."""
    network = {
        name: (np.asarray(layer["kernel"]).transpose(3, 2, 0, 1), np.asarray(layer["bias"]))
        for name, layer in load_vgg("random-vgg19").params.items()
    }
    rng = np.random.default_rng(0)
    if dense:
        for name, shape in DENSE.items():
            network[name] = (rng.random(shape, np.float32), np.zeros(shape[0], np.float32))
    return network


def write_safetensors(path: Path, network: Network) -> None:
    """Writes safetensors with torchvision's names."""
    safetensors.numpy.save_file(_state_dict(network), path)


def write_pytorch(path: Path, network: Network, *, archive: bool = True) -> None:
    """Writes what `torch.save` writes, as a zip archive or as before PyTorch 1.6."""
    tensors = {name: torch.tensor(array) for name, array in _state_dict(network).items()}
    torch.save(tensors, path, _use_new_zipfile_serialization=archive)


def write_old_pytorch(path: Path, network: Network) -> None:
    """Writes what PyTorch wrote before 1.6."""
    write_pytorch(path, network, archive=False)


def write_keras(path: Path, network: Network) -> None:
    """Writes what Keras 2 wrote."""
    with h5py.File(path, "w") as file:
        for layer, (kernel, bias) in network.items():
            name = f"block{layer[4]}_conv{layer[6]}" if layer.startswith("conv") else layer
            turned = kernel.T if kernel.ndim == 2 else kernel.transpose(2, 3, 1, 0)
            file[f"{name}/{name}_W_1:0"] = turned
            file[f"{name}/{name}_b_1:0"] = bias


def write_matconvnet(path: Path, network: Network) -> None:
    """Writes what MatConvNet writes."""
    layers = []
    for layer, (kernel, bias) in network.items():
        weights = np.empty((1, 2), object)
        weights[0, 0] = kernel.reshape(*kernel.shape[:2], *(kernel.shape[2:] or (1, 1))).T
        weights[0, 1] = bias[:, None]
        layers.append({"name": layer, "type": "conv", "weights": weights})
    cells = np.empty((1, len(layers)), object)
    cells[0] = layers
    scipy.io.savemat(path, {"layers": cells})


def write_caffe(path: Path, network: Network) -> None:
    """Writes what Caffe writes."""
    net = caffe.message("NetParameter")(name="VGG")
    for layer, arrays in network.items():
        written = net.layer.add(name=layer)
        for array in arrays:
            blob = written.blobs.add(data=array.ravel())
            blob.shape.dim.extend(array.shape)
    path.write_bytes(net.SerializeToString())


WRITERS: dict[str, tuple[str, Callable[[Path, Network], None]]] = {
    "Keras": ("vgg19.h5", write_keras),
    "Caffe": ("vgg19.caffemodel", write_caffe),
    "PyTorch (zip)": ("vgg19.pth", write_pytorch),
    "safetensors": ("vgg19.safetensors", write_safetensors),
    "MatConvNet": ("vgg19.mat", write_matconvnet),
    "PyTorch before 1.6": ("old.pth", write_old_pytorch),
}
"""The name of a file in each format, and the function that writes it."""


def _state_dict(network: Network) -> dict[str, np.ndarray]:
    """Returns the arrays by torchvision's names."""
    names = {layer: f"features.{i}" for layer, i in formats.torchvision_indices("vgg19").items()}
    names |= {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6"}
    tensors = {}
    for layer, (kernel, bias) in network.items():
        tensors[f"{names[layer]}.weight"] = np.ascontiguousarray(kernel)
        tensors[f"{names[layer]}.bias"] = bias
    return tensors
