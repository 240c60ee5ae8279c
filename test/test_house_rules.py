"""The house rules that a machine can check, over the text of the repository.

The rules of this file: one test per rule; a failure lists every place that breaks the rule as
`file:line: what is wrong`; nothing is imported and nothing is run, all is read from the syntax
trees.  CONTRIBUTING.md says why the rules are there.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
CODE_FOLDERS = ("src", "test", "tools", "benchmarks", "examples")

FILE_LINES = 600
FUNCTION_LINES = 40
TABLE_LINES = 60
PARAMETERS = 6

# Words that name nothing: whatever is called so could be called by what it does.
EMPTY_WORDS = ("manager", "util", "helper", "handler", "data")
# Spelled in two halves, so that this file does not find itself.
LEFT_UNDONE = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")

CORE_MAY_IMPORT = {
    *("__future__", "typing", "collections.abc", "math"),
    *("zkexec.core", "zkexec.digest", "zkexec.enumeration", "zkexec.frozen"),
    "zkexec.signal_names",
    *("hashlib", "_sha256", "_sha2"),
}
# Not every Python has both of these, the parts of hashlib that need no OpenSSL.
BUILT_IN = ("_sha2", "_sha256")
# The modules that only the process that renders imports.
RENDERING = {
    f"src/zkexec/templates/{name}.py"
    for name in (
        *("rendering", "syntax_errors", "template_environment", "template_errors"),
        *("template_filters", "template_functions"),
    )
}
# The packages of the server: only `zkexecctl web` and `exporter` import it, when they run.
SERVER = "src/zkexec/ctl/web/"
OF_SERVER = ("jinja2", "markupsafe", "prometheus_client", "starlette", "uvicorn")
# What a folder (or a module of the package itself) may import, beside itself and the small things
# that everything uses.  The order is that of the architecture, from the ground up.
SMALL = frozenset(
    {
        *("__init__", "command_line", "digest", "enumeration", "extras", "frozen", "lean"),
        *("resources", "signal_names", "text", "znode_paths"),
    }
)
MAY_IMPORT = {
    **dict.fromkeys(SMALL, frozenset[str]()),
    "isolation": frozenset(),
    "core": frozenset(),
    "zookeeper": frozenset(),
    "process": frozenset({"core"}),
    "files": frozenset({"core"}),
    "templates": frozenset({"core", "process"}),
    "cli": frozenset({"core", "templates", "zookeeper"}),
    "group": frozenset({"core", "zookeeper"}),
    "runtime": frozenset({"cli", "core", "files", "group", "process", "templates", "zookeeper"}),
    "main": frozenset({"cli", "process", "runtime"}),
    "devserver": frozenset(),
    "ctl": frozenset({"cli", "core", "devserver", "files", "group", "isolation", "zookeeper"}),
    "__main__": frozenset({"isolation", "main"}),
}

# The fields in core/ that are true or false.  A phase carries what is true in it, so none is added.
MOST_BOOLEANS_IN_CORE = 99

# The words that GLOSSARY replaces, as far as a search finds them without mistakes.
AVOIDED = re.compile(
    r"\b(told|stands|deeds?|sight|glance|whoever|somebody|so long|falsey|ledger|tenure)\b",
    re.IGNORECASE,
)
PAPERS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "examples")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One Python file of the repository."""

    name: str
    text: str
    tree: ast.Module

    @property
    def is_shipped(self) -> bool:
        """Whether the file is part of the product."""
        return self.name.startswith("src/")

    @property
    def module(self) -> tuple[str, ...]:
        """The dotted name of a shipped module, in its parts."""
        parts = Path(self.name).with_suffix("").parts[1:]
        return parts[:-1] if parts[-1] == "__init__" else parts

    def functions(self) -> Iterator[Function]:
        """All functions, wherever they are defined."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node

    def imports(self) -> Iterator[tuple[int, str]]:
        """The line and the full name of each module, or name of a module, that is imported."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._base_of(node)
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)

    def _base_of(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.module if self.name.endswith("__init__.py") else self.module[:-1]
        package = package[: len(package) - node.level + 1]
        return ".".join([*package, *([node.module] if node.module else [])])


def is_python(path: Path) -> bool:
    """Tell a Python file, also one without a suffix, by its first line."""
    if path.suffix:
        return path.suffix == ".py"
    return b"python" in path.read_bytes()[:200].split(b"\n")[0]


@cache
def sources() -> tuple[Source, ...]:
    """Every Python file of the product, its tests and its tools."""
    paths = sorted(
        path
        for folder in CODE_FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and is_python(path)
    )
    return tuple(
        Source(str(path.relative_to(ROOT)), text, ast.parse(text, str(path)))
        for path in paths
        for text in (path.read_text(encoding="utf-8"),)
    )


def shipped() -> Iterator[Source]:
    """The files of the product."""
    return (source for source in sources() if source.is_shipped)


def none_of(offences: Iterable[str]) -> None:
    """Fail with the list of offences, if there are any."""
    found = list(offences)
    assert not found, "\n" + "\n".join(found)


def is_within(name: str, allowed: Iterable[str]) -> bool:
    """Tell whether a name is one of the modules, or a name in one of them."""
    return any(name == module or name.startswith(f"{module}.") for module in allowed)


def folder_of(module: tuple[str, ...]) -> str:
    """Name the folder of a module of ours, or the module itself if it is in the package."""
    return module[1] if len(module) > 1 else "__init__"


def length_of(node: ast.stmt) -> int:
    """Count the lines of a statement."""
    return (node.end_lineno or 0) - node.lineno + 1


def most_lines(function: Function) -> int:
    """Return how long a function may be: one table, or one `match`, may fill more than a screen."""
    longest = max((length_of(node) for node in function.body), default=0)
    is_one = any(
        length_of(node) == longest and isinstance(node, ast.Match | ast.Return | ast.Assign)
        for node in function.body
    )
    return TABLE_LINES if is_one and 2 * longest > length_of(function) else FUNCTION_LINES


def modules_imported(source: Source, known: frozenset[str]) -> Iterator[tuple[int, str]]:
    """The modules of ours that a file imports; what is imported from one counts as the module."""
    for line, name in source.imports():
        for module in (name, name.rpartition(".")[0]):
            if module in known:
                yield line, module
                break


def fields_of(node: ast.ClassDef) -> set[str]:
    """Name the fields of a frozen value: what its class annotates."""
    items = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]
    return {target.id for target in items if isinstance(target, ast.Name)}


