"""The only door to `kernels/`: which kernels an array needs follows from its type, and arrays come in here.

NumPy arrays are on the CPU, CuPy arrays on CUDA. There is no current device.
"""

from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np

from tinyart.errors import ArgumentError, DeviceError, DtypeError

Array = Any  # numpy.ndarray or cupy.ndarray
DTYPES = frozenset(np.dtype(name) for name in ("float32", "float64", "int32", "int64", "uint8", "bool"))
_SCALARS = (int, float, bool)


class Kernels(Protocol):
    """KERNELS"""

    def __getattr__(self, name: str) -> Any: ...


class _Table:
    """The kernels of one device: its overrides, and the reference for everything else, each loaded at first use."""

    def __init__(self, device: str) -> None:
        self.device = device

    def __getattr__(self, name: str) -> Any:
        overrides = import_module(f"tinyart.kernels.{self.device}").OVERRIDES
        module = f"{self.device}.{overrides[name]}" if name in overrides else "reference"
        kernel = getattr(import_module(f"tinyart.kernels.{module}"), name)
        setattr(self, name, kernel)  # found once: the next look-up does not come here
        return kernel


_cpu = cast(Kernels, _Table("cpu"))
_cuda = cast(Kernels, _Table("cuda"))


def device_of(array: Array) -> str:
    return "cpu" if isinstance(array, np.ndarray) else "cuda"


def kernels_of(*arrays: Any) -> Kernels:
    """The kernels for these arrays; Python numbers among them fit any device."""
    for array in arrays:
        if type(array) is not np.ndarray and type(array) not in _SCALARS:
            return _kernels_elsewhere(arrays)
    return _cpu


def _kernels_elsewhere(arrays: tuple[Any, ...]) -> Kernels:
    devices = {device_of(a) for a in arrays if type(a) not in _SCALARS}
    if len(devices) > 1:
        raise DeviceError("operation", "inputs", "arrays of one device", " and ".join(map(describe, arrays)),
                          fix="move one: x.to('cuda') or x.to('cpu')")
    return _cuda if devices == {"cuda"} else _cpu


def _cupy() -> Any:
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # a missing package, driver or card: each raises its own type
        raise DeviceError("device", "'cuda'", "CuPy and an NVIDIA GPU", f"{type(error).__name__}: {error}",
                          fix="pip install 'tinyart[cuda12]' or 'tinyart[cuda13]', to match the driver") from error
    return cupy


def as_array(value: Any, dtype: Any = None, device: str | None = None) -> Array:
    """`value` as an array of a supported dtype on `device`: arrays stay where they are, the rest goes to the CPU.

    Python floats become float32. Nothing is copied that already fits.
    """
    if type(value) is np.ndarray:
        if dtype is None and device is None and value.dtype in DTYPES:
            return value
    elif not hasattr(value, "__cuda_array_interface__"):
        value = _from_python(value)
    if dtype is not None and value.dtype != dtype:
        value = value.astype(_supported(np.dtype(dtype)))
    elif value.dtype not in DTYPES:
        _supported(value.dtype)
    return value if device is None or device == device_of(value) else to_device(value, device)


def _from_python(value: Any) -> Array:
    array = np.asarray(value)
    python = not hasattr(value, "dtype")
    return array.astype(np.float32) if python and array.dtype == np.float64 else array


def _supported(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype not in DTYPES:
        raise DtypeError("tensor", "dtype", f"one of {', '.join(sorted(map(str, DTYPES)))}", str(dtype),
                         fix="x.astype('float32')")
    return dtype


def to_device(array: Array, device: str) -> Array:
    if device not in ("cpu", "cuda"):
        raise ArgumentError("device", "device", "'cpu' or 'cuda'", repr(device))
    if device == device_of(array):
        return array
    return _cupy().asarray(array) if device == "cuda" else array.get()


def describe(x: Any) -> str:
    """How errors name an argument: its shape and dtype, or the Python number itself."""
    return f"{tuple(x.shape)} {x.dtype} on {device_of(x)}" if hasattr(x, "shape") else repr(x)
