"""Emulated boards: a processor, its memories, its compiler and flags, and the emulator that runs it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent / "c"
_COMMON = ("-std=c99", "-O2", "-ffunction-sections", "-fdata-sections", "-nostdlib", "-fno-builtin-printf")
_ARM = ("-Wl,-T," + str(HERE / "arm.ld"), "-Wl,--no-warn-rwx-segments")
_RISCV = ("-Wl,-T," + str(HERE / "riscv.ld"), "-Wl,--no-warn-rwx-segments", f"-I{HERE / 'include'}")


@dataclass(frozen=True)
class Board:
    """A board.

    Attributes:
        name: in commands.
        about: core and emulator's machine.
        compiler: its prefix.
        flags: of compiling and linking.
        emulator: command and arguments, without counting and the program.
        start: the file of `c/` that starts it.
    """

    name: str
    about: str
    compiler: str
    flags: tuple[str, ...]
    emulator: tuple[str, ...]
    start: str

    @property
    def missing(self) -> list[str]:
        """Tools that are not there."""
        return [tool for tool in (f"{self.compiler}gcc", self.emulator[0]) if shutil.which(tool) is None]


def _arm(
    name: str, about: str, core: str, machine: str, half_nanoseconds: int, flash: str, ram: str
) -> Board:
    memory = (f"-Wl,--defsym,FLASH_BYTES={flash}", f"-Wl,--defsym,RAM_BYTES={ram}")
    cpu: tuple[str, ...] = (f"-mcpu={core}", "-mthumb", f"-DHALF_NANOSECONDS={half_nanoseconds}")
    if core == "cortex-m4":
        cpu += ("-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
    flags = (*_COMMON, *cpu, *_ARM, *memory)
    return Board(name, about, "arm-none-eabi-", flags, ("qemu-system-arm", "-M", machine), "arm.c")


def _riscv(name: str, about: str, instructions: str, abi: str, cpu: str) -> Board:
    flags = (*_COMMON, f"-march={instructions}", f"-mabi={abi}", *_RISCV)
    emulator = ("qemu-system-riscv32", "-M", "virt", "-bios", "none", "-cpu", cpu)
    return Board(name, about, "riscv64-unknown-elf-", flags, emulator, "riscv.c")


BOARDS = {
    board.name: board
    for board in (
        _arm("m0", "Cortex-M0, micro:bit", "cortex-m0", "microbit", 125, "256K", "16K"),
        _arm("m3", "Cortex-M3, MPS2 AN385", "cortex-m3", "mps2-an385", 80, "4M", "4M"),
        _arm("m4", "Cortex-M4, MPS2 AN386", "cortex-m4", "mps2-an386", 80, "4M", "4M"),
        _riscv("rv32", "RV32IMC, virt", "rv32imc", "ilp32", "rv32"),
        _riscv(
            "rv32e",
            "RV32EC without multiplication, virt",
            "rv32ec",
            "ilp32e",
            "rv32,i=off,e=on,h=off,m=off,a=off,f=off,d=off",
        ),
    )
}
"""By name."""
