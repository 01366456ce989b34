"""What is published with the package: its dependencies, their oldest versions and licences."""

import re
import tomllib
from pathlib import Path

import pytest

from dfi_jax.network.weights.catalog import CATALOG, Published

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
FOR_CONTRIBUTORS = {"docs", "mutants", "test"}


def normalize(name):
    """The name of a package as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def split(requirement):
    """The name and the version limits of a requirement such as `jax>=0.8`."""
    name, _, limits = re.match(r"([\w-]+)(\[\w+\])?(.*)", requirement).groups()
    return normalize(name), limits


def read_constraints(name):
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    return {normalize(line.split("==")[0]): line.split("==")[1] for line in lines}


def read_licences():
    """The cells between backticks of each row, and the row's cells."""
    rows = []
    for line in (ROOT / "docs" / "licences.md").read_text().splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            rows.append((set(re.findall("`([^`]+)`", line)), cells))
    return rows


def test_no_version_is_pinned_and_every_required_package_has_a_lower_bound():
    published = [*PROJECT["dependencies"]]
    published += [item for extra in EXTRAS.values() for item in extra]
    assert [item for item in published if re.search("==|<|~=", item)] == []
    needed = [*PROJECT["dependencies"]]
    needed += [
        item for name, extra in EXTRAS.items() if name not in FOR_CONTRIBUTORS for item in extra
    ]
    assert [item for item in needed if ">=" not in item] == []


def test_the_oldest_versions_that_are_tested_are_those_that_are_allowed():
    oldest = read_constraints("constraints-oldest.txt")
    for item in [*PROJECT["dependencies"], *(i for extra in EXTRAS.values() for i in extra)]:
        name, limits = split(item)
        if limits and name != "torch":  # Nothing but live references in the tests needs torch.
            bound = limits.removeprefix(">=")
            assert oldest[name] == bound or oldest[name].removesuffix(".0") == bound, name


def test_the_versions_of_python_that_are_published_are_those_that_were_tried():
    prefix = "Programming Language :: Python :: "
    published = [item.removeprefix(prefix) for item in PROJECT["classifiers"] if prefix in item]
    published.remove("3")
    assert PROJECT["requires-python"] == f">={published[0]}"
    text = (ROOT / "CONTRIBUTING.md").read_text()
    tried = re.findall(r"^\| (3\.\d+)\.\d+ \|", text, re.MULTILINE)
    assert list(dict.fromkeys(tried)) == published


def test_every_package_and_extra_is_constrained():
    newest = read_constraints("constraints.txt")
    for item in [*PROJECT["dependencies"], *(i for extra in EXTRAS.values() for i in extra)]:
        assert split(item)[0] in newest


def test_no_two_extras_are_alike():
    contents = [tuple(sorted(extra)) for extra in EXTRAS.values()]
    assert len(set(contents)) == len(contents)


@pytest.mark.parametrize("extra", [None, *sorted(EXTRAS.keys() - FOR_CONTRIBUTORS)])
def test_every_package_has_a_licence_in_the_table(extra):
    rows = [{normalize(name) for name in names} for names, _ in read_licences()]
    for item in EXTRAS[extra] if extra else PROJECT["dependencies"]:
        place = {split(item)[0]} | ({extra} if extra else set())
        assert any(place <= names for names in rows), item


def test_the_licences_of_networks_are_those_of_the_catalog():
    stated = {name: cells[-1] for names, cells in read_licences() for name in names}
    for name, entry in CATALOG.items():
        if isinstance(entry, Published):
            assert stated[name] == entry.license
