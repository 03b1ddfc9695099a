"""
Build the API reference: C{python docs/apidocs.py OUTPUT-DIRECTORY}.

pydoctor links to the documentation of other projects by inventories that it fetches from their sites. So
that the reference can be built, and its links be checked, without a network, this script makes the
inventories by itself: of each name that the sources import or mention in C{L{...}} it looks up whether it
exists in what is installed. A link to a name that does not exist is an error.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import re
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from pydoctor.driver import main
from zope.interface.interface import InterfaceClass

ROOT = Path(__file__).resolve().parent.parent

HOMES = {
    "twisted": "https://docs.twisted.org/en/stable/api",
    "zope": "https://zopeinterface.readthedocs.io/en/latest",
    "autobahn": "https://autobahn.readthedocs.io/en/latest",
    "txaio": "https://txaio.readthedocs.io/en/latest",
    "python": "https://docs.python.org/3/library",
}
"""
Where the documentation of each project lies; C{python} is the home of the standard library.
"""


def mentioned(source: str) -> Iterator[str]:
    """
    @return: the full names of what a module imports, and of what its docstrings link to.
    """
    yield from re.findall(r"L\{(?:[^{}<]*<)?([A-Za-z_][\w.]*)>?\}", source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def place(name: str) -> tuple[str, str] | None:
    """
    @return: the module that holds C{name} and the rest of the name, or L{None} when nothing has that name.
    """
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        module = ".".join(parts[:cut])
        try:
            found: object = importlib.import_module(module)
        except ImportError:
            continue
        for part in parts[cut:]:
            if isinstance(found, InterfaceClass) and part in found:
                found = found[part]
            elif hasattr(found, part):
                found = getattr(found, part)
            else:
                return None
        return module, ".".join(parts[cut:])
    return None


def location(home: str, module: str, rest: str) -> str:
    """
    @return: the page of a name below its project's home.
    """
    if home != "twisted":
        return f"{module}.html#{module}.{rest}" if rest else f"{module}.html"
    owner, _, member = rest.partition(".")
    page = f"{module}.{owner}.html" if owner else f"{module}.html"
    return f"{page}#{member}" if member else page


def inventories() -> dict[str, list[str]]:
    """
    @return: for each project the lines of its inventory.
    """
    lines: dict[str, list[str]] = {home: [] for home in HOMES}
    for name in dir(builtins):
        lines["python"].append(f"{name} py:class 1 builtins.html#{name} -")
    names = {name for path in ROOT.glob("txsockjs/**/*.py") for name in mentioned(path.read_text("utf-8"))}
    for name in sorted(names):
        top = name.partition(".")[0]
        home = top if top in HOMES else "python" if top in sys.stdlib_module_names else None
        found = place(name) if home and top != "txsockjs" else None
        if home and found:
            lines[home].append(f"{name} py:{'class' if found[1] else 'module'} 1 {location(home, *found)} -")
    return lines


def build(output: str) -> int:
    """
    @return: pydoctor's exit code.
    """
    with tempfile.TemporaryDirectory() as directory:
        arguments = ["--config", str(ROOT / "pyproject.toml"), f"--html-output={output}", "--quiet"]
        for home, lines in inventories().items():
            path = Path(directory, f"{home}.inv")
            header = f"# Sphinx inventory version 2\n# Project: {home}\n# Version: \n# zlib\n"
            path.write_bytes(header.encode() + zlib.compress("".join(line + "\n" for line in lines).encode()))
            arguments.append(f"--intersphinx-file={path}::{HOMES[home]}")
        return main(arguments)


if __name__ == "__main__":
    sys.exit(build(*sys.argv[1:]))
