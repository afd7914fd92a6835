"""Counts where the source says again what an operator or a scheme is, instead of asking its declaration.

    python -m tests.house.declared_once        prints every place

Three kinds are looked for in ``src/lowbit``, in the syntax tree, so in whatever way they are written:

- `operator_lists`: two or more names of operators in one collection, outside ``ir/operators``. A collection
  is a tuple, list, set, the keys or the values of a dict, keywords of a call, members of a class, words of a
  string, cases of a ``match``, an ``if`` chain or comparisons joined by ``or`` and ``and`` on the same thing,
  and a test of the beginning or end of a name. Not counted is a lowering table, see `_is_table`.
- `kind_tests`: tests of which scheme an encoding has, outside ``schemes``: ``isinstance``, ``type(...)``,
  ``__class__``, patterns of classes, comparisons of ``.scheme``, ``hasattr`` and ``getattr`` of what only
  some encodings have, and dispatch by class. Every kind that is asked for counts.
- `scheme_lists`: two or more names of schemes in one collection, outside ``schemes``; no table is free here.
"""

import ast
import re
import sys
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lowbit.ir import OPERATORS
from lowbit.schemes import SCHEMES, EncodingBase
from lowbit.schemes.registry import REGISTRY

SOURCE = Path(__file__).parents[2] / "src" / "lowbit"

OPERATOR_NAMES = frozenset(name for _, name in OPERATORS)
SCHEME_NAMES = frozenset(REGISTRY) - {"float"}  # which is a type of numbers as well
ENCODING_CLASSES = frozenset(kind.__name__ for kind in SCHEMES.values())

# Where back ends and formats keep their tables; the words of torch are a format as well.
TABLES = (
    *("backends/", "bench/litert_int8.py", "formats/", "nn/functions.py", "program/"),
    *("reconstruction/functions.py", "rtl/"),
)

# What other formats call their own operators, some of them as we do.
VOCABULARIES = ("formats/circle/operator_names.py",)

_WORDS = re.compile(r"\w+(?:[\s,|;/]+\w+)+")
_CODE = re.compile(r"\w+")


@dataclass(frozen=True, order=True)
class Place:
    """Where something is said again: a file below the source, a line, and what is said."""

    file: str
    line: int
    found: str


def special_attributes() -> frozenset[str]:
    """Return what some encodings have and others do not: asking for it asks for the kind."""
    kinds = [{name for name in dir(kind) if not name.startswith("_")} for kind in SCHEMES.values()]
    fields = [set(getattr(kind, "__dataclass_fields__", {})) for kind in SCHEMES.values()]
    known = [names | more for names, more in zip(kinds, fields, strict=True)]
    return frozenset(set.union(*known) - set.intersection(*known) - set(dir(EncodingBase)))


def operator_lists(root: Path = SOURCE) -> list[Place]:
    """Return collections of operators' names outside ``ir/operators`` that are no lowering table."""
    found = []
    for file, tree in _trees(root, without="ir/operators/"):
        free = set(ast.walk(tree)) if file in VOCABULARIES else set()
        free |= _tables(tree) if file.startswith(TABLES) else set()
        found += _collections(file, tree, OPERATOR_NAMES, free)
        found += [place for node in ast.walk(tree) for place in _parts_of_names(file, node)]
    return sorted(set(found))


def scheme_lists(root: Path = SOURCE) -> list[Place]:
    """Return collections of schemes' names outside ``schemes``."""
    found = []
    for file, tree in _trees(root, without="schemes/"):
        found += _collections(file, tree, SCHEME_NAMES, set())
    return sorted(set(found))


def kind_tests(root: Path = SOURCE) -> list[Place]:
    """Return tests of an encoding's kind outside ``schemes``, each kind that is asked for once."""
    special = special_attributes()
    return sorted(
        Place(file, node.lineno, text)
        for file, tree in _trees(root, without="schemes/")
        for node in ast.walk(tree)
        if isinstance(node, ast.expr | ast.stmt | ast.match_case | ast.pattern)
        for text in _asks_for_kind(node, special)
    )


