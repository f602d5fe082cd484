"""A kernel's work, as threads hand it to each other in compiled code, without Python's lock.

A job is a row of words: a compiled function, the arguments that it is called with, and the index where the next stretch
begins. Whoever works on it adds a stretch's length to that index and does the stretch that began there, until all are
taken. A helper so begins a few microseconds after it is asked, and need not wait for Python's lock.

    write(kernel, job, arguments)       a thread writes what is to be done,
    put(job, size, step)                opens it to helpers,
    work(job)                           works on it until nothing is left,
    close(job, ..)                      closes it, and waits for those who are still inside;
    help_with(rows, ..)                 a helper works on whatever is open, until nothing was for a while

A job is known by its address. A helper counts itself in before it looks whether the job is open, and who closes a job
looks afterwards who is inside: so one sees the other, in whichever order their stores came, and a job is only written
again when nobody reads it.
"""

import os
import time
from functools import cache, partial
from types import FunctionType
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.config import DISABLE_JIT  # type: ignore[attr-defined]
from numba.extending import intrinsic

from .compiling import compiled, entry

Array = Any

_pasted: Any = intrinsic  # a function that writes its caller's LLVM instructions

# Where the words of a job lie, in bytes. Those that several threads write have a cache line to themselves.
_OPEN, _FUNCTION, _SIZE, _STEP, _NEXT, _INSIDE, _FAILED, _ARGUMENTS = 0, 64, 72, 80, 128, 192, 256, 320
WORDS = 400
_ALL = 1 << 60

_WORD = ir.IntType(64)
_STRETCH = ir.FunctionType(ir.VoidType(), [_WORD] * 3)  # first, end, job

_give_way: Any = partial(time.sleep, 0) if DISABLE_JIT else types.ExternalFunction(
    "sched_yield" if os.name == "posix" else "SwitchToThread", types.intc())


def _at(builder: Any, address: Any, offset: int = 0, kind: Any = _WORD) -> Any:
    return builder.inttoptr(builder.add(address, ir.Constant(_WORD, offset)), kind.as_pointer())


