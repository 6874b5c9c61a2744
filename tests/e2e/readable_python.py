"""An interpreter with Posthouse that somebody without rights can run.

The one that runs the tests may be in a folder of root's, as in CI.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from importlib.metadata import distribution
from pathlib import Path

LEFT_OUT = ("test", "tests", "idlelib", "tkinter", "ensurepip", "site-packages", "__pycache__", "config-*")
"""Of the standard library: half of its files."""


def make(folder: Path) -> tuple[str, dict[str, str]]:
    """Its path and its environment, with everything that it needs in `folder`, which others must be able to enter."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix)
    own = folder / "bin" / version
    own.parent.mkdir()
    shutil.copy2(base / "bin" / version, own)
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": str(base), "base": str(base)}))
    shutil.copytree(
        library,
        folder / "lib" / version,
        copy_function=link,
        ignore=shutil.ignore_patterns(*LEFT_OUT),
    )
    for shared in (base / "lib").glob("libpython3*"):
        link(str(shared), str(folder / "lib" / shared.name))
    packages = folder / "packages"
    source = Path(__file__).parents[2] / "src" / "posthouse"
    shutil.copytree(source, packages / "posthouse", copy_function=link)
    for requirement in distribution("posthouse").requires or ():
        if "extra ==" not in requirement:
            copy_package(re.split(r"[^\w.-]", requirement)[0], packages)
    return str(own), {"LD_LIBRARY_PATH": str(folder / "lib"), "PYTHONPATH": str(packages)}


def copy_package(name: str, into: Path) -> None:
    """Everything of a package that is installed here; its programs are left out."""
    for file in distribution(name).files or ():
        if ".." not in file.parts:
            target = into / file
            target.parent.mkdir(parents=True, exist_ok=True)
            link(str(file.locate()), str(target))


def link(source: str, target: str) -> str:
    """The same file under another name, or where that can't be, its copy."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)
    return target