def parameters(function: Function) -> list[str]:
    """Name the parameters of a function, without the self or cls of a method."""
    spec = function.args
    named = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
    return [arg.arg for arg in named if arg and arg.arg not in ("self", "cls")]


def public_definitions(body: list[ast.stmt]) -> Iterator[Function | ast.ClassDef]:
    """Public classes and functions, also those in public classes, but no special methods."""
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body)


def test_the_rules_see_the_repository() -> None:
    """The files that the rules are about are found, so that no rule holds for want of files."""
    names = {source.name for source in sources()}

    assert {"src/zkexec/__init__.py", "src/zkexec/core/events.py"} <= names
    assert {"test/test_house_rules.py", "test/libexec/slowcheck"} <= names


def test_a_file_fits_in_one_reading() -> None:
    """No file is so long that it must contain more than one concept."""
    none_of(
        f"{source.name}:{length}: {length} lines, at most {FILE_LINES}"
        for source in sources()
        for length in (len(source.text.splitlines()),)
        if length > FILE_LINES
    )


def test_a_function_fits_on_a_screen() -> None:
    """No function, of the product or of its tests, is longer than a screen."""
    none_of(
        f"{source.name}:{function.lineno}: {function.name} has {length} lines, at most {most}"
        for source in sources()
        for function in source.functions()
        for length, most in ((length_of(function), most_lines(function)),)
        if length > most
    )


