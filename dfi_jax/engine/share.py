"""The share of one process in work that several processes do, each running the same command.

The processes exchange no data, so they aren't joined by `jax.distributed`: a process that ends
early, fails or is killed would take the others down with it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import jax

from dfi_jax.errors import InputError

LAUNCHERS = (
    ("JAX_PROCESS_ID", "JAX_NUM_PROCESSES", None),
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
)
"""Environment variables with the number of this process, the number of all processes, and the
number of this process on its machine: those for JAX, and those of Slurm and Open MPI."""

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """The share of one process.

    Attributes:
      index: Number of the process, from 0.
      count: Number of processes.
    """

    index: int
    count: int

    def of(self, items: Sequence[T]) -> list[T]:
        """Returns every n-th item, for n processes, so that long and short work is spread evenly.

        >>> Share(1, 3).of("abcdefgh")
        ['b', 'e', 'h']
        """
        return list(items[self.index :: self.count])


def joined_share() -> Share:
    """Returns the share of this process among those that `jax.distributed` has joined.

    >>> joined_share()
    Share(index=0, count=1)
    """
    return Share(jax.process_index(), jax.process_count())


def launched_share() -> Share:
    """Returns the share that the environment states, which `LAUNCHERS` describes.

    If Slurm or Open MPI has started several processes on a machine with GPUs, each takes one GPU.
    Call it before anything else uses JAX.

    Raises:
      InputError: If the environment states no share, or an impossible one.
    """
    for index_name, count_name, local_name in LAUNCHERS:
        if index_name in os.environ and count_name in os.environ:
            share = Share(_number(index_name), _number(count_name))
            if share.index >= share.count:
                raise InputError(
                    f"{index_name} is {share.index}, but {count_name} is {share.count}; number the "
                    f"processes from 0 to {count_name} - 1."
                )
            if local_name is not None and local_name in os.environ:
                jax.config.update("jax_cuda_visible_devices", str(_number(local_name)))
                jax.config.update("jax_rocm_visible_devices", str(_number(local_name)))
            return share
    raise InputError(
        "--distributed needs to know which of the processes this one is; set JAX_NUM_PROCESSES and "
        "JAX_PROCESS_ID, or start the processes with srun or mpirun."
    )


def _number(name: str) -> int:
    value = os.environ[name]
    if not value.isdecimal():
        raise InputError(f"the environment variable {name} is {value!r}; set it to a number.")
    return int(value)
