"""Prints what an environment takes, in millions of bytes: its packages, but pip and setuptools.

    ENVIRONMENT/bin/python scripts/installed_size.py

Counted are lengths of files, not blocks of a disk. Byte code is what Python writes beside them.
"""

import sysconfig
from pathlib import Path

BROUGHT = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils")

folder = Path(sysconfig.get_path("purelib"))
files = [file for file in folder.rglob("*") if file.is_file()]
own = [file for file in files if not file.relative_to(folder).parts[0].startswith(BROUGHT)]
plain = sum(file.stat().st_size for file in own if file.suffix != ".pyc") / 1e6
print(f"{plain:.0f} MB of files, {sum(file.stat().st_size for file in own) / 1e6:.0f} MB with byte code")
