"""Damaged files are read, or rejected in one sentence: nothing else, whatever the damage.

The cases are the same in every run with the same packages. `--cases` sets their number, and
`--case` runs one of them.
"""

import faulthandler
import math
import resource
import signal
import sys
import traceback
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fuzz import mutations
from fuzz.readers import READERS, TRAPS
from jaxtyping import TypeCheckError

from dfi_jax.errors import DfiError

SECONDS = 5
"""Maximum CPU time of a case. It is CPU time because other processes may delay a case."""

STUCK = 120
"""Seconds after which a case that Python can't interrupt ends the process with a traceback."""

MEMORY = 4 << 30
"""Bytes that a case may allocate."""

LARGEST = 1_000_000
"""Maximum number of pixels of a photo here: a large photo takes long, but isn't a fault."""

WIDTHS = (2, 2, 3, 3, 2)
"""The number of filters of each convolution here, by block, so that files of weights are small."""

LONGEST = 800
"""Maximum number of characters of an error."""


class OutOfTimeError(BaseException):
    """A case that takes too long. No `except Exception` may catch it."""


@pytest.fixture(autouse=True)
def small_limits(monkeypatch):
    monkeypatch.setattr("dfi_jax.photo.photo.LARGEST", LARGEST)
    monkeypatch.setattr("dfi_jax.network.weights.parameters.WIDTHS", WIDTHS)


@pytest.fixture
def limited_memory():
    """A file that makes a reader allocate without bounds fails with a MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    statm = Path("/proc/self/statm")
    if statm.exists():
        taken = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(params=READERS)
def reader(request, tmp_path, pytestconfig):
    """The reader of a kind of files. It has read all valid ones, which loads the libraries."""
    chosen = pytestconfig.getoption("case")
    if chosen and chosen.partition("-")[0] != request.param:
        pytest.skip(f"only {chosen} runs")
    found = READERS[request.param](tmp_path)
    found.kind = request.param
    for name in found.contents:
        if name in TRAPS:
            with pytest.raises(DfiError):
                found.read(name, found.content(name))
        else:
            found.read(name, found.content(name))
    return found


def test_damaged_files_are_read_or_rejected_in_one_sentence(reader, limited_memory, pytestconfig):
    if chosen := pytestconfig.getoption("case"):
        name, data = damaged_file(reader, int(chosen.partition("-")[2]))
        print(f"{name}: {data[:2000]!r}")  # noqa: T201 (pytest prints it if the case fails)
        run(reader, name, data)
        return
    failures = {}
    for number in range(math.ceil(pytestconfig.getoption("cases") / len(READERS))):
        name, data = damaged_file(reader, number)
        try:
            run(reader, name, data)
        except (Exception, OutOfTimeError, pytest.fail.Exception) as error:
            failures.setdefault(describe(error), []).append(
                f"--case {reader.kind}-{number} ({name})"
            )
    lines = [f"{cases[0]} and {len(cases) - 1} more: {what}" for what, cases in failures.items()]
    assert not failures, "\n".join(["", *lines])


def damaged_file(reader, number):
    """Returns the file of a case: its name, and its contents."""
    rng = np.random.default_rng([number, *reader.kind.encode()])
    names = list(reader.contents)
    name = names[number % len(names)]
    data = reader.content(name)
    if rng.random() < 0.05:
        data = mutations.splice(data, reader.content(names[rng.integers(len(names))]), rng)
    return name, mutations.damage(data, rng, reader.mutations)


def run(reader, name, data):
    """Reads a file, and checks that nothing but its errors reaches a user."""
    with warnings.catch_warnings(record=True) as caught, time_limit():
        warnings.simplefilter("always")
        try:
            reader.read(name, data)
        except DfiError as error:
            check_error(error)
    warned = [str(warning.message) for warning in caught]
    assert not warned, warned


def check_error(error):
    message = str(error)
    assert message.isprintable()
    assert message.endswith(".")
    assert len(message) <= LONGEST, message[:LONGEST]
    while error := error.__context__:
        # Without the checks of the tests, values of the wrong type would have been accepted.
        assert not isinstance(error, TypeCheckError), error


def describe(error):
    """Returns where an error was raised, and its first line."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    what = (str(error).strip() or frame.line).splitlines()[0][:200]
    return f"{Path(frame.filename).name}:{frame.lineno}: {type(error).__name__}: {what}"


@contextmanager
def time_limit():
    def stop(*_):
        raise OutOfTimeError(f"it takes more than {SECONDS} seconds")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    faulthandler.dump_traceback_later(STUCK, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
