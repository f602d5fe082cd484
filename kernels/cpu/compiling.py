"""How the CPU kernels are compiled: at the first call, without Python's lock, and kept on disk for other processes."""

import gc
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core import compiler, event
from numba.core.codegen import JITCodeLibrary
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]
from numba.core.registry import CPUDispatcher

from . import blas

_files = sorted(Path(__file__).parent.glob("*.py"))
SOURCES = hashlib.sha256(b"".join([p.read_bytes() for p in _files] + [blas.NAME.encode()])).hexdigest()[:12]


class _Uncollected(event.Listener):
    """No garbage collection while a kernel is compiled: to look through the compiler's objects takes a tenth as long.

    Numba says when it begins and ends, under its lock; kernels that a kernel calls are compiled in between.
    """

    def __init__(self) -> None:
        self.depth, self.before = 0, True

    def on_start(self, event: Any) -> None:
        if event.data["dispatcher"].py_func.__module__.startswith(f"{__package__}."):
            if not self.depth:
                self.before = gc.isenabled()
                gc.disable()
            self.depth += 1

    def on_end(self, event: Any) -> None:
        if event.data["dispatcher"].py_func.__module__.startswith(f"{__package__}."):
            self.depth -= 1
            if not self.depth and self.before:
                gc.enable()


event.register("numba:compile", _Uncollected())


class _Whole(JITCodeLibrary):
    """Code that is optimised once, together with what it calls, and not function by function before that."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout


class WholeCompiler(compiler.Compiler):
    """Into such a library."""

    def compile_extra(self, function: Any) -> Any:
        self.state.library = _Whole(self.state.targetctx.codegen(), function.__qualname__)
        self.state.library.enable_object_caching()  # as Numba does with its own: or it is not kept on disk
        return super().compile_extra(function)


def entry(function: Callable[..., Any]) -> Any:
    """A function that Python calls: compiled at the first call, its machine code kept on disk for other processes.

    Numba would use that code again if only a function that it calls changed: so the sources are part of its name.
    """
    function.__qualname__ += "_" + SOURCES
    jit = partial(numba.njit, nogil=True, error_model="numpy", no_cfunc_wrapper=True,  # C code never calls these
                  pipeline_class=WholeCompiler)  # fmt: skip
    try:
        return jit(cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return jit()(function)


class _Library(_Whole):
    """Code that is optimised and emitted as a part of other code, and not, as Numba would, for itself as well."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _Compiler(compiler.Compiler):
    """Into such a library, and without what lets Python call it."""

    def __init__(self, typing: Any, context: Any, library: Any, arguments: Any, result: Any, flags: Any, kinds: Any):
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        super().__init__(typing, context, _Library(context.codegen(), "part"), arguments, result, flags, kinds)

    def compile_extra(self, function: Any) -> Any:
        key = object()  # by which compiled code finds it: Numba's own is what Python would call
        found = super().compile_extra(function)._replace(entry_point=key)
        self.state.targetctx.insert_user_function(key, found.fndesc, [found.library])
        return found


class _Part(CPUDispatcher):
    def add_overload(self, found: Any) -> None:
        self.overloads[tuple(found.signature.args)] = found

    def _compile_for_args(self, *arguments: Any, **settings: Any) -> None:
        raise TypeError(f"{self.py_func.__name__} is for `share` and compiled code to call, not for Python")


def _part(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator for kernels that `share` calls and for what they call: compiled into the code that does."""
    options |= {"nopython": True, "error_model": "numpy"}  # x / 0 is inf or nan: an exception stops vectorisation
    return lambda f: f if DISABLE_JIT else _Part(f, targetoptions=options, pipeline_class=_Compiler)


compiled = _part()
contracted = _part(fastmath={"contract"})  # a·b + c is rounded once
summed = _part(fastmath={"contract", "reassoc"})  # sums in vectors; no exp32 there
# Pasted into the compiled functions that call it: a call that could raise would stop theirs.
inlined = numba.njit(inline="always", error_model="numpy")


def plain(a: Any) -> Any:
    """`a` in C order, aligned and writeable, itself or a copy: each other kind would be compiled for on its own."""
    return a if a.flags.carray else np.array(a, order="C")
