"""The arrows of the house go one way: docs/architecture.md draws them, this reads the files.

Three readers: of C++ includes, of Python imports, of forbidden text. Each is a function of a
mapping from path to text, so that each is shown bad examples here as well as the real tree.
"""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path, PurePosixPath

import pytest

Tree = dict[str, str]

# --- the tables ----------------------------------------------------------------------------------

# A C++ folder, and the folders of ours that it may include from (itself always).
# The longest folder that a path begins with is the one that counts.
CPP_MAY_INCLUDE = {
    "cpp/include": set(),
    "cpp/src/json": {"cpp/include"},
    "cpp/src/protocol": {"cpp/include", "cpp/src/json"},
    "cpp/src/transport": {"cpp/include", "cpp/src/protocol"},
    "cpp/src/runtime": {"cpp/include", "cpp/src/json", "cpp/src/protocol", "cpp/src/transport"},
    "cpp/src": {
        *("cpp/include", "cpp/src/json", "cpp/src/protocol"),
        *("cpp/src/transport", "cpp/src/runtime"),
    },
    "cpp/testing": {"cpp/include"},
    "python/bindings": {"cpp/include", "cpp/testing"},
    "tests/cpp": {
        *("cpp/include", "cpp/testing", "cpp/src", "cpp/src/json"),
        *("cpp/src/protocol", "cpp/src/transport", "cpp/src/runtime"),
    },
    "tests/fuzz": {"cpp/include", "cpp/src/protocol", "cpp/src/transport"},
    "tests/consumer": {"cpp/include"},
    "examples/cpp": {"cpp/include"},
}

# Where `#include "x"` and `<x>` of ours are looked up, after the including file's own folder.
CPP_ROOTS = ["cpp/include", "cpp/src", "cpp/testing/include", "cpp/testing/src", "python/bindings"]

# A folder, and what no file below it may include.
CPP_BANNED = {
    "cpp": r"(Python\.h|pybind11/)",
    "cpp/src/protocol": r"(asio\b|boost/asio|sys/socket\.h|netdb\.h|netinet/|arpa/inet\.h"
    r"|websocketpp/(transport|config)/\w*asio)",
    "cpp/src/json": r"(asio\b|websocketpp/|sys/socket\.h|openssl/)",
}

# The modules of python/wspool in layers, lowest first. A module may import from lower layers and
# from its own, but never in a circle. Every module has a place here.
PYTHON_LAYERS = [
    {"exceptions", "events", "version", "_feeds"},
    {"native"},
    {
        *(
            "checking",
            "options",
            "reconnecting",
            "fields",
            "records",
            "schema",
            "tls",
            "proxy",
            "trust",
            "compression",
            "uri",
            "workers",
        ),
        *("_certificates", "_server_connection"),
    },
    {"pool", "endpoint", "connection", "connection_info", "pull", "stream_base", "testing"},
    {"sync", "streams", "aio", "prometheus"},
    {"cli", "demo"},
    {"__init__", "__main__"},
]
PYTHON_STRANGERS = [("sync", "aio")]  # never import each other
NATIVE_MODULE = "_core"
NATIVE_READER = "native"  # the only module that imports it


# --- C++ -----------------------------------------------------------------------------------------


def cpp_folder(path: str) -> str | None:
    """The entry of CPP_MAY_INCLUDE that a path belongs to."""
    fitting = [folder for folder in CPP_MAY_INCLUDE if path.startswith(folder + "/")]
    return max(fitting, key=len, default=None)


def resolve_include(tree: Tree, path: str, target: str) -> str | None:
    """The file of ours that an include line names; None for one of somebody else's."""
    for root in [str(PurePosixPath(path).parent), *CPP_ROOTS]:
        parts: list[str] = []
        for part in PurePosixPath(root, target).parts:
            if part == "..":
                parts.pop()
            else:
                parts.append(part)
        if "/".join(parts) in tree:
            return "/".join(parts)
    return None


