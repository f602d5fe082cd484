"""A training step that is recorded once and then repeated: on a GPU as one CUDA graph."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyart.backend import Array, as_array, copied_to_host, cupy, describe
from tinyart.errors import ArgumentError, DeviceError, DtypeError, GraphError, ShapeError
from tinyart.graph import Variable
from tinyart.optim import Optimizer
from tinyart.recording import Recording, read
from tinyart.tensor import Tensor


class Replay:
    """`step = Replay(train_step, x0, ..)`: step(x, ..) is train_step(x, ..) for inputs like x0, recorded and replayed.

        def train_step(x):
            loss = model(x)
            optimizer.step(ta.grad(loss, optimizer.parameters))
            return loss

        step = ta.Replay(train_step, x0)
        losses = [ta.fetch(step(x)) for x in batches]
        print(losses[0]())                         # waits for that loss, while the device goes on with later steps

    Every call is one step. On a GPU the first runs as it is, which compiles kernels and fills a memory pool of its own;
    the second is recorded as a CUDA graph; from then on a call copies the inputs to where the graph reads them and
    launches it: one launch in the place of hundreds. Learning rates, counts of steps and random numbers go on as they
    would. On the CPU each call runs the step, with the same checks, and gains nothing: there are no launches to save,
    and freed memory is kept for the next arrays anyway (backend.py).

    What the step returns, a tensor or a tuple, list or dict of them, comes as copies; `item()` of one waits for all
    that the device was asked for, `fetch` for that step alone. NumPy arrays among the inputs are uploaded. Fixed by the
    recording: every branch that Python takes, `module.training`, optimizers' settings but lr.

    Errors: `ShapeError`, `DtypeError` and `DeviceError` for inputs unlike x0; `GraphError` for a step that reads a
    tensor's values, and for parameters that are other arrays than those recorded.
    """

    def __init__(self, step: Callable[..., Any], *examples: Any) -> None:
        if not examples:
            raise ArgumentError("Replay", "examples", "an example of each input of the step", "none")
        self._step = step
        self._inputs = [Tensor(as_array(x.array if isinstance(x, Variable) else x).copy()) for x in examples]
        self.device: str = self._inputs[0].device
        self._known: list[Array] | None = None  # of all optimizers that stepped: parameters and slots
        self._recording: Recording | None = None
        self._graph: Any = None
        self._memory: Any = None  # the pool and the stream of the recording
        self._outputs: Any = None

    def __call__(self, *inputs: Any) -> Any:
        arrays = self._checked(inputs)
        self._check_parameters()
        for own, given in zip(self._inputs, arrays, strict=True):
            own.array[...] = given
        if self.device == "cpu":
            return self._run(Recording(live=False))
        if self._graph is not None:
            return self._replay()
        return self._first() if self._memory is None else self._record()

    def _checked(self, inputs: tuple[Any, ...]) -> list[Array]:
        if len(inputs) != len(self._inputs):
            raise ArgumentError("Replay", "inputs", f"{len(self._inputs)}, as recorded", f"{len(inputs)}")
        arrays = []
        for i, (x, own) in enumerate(zip(inputs, self._inputs, strict=True)):
            array = x.array if isinstance(x, Variable) else as_array(x, device=self.device)
            here = Tensor(array)
            wanted, got = describe(own.array), describe(array)
            if here.device != self.device:
                raise DeviceError("Replay", f"input {i}", wanted, got, fix=f"x.to('{self.device}')")
            if here.shape != own.shape:
                raise ShapeError("Replay", f"input {i}", wanted, got, fix="another Replay for another shape")
            if here.dtype != own.dtype:
                raise DtypeError("Replay", f"input {i}", wanted, got, fix=f"x.astype('{own.dtype}')")
            arrays.append(array)
        return arrays

    def _check_parameters(self) -> None:
        if self._recording is None or self._known is None:
            return
        now = _arrays_of(self._recording)
        for i, (known, array) in enumerate(zip(self._known, now, strict=False)):
            if known is not array:
                raise GraphError("Replay", "parameters", f"the arrays that were recorded: number {i} {describe(known)}",
                                 f"another, {describe(array)}", fix="another Replay after module.to(..)")
        if len(now) != len(self._known):
            raise GraphError("Replay", "parameters", f"{len(self._known)} arrays, as recorded", f"{len(now)}",
                             fix="another Replay for other parameters")

    def _run(self, recording: Recording) -> Any:
        with recording.active():
            outputs = self._step(*self._inputs)
        self._recording, self._known = recording, _arrays_of(recording)
        return outputs

    def _first(self) -> Any:
        """Run the step in the pool and on the stream that the recording will have, and with numbers on the device."""
        device = cupy().cuda
        self._memory = device.MemoryPool(), device.Stream(non_blocking=True)
        try:
            return _copies(self._beside(lambda: self._run(Recording(live=True))))
        except BaseException:
            self._memory = None  # the next call is the first again
            raise

    def _record(self) -> Any:
        recording = Recording(live=True, captured=True)
        stream = self._memory[1]

        def capture() -> Any:
            stream.begin_capture()
            try:
                return self._run(recording)
            finally:
                graph = stream.end_capture()
                self._graph = graph if self._recording is recording else None

        self._outputs = self._beside(capture)
        recording.upload()
        self._graph.launch(cupy().cuda.get_current_stream())
        return _copies(self._outputs)

    def _replay(self) -> Any:
        assert self._recording is not None
        self._recording.refresh()
        self._graph.launch(cupy().cuda.get_current_stream())
        for optimizer in _optimizers(self._recording):
            for p in optimizer.parameters:
                p.version[0] += 1
        return _copies(self._outputs)

    def _beside(self, work: Callable[[], Any]) -> Any:
        """Do the work on the recording's stream, in its pool, after what was asked for and before what will be."""
        device = cupy().cuda
        pool, stream = self._memory
        outer = device.get_current_stream()
        stream.wait_event(outer.record())
        with device.using_allocator(pool.malloc), stream:
            result = work()
        outer.wait_event(stream.record())
        return result


def fetch(x: Tensor) -> Callable[[], np.ndarray[Any, Any]]:
    """Begin to copy x to the host; `fetch(x)()` waits for the copy, and gives the values of the time of `fetch`.

    `x.item()` and `x.numpy()` wait until the device has done everything that it was asked for; this does not, and the
    device goes on with later steps. On the CPU it is a copy.

    Errors: `GraphError` in a step that is being recorded.
    """
    return copied_to_host(read(x.array))


def _optimizers(recording: Recording) -> list[Optimizer]:
    return [owner for owner in recording.owners if isinstance(owner, Optimizer)]


def _arrays_of(recording: Recording) -> list[Array]:
    return [array for optimizer in _optimizers(recording)
            for arrays in ([p.array for p in optimizer.parameters], *optimizer.slots.values()) for array in arrays]


def _copies(outputs: Any) -> Any:
    if isinstance(outputs, Variable):
        return Tensor(outputs.array.copy())
    if isinstance(outputs, dict):
        return {name: _copies(value) for name, value in outputs.items()}
    return type(outputs)(map(_copies, outputs)) if isinstance(outputs, tuple | list) else outputs
