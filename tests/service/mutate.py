"""Whether the tests of the verdicts notice when the verdicts are wrong: each small error, put in on purpose.

    python -m tests.service.mutate [MODULE…]

For each module of `service/pollex/words` (`verdicts` unless told otherwise) every comparison, logical word and
constant is altered, one at a time, and the hostile pairs and the table of verdicts are run against it in the same
process. What survives is printed; the status is 1 if anything does.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pollex import words
from tests.service import test_hostile, test_verdicts

FOLDER = Path(words.__file__).parent
_SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


_PLAIN = frozenset({"frozen", "slots", "strict"})
"""Arguments that only guard against errors of this code itself."""


def mutants(tree: ast.Module) -> Iterator[tuple[int, str, ast.Module]]:
    """Line, what is altered, and the altered module."""
    plain = {id(word.value) for word in ast.walk(tree) if isinstance(word, ast.keyword) and word.arg in _PLAIN}
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in plain:
            continue
        for what, alter in _alterations(node):
            other = copy.deepcopy(tree)
            alter(next(same for at, same in enumerate(ast.walk(other)) if at == number))
            yield getattr(node, "lineno", 0), what, ast.fix_missing_locations(other)


def _alterations(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], None]]]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _SWAPS:
        swap = _SWAPS[type(node.ops[0])]
        yield f"{ast.unparse(node)}: {swap.__name__}", lambda same: setattr(same, "ops", [swap()])
    elif isinstance(node, ast.BoolOp):
        other = _SWAPS[type(node.op)]
        yield f"{ast.unparse(node)}: {other.__name__}", lambda same: setattr(same, "op", other())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield f"{ast.unparse(node)}: never", lambda same: setattr(same, "operand", ast.Constant(value=True))
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        opposite = not node.value
        yield f"{node.value}: the contrary", lambda same: setattr(same, "value", opposite)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        more = node.value + 1
        yield f"{node.value}: one more", lambda same: setattr(same, "value", more)


def check() -> bool:
    """Whether all pairs and the table of verdicts come out right."""
    for _, pair in test_hostile.all_pairs():
        if not test_hostile.right(pair):
            return False
    return test_verdicts.right()


def survivors(module: str) -> Iterator[str]:
    """What was altered without any test's noticing."""
    path = FOLDER / f"{module}.py"
    loaded = importlib.import_module(f"pollex.words.{module}")
    kept = dict(vars(loaded))
    tree = ast.parse(path.read_text())
    if not check():
        raise SystemExit("the tests fail without any alteration: mend that first")
    for line, what, mutant in mutants(tree):
        with contextlib.suppress(Exception):
            exec(compile(mutant, str(path), "exec"), vars(loaded))
            _spread(loaded.__name__)
            if check():
                yield f"{path.name}:{line}: {what}"
        vars(loaded).update(kept)
        _spread(loaded.__name__)


def _spread(name: str) -> None:
    """Give the names of a module to those that imported them from it."""
    source = vars(sys.modules[name])
    for other in [module for key, module in sys.modules.items() if key.startswith("pollex.words.")]:
        for key, value in list(vars(other).items()):
            if getattr(value, "__module__", None) == name and key in source and other.__name__ != name:
                setattr(other, key, source[key])


def main() -> None:
    """Alter, test, say what survived."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.service.mutate", description="What the tests of verdicts miss."
    )
    parser.add_argument("modules", nargs="*", default=["verdicts"])
    found = [line for module in parser.parse_args().modules for line in survivors(module)]
    print("\n".join([*found, f"{len(found)} survived"]))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