def cpp_problems(tree: Tree) -> list[str]:
    """Upward arrows, banned headers and circles among the includes."""
    problems = []
    arrows: dict[str, set[str]] = {}
    for path, text in tree.items():
        folder = cpp_folder(path)
        if folder is None:
            continue
        for match in re.finditer(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', text, re.MULTILINE):
            target = match[1]
            problems += [
                f"{path} includes {target}: banned in {banned_in}"
                for banned_in, pattern in CPP_BANNED.items()
                if path.startswith(banned_in + "/") and re.match(pattern, target)
            ]
            found = resolve_include(tree, path, target)
            if found is None:
                continue
            arrows.setdefault(path, set()).add(found)
            other = cpp_folder(found)
            if other not in {folder, *CPP_MAY_INCLUDE[folder]}:
                problems.append(f"{path} includes {found}: {folder} may not use {other}")
    return problems + [f"includes in a circle: {circle}" for circle in circles(arrows)]


# --- Python --------------------------------------------------------------------------------------


def imported_modules(module: str, text: str, modules: set[str]) -> set[str]:
    """The modules of wspool that a module imports; "__init__" for the package itself."""
    return imports_below(ast.parse(text), modules) - {module}


def loaded_modules(module: str, text: str, modules: set[str]) -> set[str]:
    """As `imported_modules`, without those below `if TYPE_CHECKING:`."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    return imports_below(tree, modules) - {module}


def imports_below(tree: ast.AST, modules: set[str]) -> set[str]:
    """The modules of wspool that import statements anywhere in a syntax tree name."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top, _, rest = alias.name.partition(".")
                if top == "wspool":
                    found.add(rest.partition(".")[0] or "__init__")
        elif isinstance(node, ast.ImportFrom):
            parts = node.module.split(".") if node.module else []
            if node.level == 0 and parts[:1] == ["wspool"]:
                parts = parts[1:]
            elif node.level == 0:
                continue
            if parts:
                found.add(parts[0])
            else:
                found |= {
                    alias.name if alias.name in modules else "__init__" for alias in node.names
                }
    return found


def python_modules(tree: Tree) -> dict[str, list[str]]:
    """The modules of the package by name; a sub-package's files belong to its name."""
    modules: dict[str, list[str]] = {}
    for path in tree:
        parts = PurePosixPath(path).parts
        if parts[:2] == ("python", "wspool") and path.endswith(".py"):
            modules.setdefault(parts[2].removesuffix(".py"), []).append(path)
    return modules


def python_problems(tree: Tree) -> list[str]:
    """Modules without a place, upward arrows, circles, and a second reader of the native module."""
    problems = []
    layer_of = {name: rank for rank, layer in enumerate(PYTHON_LAYERS) for name in layer}
    modules = python_modules(tree)
    known = {*modules, NATIVE_MODULE}
    arrows: dict[str, set[str]] = {}
    for module, paths in modules.items():
        if module not in layer_of:
            problems.append(f"python/wspool has {module}, which has no place in PYTHON_LAYERS")
            continue
        texts = [tree[path] for path in paths]
        arrows[module] = set().union(*(loaded_modules(module, text, known) for text in texts))
        named = set().union(*(imported_modules(module, text, known) for text in texts))
        for target in sorted(named):
            if target == NATIVE_MODULE:
                if module != NATIVE_READER:
                    problems.append(f"{module} imports {target}; only {NATIVE_READER} may")
            elif layer_of.get(target, -1) > layer_of[module]:
                problems.append(f"{module} imports {target}, which is above it")
            elif any({module, target} == set(pair) for pair in PYTHON_STRANGERS):
                problems.append(f"{module} imports {target}: they know nothing of each other")
    return problems + [f"imports in a circle: {circle}" for circle in circles(arrows)]


def outside_problems(tree: Tree) -> list[str]:
    """Examples and benchmarks that reach behind the public API."""
    problems = []
    for path, text in tree.items():
        if path.startswith(("examples/", "benchmarks/")) and path.endswith(".py"):
            used = imported_modules("", text, {NATIVE_MODULE, NATIVE_READER})
            problems += [
                f"{path} imports wspool.{name}, which is not public"
                for name in sorted(used & {NATIVE_MODULE, NATIVE_READER})
            ]
    return problems


# --- text ----------------------------------------------------------------------------------------

CMAKE_FILES = r"(.*/)?(CMakeLists\.txt|[^/]*\.cmake)"

# Written in pieces, so that this file does not hold what it looks for.
FORBIDDEN_TEXT = [
    (r".*", re.escape("/wo" + "rk/"), "names a folder of one machine"),
    (CMAKE_FILES, r"(?i)file\s*\(\s*GLO" + "B", "lists files by pattern"),
    (r"cpp/(include|src)/.*", r"std::(cout|cerr|clog)\b|\babort\(\)", "prints or aborts"),
]


def text_problems(tree: Tree) -> list[str]:
    """Text that no file of its kind may contain."""
    return [
        f"{path}:{text[: match.start()].count(chr(10)) + 1} {what}"
        for path, text in tree.items()
        for where, pattern, what in FORBIDDEN_TEXT
        if re.fullmatch(where, path)
        for match in [re.search(pattern, text)]
        if match
    ]


# --- shared --------------------------------------------------------------------------------------


def circles(arrows: dict[str, set[str]]) -> list[str]:
    """Each circle once, as "a -> b -> a"; found by walking depth first."""
    found = []
    done: set[str] = set()

    def walk(node: str, trail: list[str]) -> None:
        if node in trail:
            found.append(" -> ".join([*trail[trail.index(node) :], node]))
            return
        if node in done:
            return
        for target in sorted(arrows.get(node, ())):
            walk(target, [*trail, node])
        done.add(node)

    for start in sorted(arrows):
        walk(start, [])
    return found


@pytest.fixture(scope="module")
def tree(repo_root: Path) -> Tree:
    """Path and text of every file of the project that git does not ignore."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=repo_root,
        capture_output=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    texts = {}
    for name in filter(None, listing.stdout.decode().split("\0")):
        try:
            texts[name] = (repo_root / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue  # not text, or removed and not yet committed
    return texts


CHECKS = [cpp_problems, python_problems, outside_problems, text_problems]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_tree_keeps_the_rules(tree: Tree, check) -> None:
    """No file of the project breaks a rule."""
    assert check(tree) == []


def test_tree_was_read(tree: Tree) -> None:
    """The checks above looked at something."""
    assert any(cpp_folder(path) == "cpp/include" for path in tree)
    assert "exceptions" in python_modules(tree)


# What each check must catch: a small tree, and a word of the complaint.
BAD_TREES = [
    (
        cpp_problems,
        {"cpp/src/protocol/a.cpp": '#include "transport/b.hpp"', "cpp/src/transport/b.hpp": ""},
        "cpp/src/protocol may not use cpp/src/transport",
    ),
    (
        cpp_problems,
        {"cpp/src/transport/a.cpp": '#include "../runtime/b.hpp"', "cpp/src/runtime/b.hpp": ""},
        "cpp/src/transport may not use cpp/src/runtime",
    ),
    (
        cpp_problems,
        {"cpp/include/wspool/a.hpp": '#include "json/b.hpp"', "cpp/src/json/b.hpp": ""},
        "cpp/include may not use cpp/src/json",
    ),
    (
        cpp_problems,
        {"python/bindings/a.cpp": '#include "json/b.hpp"', "cpp/src/json/b.hpp": ""},
        "python/bindings may not use cpp/src/json",
    ),
    (cpp_problems, {"cpp/src/a.cpp": "#include <Python.h>"}, "banned in cpp"),
    (cpp_problems, {"cpp/testing/src/a.cpp": "# include <pybind11/gil.h>"}, "banned in cpp"),
    (cpp_problems, {"cpp/src/protocol/a.hpp": "#include <asio.hpp>"}, "banned in cpp/src/protocol"),
    (cpp_problems, {"cpp/src/protocol/a.hpp": "#include <asio/x.hpp>"}, "cpp/src/protocol"),
    (
        cpp_problems,
        {
            "cpp/include/wspool/a.hpp": '#include "wspool/b.hpp"',
            "cpp/include/wspool/b.hpp": '#include "wspool/a.hpp"',
        },
        "in a circle: cpp/include/wspool/a.hpp -> cpp/include/wspool/b.hpp -> ",
    ),
    (python_problems, {"python/wspool/novelty.py": ""}, "no place"),
    (
        python_problems,
        {"python/wspool/options.py": "from .pool import x", "python/wspool/pool.py": ""},
        "options imports pool, which is above",
    ),
    (
        python_problems,
        {"python/wspool/exceptions.py": "def f():\n    import wspool.aio"},
        "exceptions imports aio, which is above",
    ),
    (python_problems, {"python/wspool/pool.py": "from wspool import x"}, "imports __init__"),
    (python_problems, {"python/wspool/sync.py": "from . import aio"}, "imports __init__"),
    (
        python_problems,
        {"python/wspool/sync.py": "from . import aio", "python/wspool/aio/__init__.py": ""},
        "know nothing of each other",
    ),
    (python_problems, {"python/wspool/pool.py": "from . import _core"}, "only native may"),
    (python_problems, {"python/wspool/aio.py": "from wspool._core import x"}, "only native may"),
    (
        python_problems,
        {
            "python/wspool/pool.py": "from .endpoint import x",
            "python/wspool/endpoint.py": "from . import pool",
        },
        "in a circle: endpoint -> pool -> endpoint",
    ),
    (
        python_problems,
        {"python/wspool/events.py": "if TYPE_CHECKING:\n    from .pool import x"},
        "events imports pool, which is above",
    ),
    (outside_problems, {"examples/python/a.py": "from wspool import _core"}, "not public"),
    (outside_problems, {"benchmarks/a.py": "import wspool.native"}, "not public"),
    (text_problems, {"docs/a.md": "\nsee /wo" + "rk/main"}, "docs/a.md:2 names a folder"),
    (text_problems, {"cmake/a.cmake": "file( GLO" + "B x *.cpp)"}, "by pattern"),
    (text_problems, {"cpp/src/a.cpp": "std::cerr << 1;"}, "prints or aborts"),
]


@pytest.mark.parametrize(("check", "bad", "complaint"), BAD_TREES)
def test_check_finds_what_it_is_for(check, bad: Tree, complaint: str) -> None:
    """Each check fails on a tree that breaks its rule."""
    found = check(bad)
    assert any(complaint in problem for problem in found), found


def test_allowed_arrows_pass() -> None:
    """Arrows downwards, and headers of others, are no problem."""
    good = {
        "cpp/src/runtime/a.cpp": '#include "a.hpp"\n#include <asio.hpp>\n#include "wspool/b.hpp"',
        "cpp/src/runtime/a.hpp": '#include "transport/c.hpp"',
        "cpp/src/transport/c.hpp": "#include <websocketpp/close.hpp>",
        "cpp/include/wspool/b.hpp": "#include <vector>",
        "python/wspool/native.py": "from . import _core\nfrom .exceptions import WSPoolError",
        "python/wspool/exceptions.py": "import asyncio",
        "python/wspool/sync.py": "from wspool.pool import x\nfrom .exceptions import y",
        "python/wspool/pool.py": "from . import native\nfrom .connection import x",
        "python/wspool/connection.py": "if TYPE_CHECKING:\n    from .pool import Endpoint",
        "python/wspool/__init__.py": "from .sync import connect\nfrom . import aio",
        "python/wspool/aio.py": "",
        "examples/python/a.py": "import wspool\nfrom wspool import connect",
        "cmake/a.cmake": "set(files a.cpp)",
    }
    assert [problem for check in CHECKS for problem in check(good)] == []
