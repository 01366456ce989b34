"""Counts how many small faults in the code the tests notice.

    python tests/mutants.py engine vectors --sample 60 --seed 0

cosmic-ray makes one fault at a time, in a copy of the repository in `out/mutants`. The tests of the
same area then run in a new process until one fails, fastest first. There are too many faults to try
all, so a sample is drawn, and the share of it that is noticed has a standard error. The same
command skips the faults that were noticed before, so it resumes a run and tries survivors again. To
start anew, delete `out/mutants`.
"""

import argparse
import ast
import collections
import hashlib
import json
import math
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_and_test, mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.testing import run_tests
from cosmic_ray.work_item import MutationSpec, TestOutcome

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "out" / "mutants"
TREE = OUT / "tree"


class Area(NamedTuple):
    """Files and folders of code, and those of the tests that should notice a fault in it."""

    code: tuple[str, ...]
    tests: tuple[str, ...]


EDITOR = tuple(
    f"dfi_jax/editor/{name}.py" for name in ("job", "query", "record", "result", "solve", "work")
)

AREAS = {
    "engine": Area(
        code=("dfi_jax/recipe", "dfi_jax/engine"),
        tests=("tests/recipe", "tests/engine", "tests/test_tables.py"),
    ),
    "vectors": Area(code=("dfi_jax/vectors",), tests=("tests/vectors",)),
    "photo": Area(code=("dfi_jax/photo",), tests=("tests/photo",)),
    "manifest": Area(code=("dfi_jax/manifest",), tests=("tests/manifest",)),
    "record": Area(code=EDITOR, tests=("tests/editor",)),
    "storage": Area(code=("dfi_jax/storage",), tests=("tests/storage",)),
}

# Left out are operators that a type error gives away (+ to >>), that change nothing (== to `is`
# for small numbers, removed decorators that only cache or compile), or that repeat one of these.
OPERATORS = (
    "AddNot",
    "ExceptionReplacer",
    "NumberReplacer",
    "ReplaceAndWithOr",
    "ReplaceBinaryOperator_Add_Sub",
    "ReplaceBinaryOperator_BitAnd_BitOr",
    "ReplaceBinaryOperator_BitOr_BitAnd",
    "ReplaceBinaryOperator_Div_Mul",
    "ReplaceBinaryOperator_FloorDiv_Mul",
    "ReplaceBinaryOperator_Mod_FloorDiv",
    "ReplaceBinaryOperator_Mul_Div",
    "ReplaceBinaryOperator_Pow_Mul",
    "ReplaceBinaryOperator_Sub_Add",
    "ReplaceBreakWithContinue",
    "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_GtE_Gt",
    "ReplaceComparisonOperator_GtE_Lt",
    "ReplaceComparisonOperator_Gt_GtE",
    "ReplaceComparisonOperator_Gt_LtE",
    "ReplaceComparisonOperator_IsNot_Is",
    "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_LtE_Gt",
    "ReplaceComparisonOperator_LtE_Lt",
    "ReplaceComparisonOperator_Lt_GtE",
    "ReplaceComparisonOperator_Lt_LtE",
    "ReplaceComparisonOperator_NotEq_Eq",
    "ReplaceContinueWithBreak",
    "ReplaceFalseWithTrue",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceUnaryOperator_Delete_Invert",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_Delete_USub",
    "ZeroIterationForLoop",
)

SECONDS_PER_TEST = 300
SECONDS = 3600


class Behaviour(ast.NodeTransformer):
    """Removes what can't change a result: annotations, decorators and the words of an error."""

    def visit_arg(self, node):
        return ast.arg(node.arg)

    def visit_arguments(self, node):
        """Merges the arguments: the `*` that separates them isn't an operator."""
        node.args = [*node.posonlyargs, *node.args, *node.kwonlyargs]
        node.defaults += [default for default in node.kw_defaults if default is not None]
        node.posonlyargs, node.kwonlyargs, node.kw_defaults = [], [], []
        return self.generic_visit(node)

    def visit_AnnAssign(self, node):
        return ast.AnnAssign(node.target, ast.Name("_"), node.value, node.simple)

    def visit_FunctionDef(self, node):
        node.returns, node.decorator_list = None, []
        return self.generic_visit(node)

    def visit_ClassDef(self, node):
        node.decorator_list = []
        return self.generic_visit(node)

    def visit_Raise(self, node):
        return ast.Raise(node.exc and ast.Name("_"))


def behaviour(code: str) -> str | None:
    """Returns what a program does, comparable with another one's, or None if it isn't Python."""
    try:
        return ast.dump(Behaviour().visit(ast.parse(code)))
    except SyntaxError:
        return None


def find_files(places: tuple[str, ...]) -> list[Path]:
    """Returns the Python files of files and folders."""
    files = []
    for place in places:
        path = Path(place).resolve(strict=True).relative_to(TREE)
        files += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return files


