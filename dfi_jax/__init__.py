"""Deep Feature Interpolation in JAX: change an attribute of a face in a photo without training.

A VGG network turns the face into features. They are moved along the mean difference between images
with and without the attribute, and the image that has the moved features is found.

>>> import dfi_jax
>>> face = dfi_jax.load_dataset("synthetic:1").face(0, 200)
>>> quick = dfi_jax.Recipe().set({"solver.iterations": "2"})
>>> edit = dfi_jax.edit(face, "eyeglasses", face="whole", recipe=quick)
>>> edit.photos[0].size
(200, 200)

References:
  Upchurch, Gardner, Pleiss, Pless, Snavely, Bala and Weinberger, "Deep Feature Interpolation for
  Image Content Changes", CVPR 2017, https://arxiv.org/abs/1611.05507.
"""

from typing import Any as _Any

import lazy_loader as _lazy

# JAX takes seconds to load. `__init__.pyi` has the names, which are loaded when they are first
# used, so that the command line can answer Ctrl-C and show a sign of life at once.
_load, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)


def __getattr__(name: str) -> _Any:
    if name != "__version__":
        return _load(name)
    from importlib.metadata import version  # It takes most of the time of `import dfi_jax`.

    return version("dfi-jax")