def test_a_function_takes_few_parameters() -> None:
    """No function takes more than six parameters besides self."""
    none_of(
        f"{source.name}:{function.lineno}: {function.name} takes {count} parameters, "
        f"at most {PARAMETERS}"
        for source in sources()
        for function in source.functions()
        for count in (len(parameters(function)),)
        if count > PARAMETERS
    )


def test_names_say_something() -> None:
    """No module and no class is named by a word that names nothing."""
    named = [(source.name, 1, Path(source.name).stem) for source in sources()]
    named += [
        (source.name, node.lineno, node.name)
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
    ]
    none_of(
        f"{file}:{line}: {name} contains the empty word {word!r}"
        for file, line, name in named
        for word in EMPTY_WORDS
        if word in name.lower()
    )


def test_imports_go_down() -> None:
    """A folder imports only what the table allows, so that no arrow goes upwards."""
    none_of(
        f"{source.name}:{line}: {folder} must not import {name}"
        for source in shipped()
        for folder in (folder_of(source.module),)
        for line, name in source.imports()
        for target in (tuple(name.split(".")),)
        if target[0] == "zkexec"
        for imported in (folder_of(target) if folder_of(target) in MAY_IMPORT else "__init__",)
        if imported not in {folder, *SMALL, *MAY_IMPORT[folder]}
    )


def test_the_table_of_imports_has_no_circle() -> None:
    """What a folder may import is above it in the table."""
    folders = list(MAY_IMPORT)
    none_of(
        f"{folder} may import {name}, which comes later"
        for folder, names in MAY_IMPORT.items()
        for name in names
        if folders.index(name) >= folders.index(folder)
    )


def test_no_module_imports_itself_in_a_circle() -> None:
    """Modules import each other in one direction only."""
    by_name = {".".join(source.module): source for source in shipped()}
    left = {
        name: {module for _, module in modules_imported(source, frozenset(by_name))} - {name}
        for name, source in by_name.items()
    }
    while free := {name for name, needs in left.items() if not needs & left.keys()}:
        left = {name: needs for name, needs in left.items() if name not in free}

    none_of(
        f"{name} is in a circle of imports with {sorted(needs & left.keys())}"
        for name, needs in left.items()
    )


def test_a_name_is_used_once() -> None:
    """No two modules, and no two classes, of the product have the same name."""
    modules = [
        (source.module[-1], source.name)
        for source in shipped()
        if not source.name.endswith(("__init__.py", "__main__.py"))
    ]
    classes = [
        (node.name, f"{source.name}:{node.lineno}")
        for source in shipped()
        for node in source.tree.body
        if isinstance(node, ast.ClassDef)
    ]
    for named in (modules, classes):
        places: dict[str, list[str]] = {}
        for name, place in named:
            places.setdefault(name, []).append(place)
        none_of(
            f"{name} is used by {' and '.join(found)}"
            for name, found in places.items()
            if len(found) > 1
        )


def test_the_words_are_those_of_the_field() -> None:
    """No word is used that the glossary replaces by a plainer one."""
    papers = [
        (str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
        for paper in PAPERS
        for path in ([ROOT / paper] if (ROOT / paper).is_file() else (ROOT / paper).rglob("*.md"))
    ]
    texts = papers + [(source.name, source.text) for source in shipped()]
    none_of(
        f"{name}:{number}: avoid the word {found[0]!r}"
        for name, text in texts
        if name != "docs/glossary.md"
        for number, line in enumerate(text.splitlines(), start=1)
        if (found := AVOIDED.search(line))
    )


def test_the_core_is_pure() -> None:
    """The core imports nothing of ours but the core, and only pure parts of the library."""
    none_of(
        f"{source.name}:{line}: the core imports {name}"
        for source in shipped()
        if source.module[1:2] == ("core",)
        for line, name in source.imports()
        if not is_within(name, CORE_MAY_IMPORT)
    )


def test_the_product_needs_no_package() -> None:
    """Only Python's own modules are imported, but for those that extras bring."""
    known = {*sys.stdlib_module_names, *BUILT_IN, "zkexec", "puresasl"}
    none_of(
        f"{source.name}:{line}: imports {name}"
        for source in shipped()
        for line, name in source.imports()
        if name.partition(".")[0] not in known
        if source.name not in RENDERING or name.partition(".")[0] not in ("jinja2", "yaml")
        if not source.name.startswith(SERVER) or name.partition(".")[0] not in OF_SERVER
    )


def test_the_product_needs_no_asserts() -> None:
    """No logic of the product hides in an assert, which python -O removes."""
    none_of(
        f"{source.name}:{node.lineno}: assert"
        for source in shipped()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assert)
    )


