"""Devices and processes: a batch is sharded over one process's devices, and processes share jobs.

Problems are independent, so nothing travels between devices while images are made. Each of n
processes takes every n-th job of a list, and they exchange no data.
"""

import os
import socket
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dfi_jax.errors import InputError

BATCH = "batch"
"""Name of the mesh axis that a batch is sharded over."""

PATIENCE = 30.0
"""Seconds to wait for the process that coordinates the others, which may start later."""

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
    """Returns the bytes that one device of this process can still take.

    On a CPU, devices share the free memory of the machine.

    >>> free_memory() > 0
    True
    """
    device = jax.local_devices()[0]
    statistics = device.memory_stats()
    if statistics and "bytes_limit" in statistics:
        return statistics["bytes_limit"] - statistics.get("bytes_in_use", 0)
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return available // jax.local_device_count()


def check() -> None:
    """Checks that JAX finds a device.

    Raises:
      InputError: If it finds none, because the environment asks for one that isn't here.

    >>> check()
    """
    try:
        jax.local_devices()
    except (AssertionError, RuntimeError) as error:
        asked = os.environ.get("JAX_PLATFORMS")
        reason = (str(error).splitlines() or ["no reason given"])[0].rstrip(".")
        wanted = "" if asked is None else f", and JAX_PLATFORMS is {asked!r}"
        raise InputError(
            f"JAX finds no device ({reason}){wanted}; set JAX_PLATFORMS to cpu."
        ) from None


def join_processes() -> None:
    """Joins this process with the others of its run. Call it before anything else uses JAX.

    The environment says where they are: `JAX_COORDINATOR_ADDRESS` (host:port),
    `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID`, or the variables of Slurm, Open MPI or a TPU host.

    Raises:
      InputError: If the environment doesn't say where they are, or the coordinator that it names
        doesn't answer for `PATIENCE` seconds.
    """
    given = {
        name: os.environ.get(f"JAX_{name.upper()}") for name in ("num_processes", "process_id")
    }
    try:
        numbers = {name: int(value) for name, value in given.items() if value is not None}
        address = os.environ.get("JAX_COORDINATOR_ADDRESS")
        if address is not None and numbers.get("process_id", 0) != 0:
            _await_coordinator(address)
        elif address is not None:
            _split_address(address)
        jax.distributed.initialize(address, **numbers)  # type: ignore[arg-type]
    except (ValueError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"the processes of this run can't be joined ({reason}); set JAX_COORDINATOR_ADDRESS, "
            f"JAX_NUM_PROCESSES and JAX_PROCESS_ID, or start the run with srun."
        ) from None


def _split_address(address: str) -> tuple[str, int]:
    """Returns the host and the port of an address, or raises ValueError."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(
            f"JAX_COORDINATOR_ADDRESS is {address!r}, which isn't of the form host:port"
        )
    return host.strip("[]"), int(port)  # IPv6 addresses are in brackets.


def _await_coordinator(address: str) -> None:
    """Waits until a coordinator listens. JAX would wait for five minutes and abort the process.

    Raises:
      OSError: If none listens for `PATIENCE` seconds.
    """
    host, port = _split_address(address)
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((host, port), timeout=PATIENCE).close()
        except OSError as error:
            if time.monotonic() >= until:
                raise OSError(f"no coordinator answers at {address}: {error}") from None
            time.sleep(1)
        else:
            return


def share_of_this_process(items: Sequence[T]) -> list[T]:
    """Returns every n-th item, starting at this process's number, for n processes.

    Long and short work is spread evenly that way.

    >>> share_of_this_process(["a", "b"])  # one process does everything
    ['a', 'b']
    """
    return list(items[jax.process_index() :: jax.process_count()])
