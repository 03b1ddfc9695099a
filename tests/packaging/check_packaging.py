# -*- test-case-name: tests.packaging.check_packaging -*-
# Copyright (c) txsockjs contributors. See LICENSE for details.

"""
txsockjs works however it is installed: from a wheel, from an sdist, and in development mode.

This needs a package index and takes a minute, so trial finds it only by its name::

    trial tests.packaging.check_packaging
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent.parent

SHIPPED = ("*.py", "py.typed", "*.html", "*.css", "*.js", "*.svg")
"""
What is installed of the directories txsockjs and twisted.
"""

NOT_COPIED = shutil.ignore_patterns(
    ".*",
    "*.egg-info",
    "__pycache__",
    "_build",
    "_trial_temp*",
    "build",
    "dist",
    "dropin.cache",
    "node_modules",
)
"""
What may lie about in a clone and must play no part here.
"""

PARSERS = """
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import getPlugins
print(*[plugin.prefix for plugin in getPlugins(IStreamServerEndpointStringParser)])
"""

HELP = """
import sys
from twisted.scripts.twistd import run
sys.argv = ["twistd", "--help"]
try:
    run()
finally:
    print(*[name for name in sys.modules if name.partition(".")[0] in ("autobahn", "txaio")], file=sys.stderr)
"""


def run(*command: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """
    Run a command to its end.

    @raise AssertionError: when it fails; the text is all that it printed.
    """
    # Without PYTHONPATH, which could show the clone to what shall see only its own environment.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def subcommands(help: str) -> list[str]:
    """
    @return: the names under which C{twistd --help} lists plugins.
    """
    return re.findall(r"(?m)^ {4}([a-z]\S*)", help.partition("Commands:")[2])


def modules(root: Path) -> set[str]:
    """
    @return: the files that a wheel of this source tree has to have.
    """
    return {
        path.relative_to(root).as_posix()
        for top in ("txsockjs", "twisted")
        for pattern in SHIPPED
        for path in root.glob(f"{top}/**/{pattern}")
    }


class PackagingTests(SynchronousTestCase):
    """
    Each test works on a copy of the source tree, in a directory that is removed afterwards.
    """

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="txsockjs-packaging-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.source = self.directory / "source"
        shutil.copytree(ROOT, self.source, ignore=NOT_COPIED)

    def environment(self) -> Path:
        """
        @return: the directory of the programs of a fresh virtual environment.
        """
        run(sys.executable, "-m", "venv", self.directory / "environment")
        return self.directory / "environment" / "bin"

    def build(self, kind: str) -> Path:
        """
        @return: the one file that was built.
        """
        bin = self.environment()
        run(bin / "pip", "install", "--quiet", "build")
        run(bin / "python", "-m", "build", f"--{kind}", "--outdir", self.directory / "dist", self.source)
        shutil.rmtree(bin.parent)
        (built,) = (self.directory / "dist").iterdir()
        return built

    def checkInstalled(self, bin: Path) -> None:
        """
        Both plugins are found, and a look at them costs nothing.
        """
        elsewhere = self.directory / "elsewhere"
        elsewhere.mkdir()
        self.assertIn("sockjs", subcommands(run(bin / "twistd", "--help", cwd=elsewhere).stdout))
        self.assertIn("sockjs", run(bin / "python", "-c", PARSERS, cwd=elsewhere).stdout.split())
        self.assertEqual([], run(bin / "python", "-c", HELP, cwd=elsewhere).stderr.split())
        run(bin / "twistd", "sockjs", "--help", cwd=elsewhere)
        run(bin / "pip", "check")

    def test_wheel(self) -> None:
        """
        A wheel has exactly the modules and data of the package, and once installed the plugins are found.
        """
        wheel = self.build("wheel")
        with zipfile.ZipFile(wheel) as archive:
            names = {name for name in archive.namelist() if ".dist-info/" not in name}
        self.assertEqual(modules(self.source), names)
        self.assertIn("txsockjs/demo/static/index.html", names)
        self.assertIn("txsockjs/demo/static/main.js", names)
        self.assertIn("txsockjs/metrics/static/main.js", names)
        self.assertIn("txsockjs/static/base.css", names)
        self.assertIn("txsockjs/py.typed", names)
        bin = self.environment()
        run(bin / "pip", "install", "--quiet", wheel)
        self.checkInstalled(bin)

    def test_sdist(self) -> None:
        """
        An sdist has the tests and the documentation too, and once installed the plugins are found.
        """
        sdist = self.build("sdist")
        with tarfile.open(sdist) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        wanted = modules(self.source) | {"LICENSE", "README.rst", "tests/test_examples.py", "docs/conf.py"}
        wanted.add("examples/deploy/grafana-dashboard.json")
        self.assertEqual(set(), wanted - names)
        bin = self.environment()
        run(bin / "pip", "install", "--quiet", sdist)
        self.checkInstalled(bin)

    def test_development(self) -> None:
        """
        Installed in development mode, without any flag, the plugins are found and the clone's modules are in use.
        """
        bin = self.environment()
        run(bin / "pip", "install", "--quiet", "-e", self.source)
        self.checkInstalled(bin)
        file = run(bin / "python", "-c", "import txsockjs; print(txsockjs.__file__)", cwd=self.directory).stdout.strip()
        self.assertEqual(self.source / "txsockjs" / "__init__.py", Path(file))

    def test_uninstall(self) -> None:
        """
        Uninstalled, txsockjs leaves Twisted and its plugins whole.
        """
        bin = self.environment()
        run(bin / "pip", "install", "--quiet", self.source)
        run(bin / "pip", "uninstall", "--quiet", "--yes", "txsockjs")
        left = subcommands(run(bin / "twistd", "--help", cwd=self.directory).stdout)
        self.assertNotIn("sockjs", left)
        self.assertIn("web", left)


class SourceTests(SynchronousTestCase):
    """
    What has to hold of the source tree.
    """

    def test_notOurs(self) -> None:
        """
        The packages twisted and twisted.plugins belong to Twisted: they have no C{__init__.py} here.
        """
        self.assertEqual([], list((ROOT / "twisted").glob("**/__init__.py")))
