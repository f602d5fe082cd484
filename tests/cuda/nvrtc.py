"""NVIDIA's run-time compiler through ctypes: it needs no GPU and no driver."""

import ctypes
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any


@cache
def library() -> Any:
    """libnvrtc, of the wheel nvidia-cuda-nvrtc or of the system; None where there is none."""
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(p) for p in (spec.submodule_search_locations or [] if spec else [])]
    files = [str(file) for folder in folders for file in sorted(folder.glob("*/lib/libnvrtc.so.*"))]
    for name in [*files, "libnvrtc.so.13", "libnvrtc.so.12"]:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def compiled(code: str, options: list[str]) -> tuple[bool, str, bytes]:
    """(whether it compiled, the log, the machine code)"""
    nvrtc, program, size = library(), ctypes.c_void_p(), ctypes.c_size_t()

    def call(name: str, *arguments: Any) -> int:
        error: int = getattr(nvrtc, f"nvrtc{name}")(*arguments)
        return error

    assert call("CreateProgram", ctypes.byref(program), code.encode(), b"kernels.cu", 0, None, None) == 0
    flags = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
    failed = call("CompileProgram", program, len(options), flags)
    call("GetProgramLogSize", program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    call("GetProgramLog", program, log)
    code_of = b""
    if not failed:
        call("GetCUBINSize", program, ctypes.byref(size))
        cubin = ctypes.create_string_buffer(size.value)
        call("GetCUBIN", program, cubin)
        code_of = cubin.raw
    call("DestroyProgram", ctypes.byref(program))
    return not failed, log.value.decode(), code_of
