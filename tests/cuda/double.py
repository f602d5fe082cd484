"""A double of CuPy 14 on NumPy's memory: what tinyart does to CuPy arrays can be tried where there is no GPU.

It is as strict as CuPy is: NumPy arrays do not mix in, nothing converts to the host by itself, functions take CuPy's
arguments and not NumPy's, and a ufunc has no methods (`cupy.ndarray.__array_ufunc__`, `__array_function__` in
cupy/_core/core.pyx). Each transfer is counted in `reads` (device to host) and `uploads`, and what would be launched in
`launches`, by name; test_double.py compares the tables below with CuPy itself where that is installed.
"""

import inspect
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

reads: list[str] = []
uploads: list[str] = []
launches: list[str] = []

# CuPy's functions and their arguments, those that kernels/ and tinyart/ call through NumPy's names.
FUNCTIONS = {
    "absolute": None, "all": "a axis out keepdims", "any": "a axis out keepdims",
    "arange": "start stop step dtype", "argmax": "a axis dtype out keepdims", "argmin": "a axis dtype out keepdims",
    "argsort": "a axis kind", "array_split": "ary indices_or_sections axis",
    "asarray": "a dtype order copy blocking", "ascontiguousarray": "a dtype", "broadcast_to": "array shape",
    "clip": "a a_min a_max out", "concatenate": "tup axis out dtype casting", "copyto": "dst src casting where",
    "cumsum": "a axis dtype out", "empty": "shape dtype order", "empty_like": "prototype dtype order subok shape",
    "expand_dims": "a axis", "flip": "a axis", "full": "shape fill_value dtype order",
    "full_like": "a fill_value dtype order subok shape", "isfinite": None, "max": "a axis out keepdims",
    "may_share_memory": "a b max_work", "mean": "a axis dtype out keepdims", "min": "a axis out keepdims",
    "moveaxis": "a source destination", "ones_like": "a dtype order subok shape", "pad": "array pad_width mode **",
    "prod": "a axis dtype out keepdims", "repeat": "a repeats axis", "reshape": "a newshape order copy",
    "split": "ary indices_or_sections axis", "squeeze": "a axis", "stack": "tup axis out dtype casting",
    "sum": "a axis dtype out keepdims", "swapaxes": "a axis1 axis2", "take": "a indices axis out",
    "take_along_axis": "a indices axis", "tile": "A reps", "transpose": "a axes", "where": "condition x y",
    "zeros": "shape dtype order", "zeros_like": "a dtype order subok shape",
}  # fmt: skip
METHODS = """
T all any argmax argmin argsort astype base clip copy cumsum data dtype fill flags flatten itemsize
max mean min nbytes ndim prod ravel repeat reshape round shape size squeeze std strides sum swapaxes
take transpose var view
"""
REDUCTIONS = ["all", "any", "argmax", "argmin", "max", "mean", "min", "prod", "std", "sum", "var"]


class ndarray:
    """An array on the device. `host` is its memory, for the tests' own eyes."""

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: Any) -> None:
        self.host = np.asarray(host)
        if _captured is not None:  # as the recording's own pool does, for kernels know addresses only
            _kept.append(self.host)

    def __getattr__(self, name: str) -> Any:
        if name not in METHODS.split():
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        value = getattr(self.host, name)
        if name in REDUCTIONS:
            return lambda axis=None, **k: _made(value, self, _axis_of(self, axis), **k)
        if callable(value):
            return lambda *a, **k: _made(value, self, *a, **k)
        return _wrapped(value)

    @property
    def data(self) -> Any:
        return types.SimpleNamespace(ptr=self.host.ctypes.data)

    @property
    def flags(self) -> Any:
        return types.SimpleNamespace(**{n: getattr(self.host.flags, n) for n in ("c_contiguous", "f_contiguous")})

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self.host.__array_interface__, "version": 3}

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        if _captured is not None:
            raise RuntimeError("a synchronous copy to the host while the stream is being captured")
        if blocking:
            reads.append(_line())
            return self.host.copy()
        assert stream is not None
        assert out.flags.c_contiguous
        np.copyto(out, self.host)
        return out

    def item(self) -> Any:
        return self.get().item()

    def set(self, values: np.ndarray) -> None:
        assert _captured is None, "an upload while the stream is being captured"
        uploads.append(_line())
        assert (values.dtype, values.shape) == (self.dtype, self.shape)
        self.host[...] = values

    def tolist(self) -> Any:
        return self.get().tolist()

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a "
                        "NumPy array explicitly.")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **how: Any) -> Any:
        if method != "__call__" or any(not isinstance(x, ndarray | np.ndarray | np.generic | int | float)
                                       for x in inputs):
            return NotImplemented
        if "out" in how:
            (out,) = how["out"]
            values = [*map(_host, inputs)]
            return _done(ufunc.__name__, lambda: ufunc(*values, out=out.host), out)
        return _made(ufunc, None, *inputs, **how)

    def __array_function__(self, func: Any, kinds: Any, args: Any, how: Any) -> Any:
        if func.__name__ not in FUNCTIONS or any(kind not in (ndarray, np.ndarray) for kind in kinds):
            return NotImplemented
        return _call(func.__name__, args, how)

    def __getitem__(self, key: Any) -> Any:
        place = _key(key)
        return _made(lambda: self.host[place], self)

    def __setitem__(self, key: Any, value: Any) -> None:
        place, values = _key(key), _host(value)
        _done("setitem", lambda: self.host.__setitem__(place, values), self)

    def __len__(self) -> int:
        return len(self.host)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __repr__(self) -> str:
        return repr(self.get())

    def __copy__(self) -> "ndarray":
        return ndarray(self.host.copy())

    def __deepcopy__(self, _: Any) -> "ndarray":
        return ndarray(self.host.copy())


