"""Exceptions that say which operation, which argument, what was expected, what came, and what to do."""

import linecache
import sys
from pathlib import Path

_package = str(Path(__file__).parent)


class TinyartError(Exception):
    """`operation: argument: expected E, got G. Fix: F.`

    Arguments: the operation, its argument, what was expected of it, what came, and the usual fix.
    """

    def __init__(self, operation: str, argument: str, expected: str, got: str, *, fix: str = "") -> None:
        super().__init__(operation, argument, expected, got, fix)
        self.operation, self.argument, self.expected, self.got, self.fix = operation, argument, expected, got, fix

    def __str__(self) -> str:
        what = f"{self.operation}: {self.argument}: expected {self.expected}, got {self.got}."
        return f"{what} Fix: {self.fix.rstrip('.')}." if self.fix else what

    def __reduce__(self) -> tuple[object, ...]:
        """Rebuild from the parts, so that an error survives the trip out of a worker process."""
        return _rebuild, (type(self), self.args)


def _rebuild(kind: type[TinyartError], parts: tuple[str, str, str, str, str]) -> TinyartError:
    return kind(*parts[:4], fix=parts[4])


class ShapeError(TinyartError, ValueError):
    """Shapes or axes that do not fit together."""


class DtypeError(TinyartError, TypeError):
    """A dtype that is not supported here, or two that do not go together."""


class DeviceError(TinyartError, ValueError):
    """Arrays of different devices in one operation, or a device that this machine lacks."""


class OutOfMemory(TinyartError, MemoryError):
    """An array that the device has no room for. Nothing is lost but that array: with less at once, go on."""


class ArgumentError(TinyartError, ValueError):
    """A setting outside its range."""


class GraphError(TinyartError, RuntimeError):
    """The tape cannot answer: no path, a freed graph, a changed array, a NaN in anomaly mode."""


class FormatError(TinyartError, ValueError):
    """A file, or what is in it, is not what it says it is."""


def users_line() -> str:
    """The innermost line on the stack that is not tinyart's own: file, number and text."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_package):
        frame = frame.f_back
    name, number = frame.f_code.co_filename, frame.f_lineno
    return f"{name}:{number}: {linecache.getline(name, number).strip()}"