def _trees(root: Path, without: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(root.rglob("*.py")):
        file = path.relative_to(root).as_posix()
        if not file.startswith(without):
            yield file, _parsed(path)


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


# Collections


def _collections(file: str, tree: ast.Module, names: frozenset[str], free: set[ast.AST]) -> Iterator[Place]:
    docstrings = {id(node) for node in _docstrings(tree)}
    counted: set[int] = set()  # parts of a collection that is counted already
    for node in _outside(tree, free):
        if id(node) in counted or id(node) in docstrings:
            continue
        for members in _members(node, names):
            distinct = sorted(set(members))
            if len(distinct) >= 2:
                counted.update(id(part) for part in ast.walk(node))
                yield Place(file, node.lineno, " ".join(distinct))  # type: ignore[attr-defined]


def _outside(tree: ast.AST, free: set[ast.AST]) -> Iterator[ast.AST]:
    """Yield nodes from the outside in, without those of tables."""
    waiting = deque[ast.AST]([tree])
    while waiting:
        node = waiting.popleft()
        if node not in free:
            yield node
            waiting.extend(ast.iter_child_nodes(node))


def _docstrings(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def _members(node: ast.AST, names: frozenset[str]) -> Iterator[list[str]]:
    """Yield the names that a node collects, for every way in which it may."""
    match node:
        case ast.Tuple() | ast.List() | ast.Set() | ast.BinOp():
            yield _listed(node, names)
        case ast.Dict():
            yield [name for key in node.keys if key is not None for name in _name(key, names)]
            yield [name for value in node.values for name in _name(value, names)]
        case ast.Call():
            yield [keyword.arg for keyword in node.keywords if keyword.arg in names]
            positional = [name for part in node.args for name in (_name(part, names) or _listed(part, names))]
            yield positional if _is_collecting(node.func) else []
        case ast.ClassDef():
            assigned = [part.value for part in node.body if isinstance(part, ast.Assign | ast.AnnAssign)]
            yield [name for value in assigned if value is not None for name in _name(value, names)]
        case ast.Constant(value=str(text)) if _WORDS.fullmatch(text.strip()):
            words = re.findall(r"\w+", text)
            yield words if names.issuperset(words) else []
        case ast.Match():
            yield [name for case in node.cases for name in _in_pattern(case.pattern, names)]
        case ast.BoolOp():
            yield from _by_subject(list(_comparisons(node)), names)
        case ast.If() | ast.IfExp():
            yield from _by_subject([part for test in _chain(node) for part in _comparisons(test)], names)


def _is_collecting(function: ast.expr) -> bool:
    """Return whether a call makes a collection of its arguments or tries them one after another."""
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("set", "frozenset", "tuple", "list", "union", "chain", "zip", "startswith", "endswith")


def _listed(node: ast.AST, names: frozenset[str]) -> list[str]:
    """Return names in a literal, and in literals that are added to it."""
    if isinstance(node, ast.BinOp):
        return [*_listed(node.left, names), *_listed(node.right, names)]
    if not isinstance(node, ast.Tuple | ast.List | ast.Set):
        return []
    return [name for part in node.elts for name in (_name(part, names) or _listed(_unstarred(part), names))]


def _unstarred(node: ast.expr) -> ast.expr | None:
    return node.value if isinstance(node, ast.Starred) else None  # type: ignore[return-value]


def _name(node: ast.AST, names: Collection[str]) -> list[str]:
    """Return the name that a node is: a string, or the second of a pair of strings, domain and name."""
    if isinstance(node, ast.Tuple) and len(node.elts) == 2:
        first, second = node.elts
        both = all(isinstance(each, ast.Constant) and isinstance(each.value, str) for each in (first, second))
        return _name(second, names) if both and not _name(first, names) else []
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        name = node.value.removeprefix("lowbit.")
        return [name] if name in names else []
    return []


def _comparisons(node: ast.AST) -> Iterator[ast.Compare]:
    """Yield comparisons that a condition is made of."""
    if isinstance(node, ast.Compare):
        yield node
    elif isinstance(node, ast.BoolOp | ast.UnaryOp):
        for part in ast.iter_child_nodes(node):
            yield from _comparisons(part)


def _chain(node: ast.If | ast.IfExp) -> Iterator[ast.expr]:
    """Yield the conditions of an if and of the ones that follow where it does not hold."""
    yield node.test
    orelse = node.orelse if isinstance(node, ast.IfExp) else node.orelse[0] if len(node.orelse) == 1 else None
    if isinstance(orelse, ast.If | ast.IfExp):
        yield from _chain(orelse)


def _by_subject(comparisons: list[ast.Compare], names: frozenset[str]) -> Iterator[list[str]]:
    """Yield the names that one thing is compared with, for every thing."""
    found: dict[str, list[str]] = {}
    for each in comparisons:
        sides = [each.left, *each.comparators]
        compared = [name for side in sides for name in (_name(side, names) or _listed(side, names))]
        subject = [ast.unparse(side) for side in sides if not (_name(side, names) or _listed(side, names))]
        found.setdefault(" ".join(subject).removesuffix(".domain"), []).extend(compared)
    yield from found.values()


def _in_pattern(pattern: ast.pattern, names: frozenset[str]) -> Iterator[str]:
    for node in ast.walk(pattern):
        if isinstance(node, ast.MatchValue):
            yield from _name(node.value, names)


def _parts_of_names(file: str, node: ast.AST) -> Iterator[Place]:
    """Yield tests of how an operator's name begins or ends: a list of all names that do."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return
    tests = node.func.attr in ("startswith", "endswith", "find", "count", "partition")
    if tests and isinstance(node.func.value, ast.Attribute) and node.func.value.attr in ("op", "op_type"):
        yield Place(file, node.lineno, ast.unparse(node))


# Lowering tables


def _tables(tree: ast.Module) -> set[ast.AST]:
    """Return the dicts of a back end's or format's module that are lowering tables."""
    assigned = [part for part in tree.body if isinstance(part, ast.Assign | ast.AnnAssign)]
    texts = {
        target.id
        for part in assigned
        if isinstance(part.value, ast.Constant | ast.JoinedStr)
        for target in (part.targets if isinstance(part, ast.Assign) else [part.target])
        if isinstance(target, ast.Name)
    }
    tables = [part.value for part in assigned if isinstance(part.value, ast.Dict)]
    return {table for table in tables if _is_table(table, texts)}


def _is_table(node: ast.Dict, texts: set[str]) -> bool:
    """Return whether a dict maps names to implementations, so that it says how and not only which.

    It stands at the top of its module. One side are names of operators or of the other side's vocabulary,
    the other implementations: functions, what makes them, bodies of several lines in the back end's language,
    or its codes, which are words or numbers and neither operators nor schemes, alone or with their settings.
    They are not all the same one: that is a list.

    Args:
        node: the dict.
        texts: names of the module's constants, which are no implementations.
    """
    pairs = list(_rows(node))
    values = {ast.unparse(value) for _, value in pairs}
    made = all(_is_implementation(value, texts) for _, value in pairs)
    return len(values) >= 2 and all(_is_key(key) for key, _ in pairs) and (made or _is_vocabulary(pairs))


def _rows(node: ast.Dict) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield keys and values, those of ``**dict.fromkeys(keys, value)`` as well."""
    for key, value in zip(node.keys, node.values, strict=True):
        if key is not None:
            yield key, value
        elif (
            isinstance(value, ast.Call)
            and ast.unparse(value.func) == "dict.fromkeys"
            and len(value.args) == 2
        ):
            yield from ((each, value.args[1]) for each in _keys(value.args[0]))


def _keys(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else []


def _is_key(node: ast.expr) -> bool:
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return all(isinstance(part, ast.Constant) for part in parts)


def _is_implementation(node: ast.expr, texts: set[str]) -> bool:
    match node:
        case ast.Name(id=name) if name in texts:
            return False
        case ast.Name() | ast.Attribute() | ast.Lambda() | ast.Call():
            return True
        case ast.Constant(value=bool() | None):
            return False
        case ast.Constant(value=str(text)):
            body = "\n" in text  # steps in the language of the back end
            return body or (bool(_CODE.fullmatch(text)) and text not in OPERATOR_NAMES | SCHEME_NAMES)
        case ast.Constant(value=int()):
            return True
        case ast.Tuple():
            numbers = [part for part in node.elts if isinstance(part, ast.Constant) and not _is_text(part)]
            return any(_is_implementation(part, texts) for part in node.elts if part not in numbers)
    return False


def _is_text(node: ast.Constant) -> bool:
    return isinstance(node.value, str)


def _is_vocabulary(pairs: list[tuple[ast.expr, ast.expr]]) -> bool:
    """Return whether words or numbers of a file, none of them an operator of ours, say what they become."""
    ours = [key for key, _ in pairs if _name(key, OPERATOR_NAMES)]
    return not ours and all(isinstance(value, ast.Constant | ast.Tuple) for _, value in pairs)


# Kinds of encodings


def _asks_for_kind(node: ast.AST, special: frozenset[str]) -> Iterator[str]:
    match node:
        case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, kinds]):
            yield from _classes(kinds)
        case ast.Call(func=ast.Name(id="hasattr" | "getattr"), args=[_, ast.Constant(value=str(name)), *_]):
            yield from (f"{ast.unparse(node)}" for _ in range(name in special))
        case ast.Call(func=ast.Attribute(attr="register"), args=[kinds]):
            yield from _classes(kinds)
        case ast.FunctionDef() if any(
            ast.unparse(each).endswith(".register") for each in node.decorator_list
        ):
            kinds = [argument.annotation for argument in node.args.args[:1] if argument.annotation]
            yield from (name for kind in kinds for name in _classes(kind))
        case ast.MatchClass(cls=kind):
            yield from _classes(kind)
        case ast.Compare():
            sides = [node.left, *node.comparators]
            if any(_is_class_of(side) for side in sides):
                yield from (name for side in sides for name in _classes(side))
            if any(_is_scheme(side) for side in sides):
                yield from _scheme_names(sides)
        case ast.Match(subject=subject) if _is_scheme(subject):
            for case in node.cases:
                yield from _in_pattern(case.pattern, SCHEME_NAMES)
        case ast.Subscript(value=ast.Dict() as table, slice=subject) if _is_scheme(subject):
            yield from (ast.unparse(key) for key in table.keys if key is not None)
        case ast.Dict():
            yield from (name for key in node.keys if key is not None for name in _classes(key))


def _classes(node: ast.expr) -> Iterator[str]:
    for part in ast.walk(node):
        name = part.attr if isinstance(part, ast.Attribute) else getattr(part, "id", "")
        if name in ENCODING_CLASSES:
            yield name


def _is_class_of(node: ast.expr) -> bool:
    """Return whether an expression is ``type(x)``, ``x.__class__`` or the name of one."""
    text = ast.unparse(node)
    return text.startswith("type(") or ".__class__" in text or ".__name__" in text


def _is_scheme(node: ast.expr) -> bool:
    """Return whether an expression is ``x.scheme``, its name in files, or ``x["scheme"]``."""
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value == "scheme"
    return isinstance(node, ast.Attribute) and node.attr in ("scheme", "file_stem")


def _scheme_names(sides: list[ast.expr]) -> Iterator[str]:
    """Yield the names that a scheme is compared with; to have none, or that of another, is no kind."""
    for side in sides:
        for part in ast.walk(side):
            if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value != "scheme":
                yield from (word for word in part.value.split() if word != "float")


def main() -> None:
    """Print the counts and every place."""
    counts: dict[str, Callable[[], list[Place]]] = {
        "lists of operators": operator_lists,
        "tests of an encoding's kind": kind_tests,
        "lists of schemes": scheme_lists,
    }
    for what, count in counts.items():
        places = count()
        sys.stdout.write(f"{len(places)} {what}\n{described(places)}\n")


def described(places: list[Place]) -> str:
    """Return a line for every place."""
    return "\n".join(f"  src/lowbit/{place.file}:{place.line}  {place.found}" for place in places)


if __name__ == "__main__":
    main()