def test_every_module_has_its_rules_written_down() -> None:
    """Every module begins with a docstring."""
    none_of(
        f"{source.name}:1: the module has no docstring"
        for source in sources()
        if not ast.get_docstring(source.tree)
    )


def test_what_is_public_is_documented() -> None:
    """Every public class and function of the product has a docstring."""
    none_of(
        f"{source.name}:{node.lineno}: {node.name} has no docstring"
        for source in shipped()
        for node in public_definitions(source.tree.body)
        if not ast.get_docstring(node)
    )


def booleans_of(cls: ast.ClassDef) -> set[str]:
    """Name the fields of a class that are annotated as bool, or set to True or False on self."""
    found = set()
    for node in ast.walk(cls):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "bool":
            found.add(ast.unparse(node.target))
        if isinstance(node, ast.Assign) and ast.unparse(node.value) in ("True", "False"):
            found |= {name for name in map(ast.unparse, node.targets) if name.startswith("self.")}
    names = {name.removeprefix("self.") for name in found}
    return {name for name in names if "." not in name}


def test_the_core_has_no_more_booleans() -> None:
    """No boolean field is added to the core, and the number follows if one is removed."""
    found = [
        f"{cls.name}.{name}"
        for source in sources()
        if source.name.startswith("src/zkexec/core/")
        for cls in source.tree.body
        if isinstance(cls, ast.ClassDef)
        for name in sorted(booleans_of(cls))
    ]
    assert len(found) == MOST_BOOLEANS_IN_CORE, "\n".join(found)


def test_every_test_says_what_it_promises() -> None:
    """Every test has a docstring."""
    none_of(
        f"{source.name}:{function.lineno}: {function.name} has no docstring"
        for source in sources()
        if not source.is_shipped
        for function in source.functions()
        if function.name.startswith("test_") and not ast.get_docstring(function)
    )


def test_a_test_starts_processes_by_program() -> None:
    """No test has a driver of its own: what runs beside it is a Program, which always ends."""
    none_of(
        f"{source.name}:{node.lineno}: Popen, which only support/program.py and terminal.py use"
        for source in sources()
        if source.name.startswith("test/")
        if source.name not in ("test/support/program.py", "test/support/terminal.py")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and node.attr == "Popen"
    )


def test_what_is_replaced_is_a_field() -> None:
    """The changes that `replace` makes are fields of one class; its types cannot show that."""
    classes = [
        fields_of(node)
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
    ]
    changes = [
        (f"{source.name}:{node.lineno}", {word.arg for word in node.keywords if word.arg})
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "replace"
    ]
    assert len(changes) > 10
    none_of(
        f"{place}: no class has the fields {', '.join(sorted(names))}"
        for place, names in changes
        if not any(names <= fields for fields in classes)
    )


def test_nothing_is_left_undone() -> None:
    """No line says that something is still to be done."""
    none_of(
        f"{source.name}:{number}: {match[0]}"
        for source in sources()
        for number, line in enumerate(source.text.splitlines(), start=1)
        if (match := LEFT_UNDONE.search(line))
    )
