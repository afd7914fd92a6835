"""A level of kernels is one file and its rows in the list: the build, dispatch and features follow."""

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.recipes import KERNEL

ROOT = Path(__file__).parents[2]
PLACES = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
TOOLS = {name: shutil.which(name, path=PLACES) or "" for name in ("cmake", "ninja", "c++")}

MAIN = """
#include <cstdio>

#include "core/dispatch.h"

int main() {
  using namespace lowbit;
  for (const std::string& level : available_levels()) std::printf("%s ", level.c_str());
  for (const CpuFeature& one : cpu_features()) std::printf("%s=%d ", one.name.c_str(), one.available);
  const KernelSet set = select_kernels(available_levels().back());
  const std::uint8_t table[256] = {5}, x = 0;
  std::uint8_t y = 0;
  set.look_up.run(table, &x, &y, 1);
  std::printf("%s %d %s", set.look_up.level, y, set.encode.level);
}
"""


@pytest.fixture(params=[("", True), ("LOWBIT_HAS(tbm)", False)], ids=["here", "elsewhere"])
def toy(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, bool]:
    """Return the sources with a toy level, and whether this machine has what it needs."""
    missing = [name for name, path in TOOLS.items() if not path]
    if missing or platform.machine() != "x86_64":
        pytest.skip(f"needs {', '.join(missing) or 'x86-64'}")
    more, here = request.param
    shutil.copytree(ROOT / "cpp", tmp_path / "cpp")
    shutil.copy(ROOT / "CMakeLists.txt", tmp_path)
    (tmp_path / "src/lowbit").mkdir(parents=True)
    shutil.copy(ROOT / "src/lowbit/version.py", tmp_path / "src/lowbit")
    for place, path in KERNEL.files().items():
        shutil.copy(path, tmp_path / place)
    for place, where, row in KERNEL.rows:
        before, _, rest = (tmp_path / place).read_text().partition(where)
        row = row.replace("(sse3)", f"(sse3) {more}")
        others, undefined, end = rest.partition("#undef LOWBIT_LEVEL")  # other levels take long to compile
        assert "LOWBIT_LEVEL" in others
        (tmp_path / place).write_text(before + row + undefined + end)
    return tmp_path, here


def test_a_toy_level_costs_a_file_and_its_rows(toy: tuple[Path, bool]) -> None:
    folder, here = toy
    flags = compiled_with(folder)
    if here:
        assert "-msse3" in flags
    core = [f"core/{name}.cc" for name in ("dispatch", "error", "paths", "tiles")]
    objects = [
        compiled(folder, name, flags if name == "kernels/toy.cc" else [])
        for name in (*core, "kernels/portable.cc", "kernels/spots.cc", "kernels/toy.cc")
    ]
    (folder / "cpp/main.cc").write_text(MAIN)
    program = folder / "program"
    subprocess.run(
        [TOOLS["c++"], "-std=c++20", "-Icpp", "cpp/main.cc", *objects, "-o", str(program)],
        cwd=folder,
        check=True,
    )
    said = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    if here:
        assert said == "portable toy sse3=1 toy 6 portable"
    else:
        assert said == "portable sse3=1 tbm=0 portable 5 portable"


def compiled_with(folder: Path) -> list[str]:
    """Return the flags by which the build compiles the level."""
    options = ["-DLOWBIT_PYTHON=OFF", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", "-G", "Ninja"]
    options.append(f"-DCMAKE_MAKE_PROGRAM={TOOLS['ninja']}")
    subprocess.run(
        [TOOLS["cmake"], "-S", ".", "-B", "build", *options], cwd=folder, check=True, capture_output=True
    )
    commands = json.loads((folder / "build/compile_commands.json").read_text())
    (command,) = [each["command"] for each in commands if each["file"].endswith("kernels/toy.cc")]
    return [flag for flag in shlex.split(command) if flag.startswith("-m")]


def compiled(folder: Path, name: str, flags: list[str]) -> str:
    made = f"{Path(name).stem}.o"
    command = [TOOLS["c++"], "-std=c++20", *flags, "-c", f"cpp/{name}", "-o", made]
    subprocess.run(command, cwd=folder, check=True)
    return made