def find_mutants(path: Path, seed: int) -> Iterator[tuple[str, MutationSpec]]:
    """Yields the mutants of a file, each with a rank that depends on the seed and its line only."""
    code = path.read_text(encoding="utf-8")
    nodes, lines = list(ast_nodes(get_ast(code))), code.splitlines()
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        places = (place for node in nodes for place in operator.mutation_positions(node))
        for i, (start, end) in enumerate(places):
            key = f"{seed} {path} {name} {lines[start[0] - 1].strip()} {start[1]} {i % 2}"
            rank = hashlib.sha256(key.encode()).hexdigest()
            yield rank, MutationSpec(path, f"core/{name}", i, start, end)


def draw(area: Area, *, sample: int, seed: int) -> Iterator[tuple[MutationSpec, str]]:
    """Yields a sample of an area's mutants, one in a place, each with the code that it makes."""
    ranked = [found for path in find_files(area.code) for found in find_mutants(path, seed)]
    drawn = set()
    for _, mutant in sorted(ranked, key=lambda pair: pair[0]):
        place = mutant.module_path, mutant.start_pos
        if len(drawn) == sample or place in drawn:
            continue
        code = mutant.module_path.read_text(encoding="utf-8")
        try:
            mutated = mutate_code(code, get_operator(mutant.operator_name)(), mutant.occurrence)
        except AttributeError:  # ExceptionReplacer fails on a tuple with `module.Exception`.
            continue
        if behaviour(mutated) not in (None, behaviour(code)):
            drawn.add(place)
            yield mutant, mutated


def make_command(tests: list[str], *options: str) -> str:
    """Returns the command that runs some tests."""
    limit = f"faulthandler_timeout={SECONDS_PER_TEST}", "faulthandler_exit_on_timeout=true"
    fixed = "-x", "-q", "-p", "no:cacheprovider", *(word for item in limit for word in ("-o", item))
    return shlex.join([sys.executable, "-m", "pytest", *fixed, *options, *tests])


def time_tests(name: str) -> dict[str, float]:
    """Returns the seconds of each file of an area's tests and doctests, after they have passed."""
    report = OUT / f"{name}.xml"
    files = [*find_files(AREAS[name].tests), *find_files(AREAS[name].code)]
    tests = [str(path) for path in files if path.stem != "conftest"]
    outcome, output = run_tests(
        make_command(tests, f"--junitxml={report}", "-o", "junit_family=xunit1"), SECONDS
    )
    if outcome != TestOutcome.SURVIVED:
        sys.exit(f"the tests of {name} fail without a fault:\n{output}")
    seconds: dict[str, float] = collections.defaultdict(float)
    for case in ElementTree.parse(report).iter("testcase"):
        seconds[case.attrib["file"]] += float(case.attrib["time"])
    return seconds


def try_mutant(mutant: MutationSpec, seconds: dict[str, float]) -> dict[str, str]:
    """Returns the change of the code, and the test that failed or an empty string."""
    path = mutant.module_path
    own = str(Path("tests", *path.parts[1:-1], f"test_{path.name}")), str(path)
    tests = sorted(seconds, key=lambda test: (test not in own, seconds[test]))
    result = mutate_and_test([mutant], make_command(tests), SECONDS)
    failed = re.findall("^(?:FAILED|ERROR) .*", result.output, re.MULTILINE)
    killer = failed[0] if failed else "the tests didn't end"
    return {"diff": result.diff, "noticed": killer if result.is_killed else ""}


def measure(name: str, *, sample: int, seed: int) -> str:
    """Tries a sample of an area's mutants, and returns the score in a line."""
    seconds, path = time_tests(name), OUT / f"{name}-{seed}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    known = {entry["mutant"]: entry for entry in map(json.loads, lines)}
    noticed = []
    with path.open("a", encoding="utf-8") as record:
        for mutant, mutated in draw(AREAS[name], sample=sample, seed=seed):
            digest = hashlib.sha256(mutated.encode()).hexdigest()
            entry = known.get(digest, {"noticed": ""})
            if not entry["noticed"]:
                entry = {"mutant": digest, **try_mutant(mutant, seconds)}
                record.write(json.dumps(entry, ensure_ascii=False) + "\n")
                record.flush()
                if not entry["noticed"]:
                    print(entry["diff"], flush=True)
            noticed.append(bool(entry["noticed"]))
    share = sum(noticed) / len(noticed)
    error = math.sqrt(share * (1 - share) / len(noticed))
    return f"{name:10}{sum(noticed):4} of {len(noticed):4}{share:6.0%} ± {error:.0%}"


def main() -> None:
    """Prints the survivors, and the score of each area."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"from {', '.join(AREAS)}")
    parser.add_argument("--sample", type=int, default=60, help="number of faults in each area")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    options = parser.parse_args()
    if unknown := set(options.areas) - set(AREAS):
        parser.error(f"no area is named {', '.join(sorted(unknown))}")
    shutil.rmtree(TREE, ignore_errors=True)
    for folder in ("dfi_jax", "docs", "tests"):
        shutil.copytree(
            ROOT / folder, TREE / folder, ignore=shutil.ignore_patterns("__pycache__", ".*")
        )
    shutil.copy(ROOT / "pyproject.toml", TREE)
    os.chdir(TREE)
    os.environ["PYTHONPATH"] = str(TREE)
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(OUT / "compiled"))
    scores = [
        measure(name, sample=options.sample, seed=options.seed) for name in options.areas or AREAS
    ]
    print(*scores, sep="\n")


if __name__ == "__main__":
    main()