def _operator(name: str) -> Any:
    def apply(self: ndarray, *others: Any) -> Any:
        function, values = getattr(self.host, name), [*map(_host, others)]
        if name.startswith("__i") and name != "__invert__":
            return _done(name, lambda: function(*values), self)
        return _made(function, self, *others)

    return apply


_BINARY = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift"
for _name in _BINARY.split():
    for _kind in ("", "r", "i"):
        setattr(ndarray, f"__{_kind}{_name}__", _operator(f"__{_kind}{_name}__"))
for _name in ["neg", "pos", "abs", "invert", "lt", "le", "gt", "ge", "eq", "ne"]:
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))


def _line() -> str:
    """Where in tinyart a transfer was asked for."""
    frame: Any = sys._getframe(2)
    while frame.f_back is not None and ("tests" in frame.f_code.co_filename or "numpy" in frame.f_code.co_filename):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _host(x: Any) -> Any:
    """What NumPy is given for x. An array of NumPy's own among the device's is an error, as in CuPy."""
    if isinstance(x, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(x, list | tuple):
        return type(x)(map(_host, x))
    return x.host if isinstance(x, ndarray) else x


def _key(key: Any) -> Any:
    """CuPy copies arrays of NumPy in an index to the device."""
    if isinstance(key, tuple):
        return tuple(map(_key, key))
    if isinstance(key, np.ndarray | list):
        uploads.append(_line())
    return key.host if isinstance(key, ndarray) else key


def _axis_of(x: Any, axis: Any) -> Any:
    """The axis of a reduction: a number has none, though NumPy gives it an axis 0."""
    if axis is not None and x.ndim == 0 and axis != ():
        raise np.exceptions.AxisError(axis if isinstance(axis, int) else axis[0], 0)
    return axis


def _wrapped(x: Any) -> Any:
    if isinstance(x, list | tuple) and any(isinstance(part, np.ndarray) for part in x):
        return type(x)(map(_wrapped, x))
    return ndarray(x) if isinstance(x, np.ndarray | np.generic) else x


def _call(name: str, args: Any, how: Any) -> Any:
    allowed = FUNCTIONS[name]
    unknown = [] if allowed is None or "**" in allowed else [k for k in how if k not in allowed.split()]
    if unknown or (allowed is not None and len(args) > len(allowed.split())):
        raise TypeError(f"cupy.{name}() got an unexpected argument: {unknown or args}")
    if name == "argsort" and how.get("kind") not in (None, "stable"):
        raise ValueError("CuPy sorts stably, or not at all")
    if name in REDUCTIONS:
        _axis_of(args[0], how.get("axis", args[1] if len(args) > 1 else None))
    return _made(getattr(np, name), None, *args, **how)


_captured: list[Any] | None = None  # the work of the stream that is being captured
_kept: list[Any] = []  # and its memory


def _made(function: Any, owner: Any, *args: Any, **how: Any) -> Any:
    """What array code makes of its arguments. In a capture only memory for it, which a launch fills, or a view."""
    a, k = [*map(_host, args)], {name: _host(value) for name, value in how.items()}
    result = function(*a, **k)
    given = [x for x in _flat([_host(owner), *a, *k.values()]) if isinstance(x, np.ndarray)]
    made = [x for x in _flat([result]) if isinstance(x, np.ndarray | np.generic)]
    if made and function is not np.empty_like and not any(np.may_share_memory(x, y) for x in made for y in given):
        launches.append(getattr(function, "__name__", "getitem"))
    if _captured is not None:
        if isinstance(result, np.generic):
            result = np.asarray(result)
        for i, part in enumerate(result if isinstance(result, list | tuple) else [result]):
            if isinstance(part, np.ndarray) and not any(np.may_share_memory(part, x) for x in given):
                several = isinstance(result, list | tuple)
                _captured.append(lambda part=part, i=i, several=several: np.copyto(
                    part, function(*a, **k)[i] if several else function(*a, **k)))
    return _wrapped(result)


def _done(name: str, work: Any, result: Any = None) -> Any:
    """Do work in place, in a capture only when the graph is launched."""
    launches.append(name)
    if _captured is None:
        work()
    else:
        _captured.append(work)
    return result


def _flat(x: Any) -> list[Any]:
    return [y for part in x for y in _flat(part)] if isinstance(x, list | tuple) else [x]


def asarray(a: Any, dtype: Any = None, order: Any = None) -> ndarray:
    if isinstance(a, ndarray):
        return a if dtype is None else a.astype(dtype, copy=False)
    assert _captured is None, "an upload while the stream is being captured"
    uploads.append(_line())
    return ndarray(np.array(a, dtype))


def _poisoned(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """New memory, every byte 0xff: what a kernel forgets to write is NaN, or -1."""
    new = np.empty(shape, dtype, order)
    new.reshape(-1).view(np.uint8)[...] = 255
    return ndarray(new)


class RawModule:
    """`emulator.py` runs CUDA C on the CPU; a module of it is called as CuPy's is."""

    def __init__(self, *, code: str, options: tuple[str, ...] = ()) -> None:
        from tests.cuda import emulator

        self._module = emulator.compiled(code, options)

    def get_function(self, name: str) -> Any:
        def call(grid: Any, block: Any, args: Any, shared_mem: int = 0) -> None:
            given = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
            _done(name, lambda: self._module(name, grid, block, given, shared_mem))

        return call


class Stream:
    """A stream whose work is done at once, but for a capture: that keeps it, for `Graph.launch` to do."""

    current: list["Stream"] = []  # noqa: RUF012

    def __init__(self, non_blocking: bool = False) -> None:
        self.ptr = 7 if non_blocking else 0

    def __enter__(self) -> "Stream":
        Stream.current.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        assert Stream.current.pop() is self

    def record(self) -> Any:
        return self

    def wait_event(self, event: Any) -> None: ...

    def synchronize(self) -> None: ...

    def begin_capture(self) -> None:
        global _captured
        assert _captured is None
        assert self.ptr, "cannot capture on the default (legacy) stream"
        _captured = []

    def end_capture(self) -> "Graph":
        global _captured
        graph, _captured = Graph(_captured, [*_kept]), None
        _kept.clear()
        return graph


class Graph:
    def __init__(self, work: Any, kept: Any) -> None:
        self.work, self.kept, self.launches = work, kept, 0

    def launch(self, stream: Any) -> None:
        self.launches += 1
        launches.append("graph")
        for do in self.work:
            do()


def module() -> types.ModuleType:
    """The double as a module, to be put in the place of `cupy` in `sys.modules`."""
    cupy: Any = types.ModuleType("cupy")
    for name in FUNCTIONS:
        setattr(cupy, name, lambda *a, _name=name, **k: _call(_name, a, k))
    cupy.ndarray, cupy.asarray, cupy.RawModule = ndarray, asarray, RawModule
    cupy.empty = _poisoned
    cupy.cuda = types.SimpleNamespace(
        runtime=types.SimpleNamespace(getDeviceCount=lambda: 1, getDevice=lambda: 0, runtimeGetVersion=lambda: 13000),
        Stream=Stream,
        MemoryPool=lambda: types.SimpleNamespace(malloc=None),
        using_allocator=lambda _: nullcontext(),
        get_current_stream=lambda: Stream.current[-1] if Stream.current else Stream(),
        Device=lambda _: types.SimpleNamespace(attributes={"MultiProcessorCount": 4}),
    )
    return cupy


@contextmanager
def installed() -> Iterator[types.ModuleType]:
    """`with installed():` CuPy is this double."""
    import math

    special: Any = types.ModuleType("cupyx.scipy.special")
    cupyx: Any = types.ModuleType("cupyx")
    cupyx.empty_pinned = np.empty
    special.erf = lambda x: ndarray(np.vectorize(math.erf, otypes=[x.dtype])(x.host))
    cupy = module()
    doubles = {"cupy": cupy, "cupyx": cupyx, "cupyx.scipy": types.ModuleType("cupyx.scipy"),
               "cupyx.scipy.special": special}
    before = {name: sys.modules.get(name) for name in doubles}
    sys.modules.update(doubles)
    reads.clear()
    uploads.clear()
    try:
        yield cupy
    finally:
        for name, value in before.items():
            if value is None:
                del sys.modules[name]
            else:
                sys.modules[name] = value


def differences_from(cupy: Any) -> list[str]:
    """What the tables above say otherwise than CuPy itself."""
    found = [f"ndarray.{name} is missing" for name in METHODS.split() if not hasattr(cupy.ndarray, name)]
    for name, arguments in FUNCTIONS.items():
        theirs = getattr(cupy, name, None)
        if arguments is None:
            found += [f"{name} is no ufunc"] if not isinstance(theirs, cupy.ufunc) else []
            continue
        parameters = inspect.signature(theirs).parameters.values() if callable(theirs) else []
        names = " ".join("**" if p.kind is p.VAR_KEYWORD else p.name for p in parameters)
        if names != arguments:
            found.append(f"{name}({names}), not ({arguments})")
    return found
