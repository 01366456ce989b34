"""Many devices: those of one process, over which a batch is sharded, and those of many processes, which share work.

Problems are independent, so nothing travels between devices while images are made. Processes meet only at the mean
features, which are summed over all of them; a list of jobs is dealt out by its numbers, with no word between processes.
"""

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dfi_jax.errors import InputError

BATCH = "batch"
"""The axis of a mesh that a batch is sharded over."""

T = TypeVar("T")


@cache
def mesh(devices: int) -> Mesh:
    """The first of this process's devices, as one axis."""
    return Mesh(np.array(jax.local_devices()[:devices]), (BATCH,))


def shard(tree: T, over: Mesh) -> T:
    """A pytree of batches with each leaf's first axis spread over the mesh."""
    return jax.device_put(tree, NamedSharding(over, PartitionSpec(BATCH)))


def replicate(tree: T, over: Mesh) -> T:
    """A pytree with a copy of all of it on each device of the mesh."""
    return jax.device_put(tree, NamedSharding(over, PartitionSpec()))


def on_each(function: Callable[..., T], over: Mesh, *, replicated: Sequence[bool]) -> Callable[..., T]:
    """The function on each device's part of its arguments, but on all of those that are replicated."""
    specs = tuple(PartitionSpec() if all_of_it else PartitionSpec(BATCH) for all_of_it in replicated)
    return jax.shard_map(function, mesh=over, in_specs=specs, out_specs=PartitionSpec(BATCH), check_vma=False)


def free_memory() -> int:
    """Bytes that one of this process's devices can still take; of the machine's memory where a device is its CPU."""
    device = jax.local_devices()[0]
    statistics = device.memory_stats()
    if statistics and "bytes_limit" in statistics:
        return statistics["bytes_limit"] - statistics.get("bytes_in_use", 0)
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // jax.local_device_count()


def initialize() -> None:
    """Joins this process with the others of its run, before anything else is asked of JAX.

    Where they are is in the environment: `JAX_COORDINATOR_ADDRESS` (host:port), `JAX_NUM_PROCESSES` and
    `JAX_PROCESS_ID`, or what Slurm, Open MPI or a TPU's machines set, which JAX finds by itself.

    Raises:
      InputError: where the environment doesn't say, or no coordinator answers.
    """
    given = {name: os.environ.get(f"JAX_{name.upper()}") for name in ("num_processes", "process_id")}
    try:
        numbers = {name: int(value) for name, value in given.items() if value is not None}
        jax.distributed.initialize(os.environ.get("JAX_COORDINATOR_ADDRESS"), **numbers)  # type: ignore[arg-type]
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"the processes of this run can't be joined ({str(error).splitlines()[0].rstrip('.')}); set "
            f"JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or start it with srun."
        ) from None


def own(items: Sequence[T]) -> list[T]:
    """This process's share: every n-th item of n processes, so that long and short work is dealt out evenly."""
    return list(items[jax.process_index() :: jax.process_count()])


def all_agree(yes: bool) -> bool:
    """Whether it is so in every process. Every process has to call it."""
    return yes if jax.process_count() == 1 else bool(np.all(multihost_utils.process_allgather(np.asarray(yes))))


def total(tree: Any) -> Any:
    """The sum over processes of NumPy arrays. Every process has to call it, with arrays of the same shapes."""
    if jax.process_count() == 1:
        return tree
    return jax.tree.map(lambda each: np.sum(each, axis=0), multihost_utils.process_allgather(tree))
