"""Break every rule of the gate on purpose, one at a time, and see a test fail.

    python tools/mutants.py                         every module of RULES, then docs/mutations.md
    python tools/mutants.py appliance.protocol.permits ...   only those
    python tools/mutants.py --list appliance.protocol.permits

A mutant is the module with one rule changed: a condition turned round, a boundary moved by one, one
side of an `and` or `or` left out, a refusal or a call that is not made, an answer turned round. The
tests that reach the changed statement run in a process of their own, the quickest first, in which
that module alone is the changed one; no file is written. A mutant is caught when a test fails, or
does not come to its end.

Each result is a line in docs/mutations.jsonl: begun again, on this machine or another, only what is
missing is run. A change that was caught stays so while the module and that very test are the same,
one that was not while all of the module's tests are. What no test catches is listed in
docs/mutations.md, with the reason from tools/mutants.toml if one is known; the measure is that 95
of 100 are caught and each other one is explained. Exit 0 if it is met, else 1.
"""

import argparse
import ast
import contextlib
import copy
import functools
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
import tomllib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, settings

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "docs" / "mutations.jsonl"
DOCUMENT = ROOT / "docs" / "mutations.md"
REASONS = ROOT / "tools" / "mutants.toml"
WANTED = 0.95
TO_BEGIN, SLOWER = 30.0, 8
"""Seconds, and so many times as long as without a change: a test that takes longer hangs."""

EFFECTS = "promises/test_every_effect_may_fail"
TAKEN_OVER = "promises/test_taken_over"
HELD_BY = {
    "appliance.protocol.permits": "appliance/protocol/test_permits firmware/test_runner",
    "appliance.casework.consent": "appliance/casework/test_consent appliance/casework/test_copies "
    "web_ui/pages/test_consent web_ui/pages/test_visit web_ui/pages/test_withdrawal",
    "appliance.age.sealing": "appliance/age/test_sealing appliance/age/test_unsealing "
    "appliance/age/test_interop firmware/test_writer",
    "appliance.casework.closing": "appliance/vault/test_cases appliance/casework/test_withdrawal "
    "appliance/casework/test_shares",
    "appliance.casework.withdrawal": "appliance/casework/test_withdrawal "
    "appliance/casework/test_shares appliance/base/test_orders appliance/base/test_holds "
    "web_ui/pages/test_withdrawal",
    "appliance.protocol.case_record": "appliance/casework/test_withdrawal "
    "appliance/casework/test_shares firmware/test_removing appliance/sync/test_sender "
    "appliance/base/test_holds "
    f"web_ui/pages/test_withdrawal {TAKEN_OVER}",
    "firmware.removing": "firmware/test_removing firmware/test_emptying firmware/test_runner "
    f"{TAKEN_OVER}",
    "firmware.gate": "firmware/test_runner firmware/test_removing firmware/test_renewing "
    "web_ui/test_revoking appliance/test_factory_reset firmware/test_gate firmware/test_timekeeper "
    f"firmware/test_books {TAKEN_OVER}",
    "firmware.timekeeper": "firmware/test_timekeeper firmware/test_runner "
    f"appliance/records/test_clock {TAKEN_OVER}",
    "firmware.inbox": "firmware/test_inbox firmware/test_books firmware/test_runner "
    "firmware/test_removing firmware/test_renewing "
    f"web_ui/test_revoking appliance/test_factory_reset {EFFECTS} {TAKEN_OVER}",
    "firmware.board": "firmware/test_board firmware/test_runner firmware/test_gate",
    "firmware.recorder": f"firmware/test_recorder firmware/test_runner {EFFECTS} {TAKEN_OVER}",
}
RULES = {
    module: tuple(f"tests/{name}.py" for name in names.split()) for module, names in HELD_BY.items()
}
"""Module -> the tests that hold its rules. Not the ones that try out whole visits: what these alone
would catch has no test that says what it is about."""
COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip


