"""CUDA C compiled as C++ and run on the CPU: `emulator.h` makes threads, blocks, barriers and shuffles of it."""

import ctypes
import hashlib
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

HEADER = Path(__file__).with_name("emulator.h")
CXX = shutil.which("g++")
DESCENDING = False  # the order of blocks and threads, for tests to change
_KERNEL = re.compile(r'extern "C"\s+void\s+(\w+)\(')

_FOLDER = Path(__file__).parents[2] / ".pytest_cache" / "emulator"  # compiled once for all processes


@cache
def compiled(code: str, options: tuple[str, ...]) -> Any:
    """run(name, grid, block, arguments, shared): what CuPy's `get_function(name)` is called with."""
    flags = [option for option in options if option.startswith(("-D", "-std"))]
    plain = _run(["-E", "-P", "-xc++", *flags, "-"], HEADER.read_text() + code)
    kernels = _KERNEL.findall(plain)
    calls = "".join(
        f'extern "C" int call_{k}(int n, void **a, unsigned *s, int d) {{ return emulator::launch({k}, n, a, s, d); }}'
        f'extern "C" void sizes_{k}(int *out) {{ emulator::sizes({k}, out); }}\n'
        for k in kernels
    )
    file = _FOLDER / (hashlib.sha256((plain + calls).encode()).hexdigest()[:20] + ".so")
    if not file.exists():
        _FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_FOLDER) as folder:
            new = Path(folder, "new.so")
            _run(["-O1", "-shared", "-fPIC", "-xc++", *flags, "-", "-o", str(new)], HEADER.read_text() + code + calls)
            new.replace(file)
    library = ctypes.CDLL(str(file))

    def run(name: str, grid: Any, block: Any, arguments: Any, shared: int) -> None:
        assert name in kernels, name
        assert block[1:] == (1, 1), "blocks have one axis here"
        assert shared == 0, "no kernel here asks for dynamic shared memory"
        cells = [_cell(a) for a in arguments]
        sizes = (ctypes.c_int * (len(cells) + 40))()
        getattr(library, f"sizes_{name}")(sizes)
        assert [len(c) for c in cells] == sizes[: len(cells)], f"{name}: {list(map(len, cells))}, {sizes[:len(cells)]}"
        pointers = (ctypes.c_void_p * len(cells))(*(ctypes.addressof(c) for c in cells))
        shape = (ctypes.c_uint * 4)(*grid, block[0])
        error = getattr(library, f"call_{name}")(len(cells), pointers, shape, int(DESCENDING))
        assert error == 0, f"{name}: {['', 'a barrier that not all threads reach', 'the number of arguments'][error]}"

    return run


def _run(options: list[str], text: str) -> str:
    done = subprocess.run([str(CXX), "-w", *options], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _cell(argument: Any) -> Any:
    """An argument's bytes, as they would be in the kernel's parameter memory."""
    if argument is None:
        value = np.uint64(0).tobytes()
    elif hasattr(argument, "host"):
        value = np.uint64(argument.data.ptr).tobytes()
    else:
        assert argument.size == 1, "CuPy passes arrays of NumPy's by value, of one element only"
        value = argument.tobytes()
    return (ctypes.c_char * len(value)).from_buffer_copy(value)
