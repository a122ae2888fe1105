"""Break every rule of the gate on purpose, one at a time, and see a test fail.

    python tools/mutants.py                         every module of RULES, then docs/mutations.md
    python tools/mutants.py appliance.permits ...   only those
    python tools/mutants.py --list appliance.permits

A mutant is the module with one rule changed: a condition turned round, a boundary moved by one, one
side of an `and` or `or` left out, a refusal or a call that is not made, an answer turned round. The
module's tests run in a process of their own, in which that module alone is the changed one; no file
is written. A mutant is caught when a test fails, or does not come to its end.

Each result is a line in build/mutants.jsonl: begun again, only what is missing is run, as long as
the module and its tests are the same. What no test catches is listed in docs/mutations.md, with
the reason from tools/mutants.toml if one is known; the measure is that 95 of 100 are caught and
each other one is explained. Exit 0 if it is met, else 1.
"""

import argparse
import ast
import copy
import functools
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import multiprocessing
import os
import signal
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "build" / "mutants.jsonl"
DOCUMENT = ROOT / "docs" / "mutations.md"
REASONS = ROOT / "tools" / "mutants.toml"
WANTED = 0.95
LONGEST = 600
"""Seconds, for the tests of one mutant: what takes longer hangs."""

AGREED = "tests/promises/test_only_what_is_agreed.py"
ANY_ORDER = "tests/promises/test_any_order.py"
EFFECTS = "tests/promises/test_every_effect_may_fail.py"
TAKEN_OVER = "tests/promises/test_taken_over.py"
RULES = {
    "appliance.permits": ("tests/test_permits.py", "tests/test_runner.py", AGREED),
    "appliance.consent": (
        "tests/test_consent.py", "tests/test_web_consent.py", "tests/test_web_visit.py",
        "tests/test_copies.py", "tests/test_web_withdrawal.py", AGREED,
    ),
    "appliance.sealing": (
        "tests/test_sealing.py", "tests/test_unsealing.py", "tests/test_age_interop.py",
        "tests/test_writer.py",
    ),
    "appliance.withdrawing": (
        "tests/test_withdrawing.py", "tests/test_web_withdrawal.py", "tests/test_base.py",
        "tests/test_sync.py", AGREED,
    ),
    "firmware.removing": ("tests/test_removing.py", "tests/test_runner.py", TAKEN_OVER),
    "firmware.gate": (
        "tests/test_runner.py", "tests/test_removing.py", "tests/test_renewing.py",
        "tests/test_at_base.py", "tests/test_revoking.py", "tests/test_resetting.py",
        TAKEN_OVER, AGREED,
    ),
    "firmware.recorder": (
        "tests/test_recorder.py", "tests/test_runner.py", ANY_ORDER, EFFECTS, TAKEN_OVER,
    ),
}  # fmt: skip
"""Module -> the tests that hold its rules, the quick ones first."""
COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE,), ast.LtE: (ast.Lt,), ast.Gt: (ast.GtE,), ast.GtE: (ast.Gt,),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One changed rule."""

    module: str
    line: int
    change: str
    """The line's own words before and after, as a person would read them."""
    code: str

    @property
    def name(self) -> str:
        return f"{self.module}: {self.change}"


@dataclass(frozen=True)
class Result:
    name: str
    line: int
    digest: str
    """Of the module and the tests that were asked."""
    caught: bool
    seconds: float


# --- The changes --------------------------------------------------------------------------------


def changes(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Each (what stands there, what is to stand there instead) for one node of a module."""
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield node.test, ast.UnaryOp(ast.Not(), node.test)
    if isinstance(node, ast.comprehension):
        for test in node.ifs:
            yield test, ast.UnaryOp(ast.Not(), test)
    if isinstance(node, ast.Compare):
        for place, old in enumerate(node.ops):
            for new in COMPARED[type(old)]:
                other = copy.copy(node)
                other.ops = [*node.ops[:place], new(), *node.ops[place + 1 :]]
                yield node, other
    if isinstance(node, ast.BoolOp):
        turned = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield node, ast.BoolOp(turned, node.values)
        for place in range(len(node.values)):
            rest = [*node.values[:place], *node.values[place + 1 :]]
            yield node, ast.BoolOp(node.op, rest) if len(rest) > 1 else rest[0]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, node.operand
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield node, ast.Constant(not node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        other_way = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        yield node, ast.BinOp(node.left, other_way, node.right)
    if isinstance(node, ast.Return) and ast.unparse(node) not in ("return", "return None"):
        yield node, ast.Return(ast.Constant(None))
    if isinstance(node, ast.Raise) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ):
        yield node, ast.Pass()
    if isinstance(node, ast.Assign | ast.AugAssign) and any(
        isinstance(target, ast.Attribute)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ):
        yield node, ast.Pass()


class _Put(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self._old:
            return ast.copy_location(self._new, node)
        done: ast.AST = self.generic_visit(node)
        return done


@functools.cache
def mutants(module: str) -> list[Mutant]:
    """Every change of this module, in the order of its lines."""
    source = path_of(module).read_text()
    plain = ast.unparse(ast.parse(source))
    found: list[Mutant] = []
    seen = {plain}
    places = [
        (number, which)
        for number, node in enumerate(ast.walk(ast.parse(source)))
        for which, _change in enumerate(changes(node))
    ]
    for number, which in places:
        tree = ast.parse(source)
        node = list(ast.walk(tree))[number]
        old, new = list(changes(node))[which]
        line = getattr(old, "lineno", 0)
        before = _words(old)
        code = ast.unparse(ast.fix_missing_locations(_Put(old, new).visit(tree)))
        if code in seen:
            continue
        seen.add(code)
        found.append(Mutant(module, line, f"{before} -> {_words(new)}", code))
    return sorted(found, key=lambda one: one.line)


def _words(node: ast.AST) -> str:
    words = " ".join(ast.unparse(node).split())
    return words if len(words) < 120 else f"{words[:117]}..."


def path_of(module: str) -> Path:
    return ROOT / f"{module.replace('.', '/')}.py"


# --- Trying one ---------------------------------------------------------------------------------


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module other code, and every other one as it is."""

    def __init__(self, module: str, code: str) -> None:
        self._module, self._code = module, code

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._module:
            return None
        return importlib.util.spec_from_file_location(name, path_of(name), loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._code, str(path_of(self._module)), "exec"), module.__dict__)  # noqa: S102