HOW = (
    "-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutants",
    # Hypothesis is loaded here, before pytest could read along.
    "-W", "ignore::pytest.PytestAssertRewriteWarning",
)  # fmt: skip
Tracer = Callable[[FrameType, str, Any], Any]
# As tests/conftest.py has it; the smallest example of a failure is not looked for.
settings.register_profile(
    "mutants", derandomize=True, deadline=None, phases=(Phase.explicit, Phase.generate)
)


class Reach(NamedTuple):
    """What one test reaches of a module."""

    seconds: float
    lines: list[int]


@dataclass(frozen=True)
class Mutant:
    """One changed rule."""

    module: str
    line: int
    change: str
    """The line's own words before and after, as a person would read them."""
    code: str
    reach: range
    """The lines of its statement; those of the module where it is carried out on import."""

    where: str
    """The class and function it is in."""

    @property
    def name(self) -> str:
        return f"{self.module} {self.where}: {self.change}"


@dataclass(frozen=True)
class Result:
    name: str
    line: int
    digest: str
    """Of the changed module, and of the test that caught it, or of all that did not."""
    caught: bool
    seconds: float
    by: str = ""
    """The test that caught it, or the last one that was run."""


# --- The changes --------------------------------------------------------------------------------


def changes(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Each (what stands there, what is to stand there instead) for one node of a module."""
    yield from _turned(node)
    yield from _other_answers(node)
    yield from _left_out(node)


def _turned(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """A condition that holds when it did not."""
    conditions = []
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        conditions = [node.test]
    if isinstance(node, ast.comprehension):
        conditions = node.ifs
    for test in conditions:
        if not isinstance(test, ast.Compare | ast.UnaryOp):
            yield test, ast.UnaryOp(ast.Not(), test)


def _other_answers(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """An expression that comes to something else."""
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


def _left_out(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """A statement that is not carried out."""
    # Who asks takes None for False.
    nothing = ("return", "return None", "return False")
    if isinstance(node, ast.Return) and ast.unparse(node) not in nothing:
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


def _walk(tree: ast.Module) -> Iterator[ast.AST]:
    """All of it but how classes are made: that one is frozen is no rule."""
    made = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for outer in (*node.keywords, *node.decorator_list)
        for inner in ast.walk(outer)
    }
    return (node for node in ast.walk(tree) if node not in made)


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
        for number, node in enumerate(_walk(ast.parse(source)))
        for which, _change in enumerate(changes(node))
    ]
    for number, which in places:
        tree = ast.parse(source)
        node = list(_walk(tree))[number]
        old, new = list(changes(node))[which]
        line = getattr(old, "lineno", 0)
        before = _words(old)
        code = ast.unparse(ast.fix_missing_locations(_Put(old, new).visit(tree)))
        if code in seen:
            continue
        seen.add(code)
        change, reach, where = f"{before} -> {_words(new)}", *_place(ast.parse(source), line)
        found.append(Mutant(module, line, change, code, reach, where))
    return sorted(found, key=lambda one: one.line)


def _place(tree: ast.Module, line: int) -> tuple[range, str]:
    """The lines of the innermost statement around this one, without those that it contains; and
    the class and function that this is in."""
    reach, inside, names = range(0), False, []
    # `ast.walk` goes from the outside in; a body's own lines belong to what is inside.
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.append(node.name)
            body = getattr(node, "body", None)
            inside |= isinstance(node, ast.FunctionDef) and line >= node.body[0].lineno
            last = max(body[0].lineno - 1, node.lineno) if body else node.end_lineno or 0
            if line <= last or not reach:
                reach = range(node.lineno, last + 1)
    return reach if inside else range(0), ".".join(names) or "module"


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


class _Reached:
    """A pytest plugin: which lines of a file each test reaches, and how long it takes."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._now: set[int] = set()
        self.tests: dict[str, Reach] = {}

    def _call(self, frame: FrameType, _event: str, _arg: object) -> Tracer | None:
        return self._line if frame.f_code.co_filename == self._path else None

    def _line(self, frame: FrameType, _event: str, _arg: object) -> Tracer:
        self._now.add(frame.f_lineno)
        return self._line

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._now, began = set(), time.monotonic()
        threading.settrace(self._call)
        sys.settrace(self._call)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)
            self.tests[item.nodeid] = Reach(time.monotonic() - began, sorted(self._now))


