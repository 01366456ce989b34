"""Progress reports, which all long-running work makes in the same form."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The progress of one phase of the work.

    Attributes:
      phase: Name of the phase, such as `mean features` or `reconstruction`.
      done: Number of units that are finished.
      total: Total number of units, or None if it is unknown.
      unit: Plural name of the units: `bytes`, `images`, `evaluations`, `iterations` or `edits`. It
        is empty in a phase that counts nothing.
      in_flight: The problems being solved (`engine.slots.InFlight`) in the phase `reconstruction`,
        otherwise None.
    """

    phase: str
    done: int
    total: int | None
    unit: str
    in_flight: Any = None


def begin(phase: str) -> Progress:
    """Returns the only report of a phase that counts nothing.

    >>> begin("opening the photo").phase
    'opening the photo'
    """
    return Progress(phase=phase, done=0, total=None, unit="")


COMPILING = begin("compiling")
"""The report before the first reconstruction, for which JAX may compile for half a minute."""

OnProgress = Callable[[Progress], None]
"""A function that is called with every report."""
