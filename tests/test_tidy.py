# SPDX-License-Identifier: Apache-2.0
"""House rules that a parser can hold (docs: development)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "stackmend"
LAB = ROOT / "lab" / "src"
SPDX = "# SPDX-License-Identifier: Apache-2.0"

#: lines of a file, lines of a function
FILE_LIMIT = 500
FUNCTION_LIMIT = 60
#: modules of a package, its sub-packages not counted
PACKAGE_LIMIT = 20

#: the two boundaries at which anything may be caught: a command tells the user, a lane must not take others with it
MAY_CATCH_ALL = {"cli/base.py", "engine/running/runner.py"}
#: where a thread hands whatever went wrong to the thread that waits for it, which raises it again
HANDS_OVER = {"drivers/snapshot/collector.py", "drivers/snapshot/stream.py"}
#: what talks to a terminal
MAY_PRINT = ("cli/", "report/")

#: helpers that assert for a test
ASSERTS = ("assert_", "conforms")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(*folders: str) -> list[Path]:
    """Every Python file under these folders of the repository."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function and method, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def within(path: Path) -> str:
    """The place of a file in stackmend; in the lab with the lab's name before it."""
    return path.relative_to(SOURCE if path.is_relative_to(SOURCE) else LAB).as_posix()


def where(path: Path, node: ast.AST) -> str:
    """file:line, for a message."""
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def test_a_file_says_its_licence_and_fits() -> None:
    """Line one is the licence (after a script's interpreter), and no file is longer than 500 lines."""
    untidy = [line for path in files("src", "lab", "tests", "bench", "scripts") for line in _untidy(path)]
    assert untidy == []


def _untidy(path: Path) -> Iterator[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines[int(lines[0].startswith("#!"))] != SPDX:
        yield f"{path.relative_to(ROOT)}: no licence"
    if len(lines) > FILE_LIMIT:
        yield f"{path.relative_to(ROOT)}: {len(lines)} lines"


def test_a_package_is_seen_at_a_glance() -> None:
    """No package has more than 20 modules: what grows further gets sub-packages."""
    packages = {path.parent for path in files("src", "lab")}
    counts = {str(one.relative_to(ROOT)): len([*one.glob("*.py")]) - 1 for one in packages}
    assert {name: count for name, count in counts.items() if count > PACKAGE_LIMIT} == {}


def test_a_function_fits_on_a_screen() -> None:
    """No function is longer than 60 lines, its docstring included."""
    long = [
        f"{where(path, f)} {f.name}: {(f.end_lineno or 0) - f.lineno + 1} lines"
        for path in files("src", "lab", "bench", "scripts")
        for f in functions(parsed(path))
        if (f.end_lineno or 0) - f.lineno + 1 > FUNCTION_LIMIT
    ]
    assert long == []


def test_everything_is_caught_only_at_the_boundaries() -> None:
    """A broad except stands only where a command or a lane ends."""
    broad = [
        where(path, node)
        for path in files("src", "lab")
        if within(path) not in MAY_CATCH_ALL | HANDS_OVER
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ExceptHandler) and _broad(node.type)
    ]
    assert broad == []


def _broad(caught: ast.expr | None) -> bool:
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(name is None or (isinstance(name, ast.Name) and name.id in _EVERYTHING) for name in names)


_EVERYTHING = {"Exception", "BaseException"}