def fails(module: str, code: str, quiet: bool = True) -> bool:
    """Whether a test fails, or hangs, where `module` has this code."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        if quiet:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
        sys.meta_path.insert(0, _Changed(module, code))
        import pytest

        how = ("-q", "-x", "-p", "no:cacheprovider")
        os._exit(int(pytest.main([*how, *RULES[module]])))
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        time.sleep(0.05)
    # Its own children too: processes that its tests started.
    os.killpg(child, signal.SIGKILL)
    _pid, status = os.waitpid(child, 0)
    return status != 0


def try_one(mutant: Mutant, digest: str) -> Result:
    began = time.monotonic()
    caught = fails(mutant.module, mutant.code)
    seconds = round(time.monotonic() - began, 1)
    return Result(mutant.name, mutant.line, digest, caught, seconds)


def digest_of(module: str) -> str:
    digest = hashlib.sha256(path_of(module).read_bytes())
    for name in RULES[module]:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()[:16]


# --- All of them --------------------------------------------------------------------------------


def results() -> dict[tuple[str, int, str], Result]:
    lines = KEPT.read_text().splitlines() if KEPT.exists() else []
    kept = [Result(**json.loads(line)) for line in lines]
    return {(one.name, one.line, one.digest): one for one in kept}


def run(module: str) -> None:
    """Try what is missing of a module."""
    digest = digest_of(module)
    known = results()
    missing = [one for one in mutants(module) if (one.name, one.line, digest) not in known]
    if missing and fails(module, path_of(module).read_text(), quiet=False):
        raise SystemExit(f"{module}: its tests fail without any change; nothing can be said.")
    workers = os.cpu_count() or 1
    children = [
        multiprocessing.Process(target=try_all, args=(missing[number::workers], digest))
        for number in range(workers)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
        if child.exitcode:
            raise SystemExit(f"{module}: a worker ended with {child.exitcode}.")


def try_all(some: Sequence[Mutant], digest: str) -> None:
    for number, mutant in enumerate(some, 1):
        result = try_one(mutant, digest)
        with open(KEPT, "a") as file:
            file.write(json.dumps(asdict(result)) + "\n")
        told = "caught" if result.caught else "NOT CAUGHT"
        print(f"{number}/{len(some)} {told}: line {result.line}: {result.name}", flush=True)


def reasons() -> dict[str, str]:
    """Why it is right that no test catches a change, by its name."""
    return tomllib.loads(REASONS.read_text())["reasons"] if REASONS.exists() else {}


def document(modules: Sequence[str]) -> tuple[str, bool]:
    """What all came to, and whether the measure is met."""
    known, why = results(), reasons()
    rows, left, met = [], [], True
    for module in modules:
        digest = digest_of(module)
        of_it = [known.get((one.name, one.line, digest)) for one in mutants(module)]
        tried = [one for one in of_it if one]
        caught = sum(one.caught for one in tried)
        share = caught / len(of_it)
        met &= len(tried) == len(of_it) and share >= WANTED
        rows.append(f"| `{module}` | {len(of_it)} | {len(tried)} | {caught} | {share:.1%} |")
        for one in tried:
            if not one.caught:
                met &= one.name in why
                change = one.name.removeprefix(f"{module}: ")
                left.append(
                    f"| `{module}` {one.line} | `{change}` | {why.get(one.name, '**none**')} |"
                )
    text = f"""\
# Rules that are broken on purpose

Generated by `make long` (`tools/mutants.py`), which changes one rule at a time - a condition turned
round, a boundary moved, a check left out - and runs the tests that hold it. At least {WANTED:.0%}
must be caught, and each other one explained.

| module | changes | tried | caught | share |
|---|---|---|---|---|
{chr(10).join(rows)}

## What no test catches

| where | change | why that is right |
|---|---|---|
{chr(10).join(left)}
"""
    return text, met


def main() -> int:
    parser = argparse.ArgumentParser(description="Break each rule on purpose, see a test fail.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="only these; else all")
    parser.add_argument("--list", action="store_true", help="only say what would be changed")
    asked = parser.parse_args()
    modules = asked.modules or list(RULES)
    if unknown := [name for name in modules if name not in RULES]:
        print(f"No rules are known of {unknown[0]}; of: {', '.join(RULES)}.", file=sys.stderr)
        return 2
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    if asked.list:
        for module in modules:
            for one in mutants(module):
                print(f"{one.line}: {one.name}")
        return 0
    KEPT.parent.mkdir(exist_ok=True)
    # What every run loads, once for all of them. Nothing of ours.
    for name in ("av", "cryptography", "flask", "msgspec", "numpy"):
        if importlib.util.find_spec(name):
            importlib.import_module(name)
    for module in modules:
        run(module)
    text, met = document(modules)
    print(text)
    if set(modules) == set(RULES):
        DOCUMENT.write_text(text)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
