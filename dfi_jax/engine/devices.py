"""A batch is sharded over the devices of this process.

Problems are independent, so nothing travels between devices while images are made.
"""

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dfi_jax.errors import InputError

BATCH = "batch"
"""Name of the mesh axis that a batch is sharded over."""

PLATFORM = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")
"""Environment variables that choose the kind of device."""

T = TypeVar("T")


@cache
def make_mesh(count: int) -> Mesh:
    """Returns a mesh of the first `count` devices of this process, with one axis.

    >>> make_mesh(1).axis_names
    ('batch',)
    """
    return Mesh(np.array(jax.local_devices()[:count]), (BATCH,))


def shard(tree: T, mesh: Mesh) -> T:
    """Returns a pytree of batches with the first axis of each leaf spread over the mesh.

    >>> shard({"numbers": np.arange(3)}, make_mesh(1))["numbers"].tolist()
    [0, 1, 2]
    """
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(BATCH)))


def replicate(tree: T, mesh: Mesh) -> T:
    """Returns a pytree with a whole copy on each device of the mesh.

    >>> replicate({"numbers": np.arange(3)}, make_mesh(1))["numbers"].tolist()
    [0, 1, 2]
    """
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def map_over_devices(
    function: Callable[..., T], mesh: Mesh, *, replicated: Sequence[bool]
) -> Callable[..., T]:
    """Returns the function applied on each device to its part of the batch.

    Args:
      function: A function of pytrees of batches.
      mesh: The devices.
      replicated: For each argument, whether every device takes all of it.

    >>> add = map_over_devices(lambda x, y: x + y, make_mesh(1), replicated=[False, True])
    >>> add(np.arange(3), np.ones(3, int)).tolist()
    [1, 2, 3]
    """
    specs = tuple(PartitionSpec() if whole else PartitionSpec(BATCH) for whole in replicated)
    return jax.shard_map(
        function, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(BATCH), check_vma=False
    )


def free_memory() -> int:
    """Returns the bytes that one device of this process can still take, or 0 if it doesn't tell.

    >>> free_memory() >= 0
    True
    """
    statistics = jax.local_devices()[0].memory_stats() or {}
    limit: int = statistics.get("bytes_limit", 0)
    return max(0, limit - statistics.get("bytes_in_use", 0))


def check() -> None:
    """Checks that JAX finds a device.

    Raises:
      InputError: If it finds none, because the environment asks for one that this machine lacks.

    >>> check()
    """
    try:
        jax.local_devices()
    except (AssertionError, RuntimeError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0].rstrip(".")
        asked = {name: os.environ[name] for name in PLATFORM if os.environ.get(name)}
        wanted = "".join(f", and {name} is {value!r}" for name, value in asked.items())
        raise InputError(
            f"JAX finds no device ({reason}){wanted}; set {' and '.join(asked or PLATFORM[:1])} "
            f"to cpu."
        ) from None