class _Told:
    """A pytest plugin: writes each test's name as it begins, and again with a `!` if it fails."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        os.write(self._pipe, f"{nodeid}\n".encode())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os.write(self._pipe, f"!{report.nodeid}\n".encode())


def reached(module: str) -> dict[str, Reach]:
    """Which lines of a module each of its tests reaches. They must all pass."""
    kept = ROOT / "build" / f"reached-{digest_of(module, path_of(module).read_text(), '')}.json"
    if not kept.exists():
        child = os.fork()
        if child == 0:
            plugin = _Reached(path_of(module))
            status = int(pytest.main([*HOW, *RULES[module]], plugins=[plugin]))
            if not status:
                kept.write_text(json.dumps(plugin.tests))
            os._exit(status)
        if os.waitpid(child, 0)[1]:
            raise SystemExit(f"{module}: its tests fail without any change; nothing can be said.")
    return {name: Reach(*one) for name, one in json.loads(kept.read_text()).items()}


def failing(mutant: Mutant, tests: dict[str, Reach], names: Sequence[str]) -> tuple[bool, str]:
    """Whether one of these tests fails, or hangs, with this mutant; and which one."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        sys.meta_path.insert(0, _Changed(mutant.module, mutant.code))
        os._exit(int(pytest.main([*HOW, "-x", *names], plugins=[_Told(writing)])))
    os.close(writing)
    now, until, hangs, ended = "", time.monotonic() + TO_BEGIN, False, False
    # What its tests started may hold the pipe open: whether it ended is asked for, not the pipe.
    while not hangs and not ended:
        ended = bool(os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT))
        if select.select([reading], [], [], 0 if ended else 0.05)[0]:
            told = os.read(reading, 1 << 20).decode().splitlines()
            now = told[-1].removeprefix("!") if told else now
            usual = tests[now].seconds if now in tests else 0.0
            until = time.monotonic() + TO_BEGIN + SLOWER * usual
        hangs = time.monotonic() > until
    with contextlib.suppress(ProcessLookupError):
        # Its own children too: processes that its tests started.
        os.killpg(child, signal.SIGKILL)
    _pid, status = os.waitpid(child, 0)
    os.close(reading)
    return hangs or status != 0, now


def try_one(mutant: Mutant, tests: dict[str, Reach], first: Sequence[str]) -> Result:
    """Run the tests that reach it: of `first` the first ones, then the quickest."""
    began = time.monotonic()
    order = {name: place for place, name in reversed([*enumerate(first)])}
    names = sorted(
        (name for name in tests if not mutant.reach or set(tests[name].lines) & set(mutant.reach)),
        key=lambda name: (order.get(name, len(first)), tests[name].seconds),
    )
    caught, by = failing(mutant, tests, names) if names else (False, "")
    seconds = round(time.monotonic() - began, 1)
    digest = digest_of(mutant.module, mutant.code, by if caught else "")
    return Result(mutant.name, mutant.line, digest, caught, seconds, by)


def digest_of(module: str, code: str, by: str) -> str:
    """Of a module's code and of one test; of all the tests that hold it, where none is named."""
    digest = hashlib.sha256(code.encode())
    for text in [source_of(by)] if by else [(ROOT / name).read_text() for name in RULES[module]]:
        digest.update(text.encode())
    return digest.hexdigest()[:16]


@functools.cache
def functions(path: Path) -> dict[str, str]:
    """The source of each function of a file."""
    source = path.read_text()
    return {
        node.name: ast.get_source_segment(source, node) or ""
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    }


def source_of(test: str) -> str:
    """The text of a test, by its name as pytest has it; '' where it is not there any more."""
    path, _, name = test.partition("[")[0].partition("::")
    return (
        functions(ROOT / path).get(name.rpartition("::")[2], "") if (ROOT / path).is_file() else ""
    )