def test_only_the_command_line_prints() -> None:
    """Nothing but commands and reports writes to the terminal."""
    printing = [
        where(path, node)
        for path in files("src", "lab")
        if not within(path).startswith(MAY_PRINT)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []


def test_what_is_public_has_a_docstring() -> None:
    """Modules, public classes and functions explain themselves; so do methods that no base or protocol names."""
    silent = [line for path in files("src", "lab", "bench", "scripts") for line in _silent(path)]
    assert silent == []


def _silent(path: Path) -> Iterator[str]:
    tree = parsed(path)
    if tree.body and not ast.get_docstring(tree):
        yield f"{path.relative_to(ROOT)}: the module"
    promised = {m.name for c in tree.body if isinstance(c, ast.ClassDef) and c.bases for m in functions(c)}
    for node in tree.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_") or node.name == "main":
            continue
        if not ast.get_docstring(node):
            yield f"{where(path, node)} {node.name}"
        if isinstance(node, ast.ClassDef) and not node.bases:
            for method in node.body:
                if not isinstance(method, Function) or method.name.startswith("_") or method.name in promised:
                    continue
                if not ast.get_docstring(method):
                    yield f"{where(path, method)} {node.name}.{method.name}"


def test_every_test_states_a_behaviour() -> None:
    """A test has a docstring that says what must hold, and asserts or expects an error."""
    mute = [
        f"{where(path, test)} {test.name}"
        for path in files("tests")
        for test in functions(parsed(path))
        if test.name.startswith("test_") and not (ast.get_docstring(test) and _asserts(test))
    ]
    assert mute == []


def _asserts(test: Function) -> bool:
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Attribute) and node.attr in {"raises", "fail"})
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.startswith(ASSERTS))
        for node in ast.walk(test)
    )


#: what takes long to import, and only a few tests need
LATE = {"keystoneauth1", "openstack", "openstackclient", "oslo_utils", "requests"}


def test_collecting_tests_imports_no_client() -> None:
    """Tests are collected for every single one of them: what takes long to import is imported where it is used."""
    early = [
        where(path, node)
        for path in files("tests", "lab/src")
        if "fake_backends" not in path.parts
        for node in parsed(path).body
        if isinstance(node, ast.Import | ast.ImportFrom) and {name.partition(".")[0] for name in _imported(node)} & LATE
    ]
    assert early == []


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [] if node.level else [node.module or ""]


def test_nothing_is_left_to_do() -> None:
    """No stub and no reminder: what is not done is not in the tree."""
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files("src", "lab", "tests", "bench", "scripts")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if any(mark in line for mark in marks)
    ]
    assert found == []


#: what reads JSON, rows and libraries that tell no types, and hands on what it has made of them
DECODES = (
    "drivers/api/servers.py",
    "drivers/api/reader.py",
    "drivers/api/reading.py",
    "drivers/api/session.py",
    "drivers/api/tables/",
    "drivers/database/dialects/",
    "drivers/hosts/libvirt.py",
    "drivers/snapshot/decode.py",
    "drivers/snapshot/decoder.py",
    "config/decoding.py",
)
#: share of the functions whose arguments or results are of any type
ANY_LIMIT = 0.05


def test_few_functions_take_or_give_anything() -> None:
    """A function whose signature says Any, itself or by the name of an alias, is one that mypy does not look into."""
    trees = {path: parsed(path) for path in files("src") if not _decodes(path)}
    aliases = {(_module(path), name) for path, tree in trees.items() for name in _aliases_of_any(tree)}
    names = {path: _any_names(_module(path), tree, aliases) for path, tree in trees.items()}
    every = [(path, f) for path, tree in trees.items() for f in functions(tree)]
    loose = [f"{where(path, f)} {f.name}" for path, f in every if any(_says(one, names[path]) for one in _types(f))]
    assert len(loose) / len(every) < ANY_LIMIT, f"{len(loose)} of {len(every)}: " + ", ".join(loose)


def _decodes(path: Path) -> bool:
    return path.relative_to(SOURCE).as_posix().startswith(DECODES)


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")


def _aliases_of_any(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp | ast.Name):
            yield from (one.id for one in node.targets if isinstance(one, ast.Name) and _says(node.value, {"Any"}))


def _any_names(module: str, tree: ast.Module, aliases: set[tuple[str, str]]) -> set[str]:
    """Names that stand for Any in a module: those that it gives, and those that it imports."""
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if (node.module, alias.name) in aliases
    }
    return {"Any"} | imported | {name for where_, name in aliases if where_ == module}


def _types(function: Function) -> Iterator[ast.expr]:
    given = function.args
    for one in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
        if one is not None and one.annotation is not None:
            yield one.annotation
    if function.returns is not None:
        yield function.returns


def _says(annotation: ast.expr, names: set[str]) -> bool:
    return any(isinstance(node, ast.Name) and node.id in names for node in ast.walk(annotation))
