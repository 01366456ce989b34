"""Progress reports, which all long-running work makes in the same form."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SHOWN_OBJECTIVES = 5
"""Maximum number of objectives that fit beside a progress bar."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The progress of one phase of the work, which `print` shows as a line of text.

    >>> print(Progress(phase="mean features", done=20, total=200, unit="images"))
    mean features: 20 of 200 images

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

    def __str__(self) -> str:
        """Returns the phase and the detail as one line."""
        return f"{self.phase}: {self.detail}" if self.detail else self.phase

    @property
    def detail(self) -> str:
        """The amount that is done, and up to five objectives of the problems in flight, as text."""
        if self.unit == "bytes":
            of_all = "" if self.total is None else f" of {self.total / 1e6:.0f}"
            return f"{self.done / 1e6:.0f}{of_all} MB"
        if not self.unit:
            return ""
        counted = str(self.done) if self.total is None else f"{self.done} of {self.total}"
        if self.unit != self.phase:
            counted += f" {self.unit}"
        if self.in_flight is None:
            return counted
        objectives = [value for value in self.in_flight.objective if math.isfinite(value)]
        values = " ".join(f"{value:.4g}" for value in objectives[:SHOWN_OBJECTIVES])
        return f"{counted}, objective {values}"


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