@_pasted
def _add(typing: Any, address: Any, number: Any) -> Any:
    """Add to the word there, and return what it was."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.atomic_rmw("add", _at(builder, values[0]), values[1], "seq_cst")

    return types.int64(types.int64, types.int64), code


@_pasted
def _load(typing: Any, address: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load_atomic(_at(builder, values[0]), "seq_cst", 8)

    return types.int64(types.int64), code


@_pasted
def _store(typing: Any, address: Any, number: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store_atomic(values[1], _at(builder, values[0]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


@_pasted
def _call(typing: Any, function: Any, first: Any, end: Any, job: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.call(builder.inttoptr(values[0], _STRETCH.as_pointer()), values[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), code


@_pasted
def write(typing: Any, kernel: Any, job: Any, arguments: Any) -> Any:
    """Write into the job the arguments, and a function that calls the kernel with them."""
    for kind in arguments:
        parts: Any = kind if isinstance(kind, types.BaseTuple) else () if isinstance(kind, types.Array) else (kind,)
        if not all(isinstance(part, types.Number | types.Boolean) for part in parts):
            raise TypeError(f"threads share kernels of arrays, numbers and tuples of numbers, not of {kind}")

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        called = types.int64, types.int64, *arguments
        kernel.dispatcher.compile(called)
        compiled = kernel.dispatcher.overloads[called]
        context.active_code_library.add_linking_library(compiled.library)
        given = [_unowned(builder, kind, value)
                 for kind, value in zip(arguments, cgutils.unpack_tuple(builder, values[2]), strict=True)]
        layout = ir.LiteralStructType([value.type for value in given])
        if context.get_abi_sizeof(layout) > 8 * WORDS - _ARGUMENTS:
            raise TypeError(f"{len(given)} arguments do not fit into a job")
        place = _at(builder, values[1], _ARGUMENTS, layout)
        for i, value in enumerate(given):
            builder.store(value, cgutils.gep_inbounds(builder, place, 0, i))

        function = ir.Function(builder.module, _STRETCH, builder.module.get_unique_name("stretch"))
        function.linkage = "internal"
        body, (first, end, job) = ir.IRBuilder(function.append_basic_block()), function.args
        place = _at(body, job, _ARGUMENTS, layout)
        taken = [body.load(cgutils.gep_inbounds(body, place, 0, i)) for i in range(len(given))]
        callee = context.declare_function(builder.module, compiled.fndesc)
        status, _ = context.call_conv.call_function(body, callee, types.void, called, [first, end, *taken])
        with body.if_then(status.is_error, likely=False):
            body.store_atomic(ir.Constant(_WORD, 1), _at(body, job, _FAILED), "seq_cst", 8)
        body.ret_void()
        builder.store(builder.ptrtoint(function, _WORD), _at(builder, values[1], _FUNCTION))
        return context.get_dummy_value()

    return types.void(kernel, types.int64, arguments), code


def _unowned(builder: Any, kind: Any, value: Any) -> Any:
    """An array without the count of its users, which every thread would change: who offers the job holds its arrays."""
    for i in range(2 if isinstance(kind, types.Array) else 0):  # meminfo and parent
        value = builder.insert_value(value, ir.Constant(value.type.elements[i], None), i)
    return value


def _write(job: int, *arguments: Any) -> None:
    write(_kernel, job, arguments)  # type: ignore[name-defined]  # noqa: F821


@cache
def writer_of(kernel: Any) -> Any:
    """The compiled function that writes a job of this kernel: _write(job, *arguments)."""
    function: Any = FunctionType(_write.__code__, {**globals(), "_kernel": kernel})
    package, _, module = kernel.py_func.__module__.rpartition(".")
    if package != __package__:
        return numba.njit(function)  # not kept on disk: it would not be noticed that these sources changed
    function.__qualname__ = f"{module}_{kernel.py_func.__name__}"  # all else that Numba names the file by is the same
    return entry(function)


@entry
def put(job: int, size: int, step: int) -> None:
    """Open the job that was written there, of stretches of `step` that make up range(size), if these are several."""
    _store(job + _SIZE, size)
    _store(job + _STEP, step)
    _store(job + _NEXT, 0)
    _store(job + _FAILED, 0)
    if step < size:
        _store(job + _OPEN, 1)


@compiled
def _work(job: int, most: int) -> None:
    """Do stretches, as long as there are any and so many at most."""
    function, size, step = _load(job + _FUNCTION), _load(job + _SIZE), _load(job + _STEP)
    for _ in range(most):
        first = _add(job + _NEXT, step)
        if first >= size:
            return
        _call(function, first, min(first + step, size), job)


@entry
def work(job: int) -> None:
    """Do what nobody has taken yet."""
    _work(job, _ALL)


@entry
def done(job: int) -> Any:
    return _load(job + _NEXT) >= _load(job + _SIZE) and _load(job + _INSIDE) == 0


@compiled
def _help(rows: Array, first: int, end: int, most: int) -> bool:
    """Do up to `most` stretches of the first job among these rows that is open and has any left; whether one was."""
    for i in range(first, end):
        job = rows.ctypes.data + 8 * WORDS * i
        if _load(job + _OPEN) == 0 or _load(job + _NEXT) >= _load(job + _SIZE):
            continue
        _add(job + _INSIDE, 1)
        found = _load(job + _OPEN) != 0
        if found:
            _work(job, most)
        _add(job + _INSIDE, -1)
        if found:
            return True
    return False


@entry
def close(job: int, rows: Array, urgent: int) -> Any:
    """Wait until those inside have left, and do meanwhile what can wait; whether a stretch failed."""
    _store(job + _OPEN, 0)
    while _load(job + _INSIDE) > 0:
        if not _help(rows, urgent, len(rows), 1):
            _give_way()
    return _load(job + _FAILED) != 0


@entry
def complete(job: int, rows: Array, urgent: int) -> Any:
    """Work on it, and close it."""
    work(job)
    return close(job, rows, urgent)


@entry
def help_with(rows: Array, urgent: int, stop: Array, patience: int) -> bool:
    """Work on jobs until `patience` calls of sched_yield found none: on the first `urgent` rows, which callers wait
    for, until nothing is left; on the others a stretch at a time. Whether there was anything to do."""
    idle, worked = 0, False
    while idle < patience and stop[0] == 0:
        if _help(rows, 0, urgent, _ALL) or _help(rows, urgent, len(rows), 1):
            idle, worked = 0, True
        else:
            _give_way()
            idle += 1
    return worked