# --- All of them --------------------------------------------------------------------------------


def results() -> dict[str, dict[str, Result]]:
    """What was tried, by its digest, by the name of the change."""
    found: dict[str, dict[str, Result]] = {}
    for line in KEPT.read_text().splitlines() if KEPT.exists() else []:
        one = Result(**json.loads(line))
        found.setdefault(one.name, {})[one.digest] = one
    return found


def result_of(mutant: Mutant, known: dict[str, dict[str, Result]]) -> Result | None:
    """What was found of this change, if that still holds."""
    for one in known.get(mutant.name, {}).values():
        if one.digest == digest_of(mutant.module, mutant.code, one.by if one.caught else ""):
            return one
    return None


def prune() -> None:
    """Keep one result of each change: the one that holds, or else the last, for the test that
    caught it then is likely to catch it again."""
    known = results()
    kept = [
        result_of(one, known) or [*known[one.name].values()][-1]
        for module in RULES
        for one in mutants(module)
        if one.name in known
    ]
    KEPT.write_text("".join(f"{json.dumps(asdict(one))}\n" for one in kept))


def run(module: str, workers: int) -> None:
    """Try what is missing of a module, so many changes at once."""
    known = results()
    missing = [one for one in mutants(module) if result_of(one, known) is None]
    if not missing:
        return
    tests = reached(module)
    before = {name: [*found.values()][-1].by for name, found in known.items()}

    def work(number: int) -> None:
        # Neighbours have much in common: each worker has some, and what caught one comes next.
        part = -(-len(missing) // workers)
        some = missing[number * part : (number + 1) * part]
        caught: deque[str] = deque(maxlen=20)
        for count, mutant in enumerate(some, 1):
            result = try_one(mutant, tests, [before.get(mutant.name, ""), *caught])
            if result.caught:
                caught.appendleft(result.by)
            with open(KEPT, "a") as file:
                file.write(json.dumps(asdict(result)) + "\n")
            told = "caught" if result.caught else "NOT CAUGHT"
            print(f"{count}/{len(some)} {told}: line {result.line}: {result.name}", flush=True)

    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=work, args=(number,)) for number in range(workers)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        if child.exitcode:
            raise SystemExit(f"{module}: a worker ended with {child.exitcode}.")


def reasons() -> dict[str, str]:
    """Why it is right that no test catches a change, by its name."""
    return tomllib.loads(REASONS.read_text())["reasons"] if REASONS.exists() else {}


def document(modules: Sequence[str]) -> tuple[str, bool]:
    """What all came to, and whether the measure is met."""
    known, why = results(), reasons()
    rows, left, met = [], [], True
    for module in modules:
        of_it = [(one, result_of(one, known)) for one in mutants(module)]
        tried = [(one, result) for one, result in of_it if result]
        caught = sum(result.caught for _one, result in tried)
        share = caught / len(of_it)
        met &= len(tried) == len(of_it) and share >= WANTED
        rows.append(f"| `{module}` | {len(of_it)} | {len(tried)} | {caught} | {share:.1%} |")
        for one, result in tried:
            if not result.caught:
                met &= one.name in why
                change = one.change.replace("|", "\\|")
                left.append(
                    f"| `{module}` {one.where} | `{change}` | {why.get(one.name, '**none**')} |"
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
    parser.add_argument("-j", type=int, default=os.cpu_count() or 1, metavar="N", dest="workers",
                        help="so many at once (usually: the processors)")  # fmt: skip
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
    (ROOT / "build").mkdir(exist_ok=True)
    # What every run loads, once for all of them. Nothing of ours.
    for name in ("av", "cryptography", "flask", "flask_babel", "msgspec", "numpy", "zxcvbn"):
        if importlib.util.find_spec(name):
            importlib.import_module(name)
    for module in modules:
        run(module, asked.workers)
        prune()
    text, met = document(modules)
    print(text)
    DOCUMENT.write_text(document(list(RULES))[0])
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
