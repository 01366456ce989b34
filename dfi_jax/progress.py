"""The one way in which long work reports how far it has come."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far one phase of the work has come.

    Attributes:
      phase: Name of the phase, such as `mean features` or `reconstruction`.
      done: Units that are finished.
      total: Units in all, or None if that is unknown.
      unit: Plural name of the units: `bytes`, `images`, `evaluations` or `edits`.
      in_flight: The problems being solved (`engine.reconstruct.InFlight`) in the phase
        `reconstruction`, otherwise None.
    """

    phase: str
    done: int
    total: int | None
    unit: str
    in_flight: Any = None


OnProgress = Callable[[Progress], None]
"""A function that is called with every report."""
