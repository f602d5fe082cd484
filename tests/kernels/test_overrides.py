"""What every override keeps of its reference kernel: signature, result, and the memory around its outputs."""

import inspect
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinyart.kernels import reference
from tinyart.kernels.cpu import OVERRIDES, optim, random
from tinyart.kernels.cpu.threads import share

from tinyart.backend import kernels_of

ROOT = Path(__file__).parents[2]


def override(name: str) -> Any:
    return getattr(import_module(f"tinyart.kernels.cpu.{OVERRIDES[name]}"), name)


@pytest.mark.parametrize("name", OVERRIDES)
def test_an_override_has_the_signature_of_its_reference_and_is_served(name: str) -> None:
    ours, theirs = inspect.signature(override(name)), getattr(reference, name)
    if isinstance(theirs, np.ufunc):  # whose signature has settings that no kernel takes
        assert len(ours.parameters) == theirs.nin
    else:
        assert ours == inspect.signature(theirs)
    served = kernels_of(np.empty(0))
    assert getattr(getattr(served, "cpu", served), name) is override(name)  # with --device cuda it is a mirror of these


def test_every_kernel_of_an_override_module_is_in_the_table() -> None:
    """One that is not would never run."""
    found = {}
    for module in set(OVERRIDES.values()):
        for name, value in vars(import_module(f"tinyart.kernels.cpu.{module}")).items():
            if hasattr(reference, name) and inspect.isfunction(value) and value.__module__.endswith(f"cpu.{module}"):
                found[name] = module
    assert found == OVERRIDES


# adam_, the one that writes into arrays it was given: each lies in a buffer, whose other bytes must stay.
MARGIN = 16  # elements before and after
LAYOUTS = ["plain", "Fortran", "reversed", "every second", "misaligned"]


def placed(values: np.ndarray, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """The buffer, as bytes, and a view into it of that layout, which holds the values."""
    step, off = (2 if layout == "every second" else 1), (1 if layout == "misaligned" else 0)
    item = values.itemsize
    buffer = np.full((step * values.size + 2 * MARGIN) * item + off, 0xA5, np.uint8)
    end = MARGIN + step * values.size
    flat = buffer[off : off + (end + MARGIN) * item].view(values.dtype)[MARGIN:end:step]
    view = flat.reshape(values.shape[::-1]).T if layout == "Fortran" else flat.reshape(values.shape)
    if layout == "reversed" and view.ndim:
        view = view[(slice(None, None, -1),) * view.ndim]
    view[...] = values
    assert np.shares_memory(view, buffer) or not view.size
    return buffer, view


shapes = st.lists(st.integers(0, 7), max_size=3).map(tuple) | st.tuples(st.integers(0, 300))
layouts = st.tuples(*[st.just("plain") | st.sampled_from(LAYOUTS)] * 4)
settings = st.fixed_dictionaries({
    "lr": st.sampled_from([0.0, 1e-3, 0.3]), "beta1": st.sampled_from([0.0, 0.9]), "eps": st.sampled_from([1e-8, 0.1]),
    "beta2": st.sampled_from([0.0, 0.999]), "step": st.integers(1, 100_000),
    "weight_decay": st.sampled_from([0.0, 0.01, 1.0]), "decoupled": st.booleans(),
})  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("block", [7, 2**60], ids=["parallel", "serial"])
@given(shape=shapes, layouts=layouts, how=settings, seed=st.integers(0, 99))
def test_adam_has_the_reference_bits_and_writes_nowhere_else(
    dtype: str, block: int, shape: tuple[int, ...], layouts: tuple[str, ...], how: dict[str, Any], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = [np.asarray(sign * rng.uniform(0.01, 1, shape), dtype) for sign in (1, -1, 1, 1)]
    buffers, views = zip(*map(placed, values, layouts), strict=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optim, "_BLOCK", block)
        optim.adam_(*views, **how)
    reference.adam_(*values, **how)
    for name, buffer, after, layout in zip("pgmv", buffers, values, layouts, strict=True):
        assert buffer.tobytes() == placed(after, layout)[0].tobytes(), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("block", [7, 2**60], ids=["parallel", "serial"])
@given(shape=shapes, layouts=st.tuples(*[st.just("plain") | st.sampled_from(LAYOUTS)] * 5), seed=st.integers(0, 99),
       name=st.sampled_from(["sgd_", "rmsprop_"]), momentum=st.sampled_from([0.0, 0.9]), choice=st.booleans(),
       decay=st.sampled_from([0.0, 0.01, 1.0]))
def test_sgd_and_rmsprop_likewise(dtype: str, block: int, shape: tuple[int, ...], layouts: tuple[str, ...], seed: int,
                                  name: str, momentum: float, choice: bool, decay: float) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    values = [np.asarray(sign * rng.uniform(0.01, 1, shape), dtype) for sign in (1, -1, 1, 1, 1)]
    how = {"lr": 0.3, "momentum": momentum, "weight_decay": decay}
    how |= {"nesterov": choice} if name == "sgd_" else {"alpha": 0.9, "eps": 1e-8}
    buffers, views = zip(*map(placed, values, layouts), strict=True)
    count = 3 if name == "sgd_" else 5 if choice else 4  # p g m, or p g v m and mean
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optim, "_BLOCK", block)
        getattr(optim, name)(*views[:count], **how)
    getattr(reference, name)(*values[:count], **how)
    for i, (buffer, after, layout) in enumerate(zip(buffers, values, layouts, strict=True)):
        assert buffer.tobytes() == placed(after, layout)[0].tobytes(), (name, i)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layouts_are_what_they_say(layout: str) -> None:
    _, view = placed(np.arange(12, dtype="float32").reshape(3, 4), layout)
    assert view.tolist() == np.arange(12).reshape(3, 4).tolist()
    assert view.flags.carray == (layout == "plain")
    assert view.flags.aligned == (layout != "misaligned")


def test_adam_takes_a_gradient_of_stride_zero() -> None:
    """What the gradient of a sum is."""
    ours, theirs = ([np.ones((5, 3)), np.broadcast_to(0.5, (5, 3)), np.zeros((5, 3)), np.zeros((5, 3))] for _ in "ab")
    how = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "step": 1, "weight_decay": 0.0, "decoupled": False}
    optim.adam_(*ours, **how)
    reference.adam_(*theirs, **how)
    for a, b in zip(ours, theirs, strict=True):
        assert np.array_equal(a, b)


# The kernels that fill a new array: compiled code that went past its end would damage what lies there.
FILLS = ["_uniform32", "_uniform64", "_normal32", "_normal64", "_bernoulli"]


@pytest.mark.parametrize("canary", [0, 1])  # a bool has no third value to put there
@pytest.mark.parametrize("name", FILLS)
def test_a_fill_writes_its_stretch_and_nothing_else(name: str, canary: int) -> None:
    dtype = {"32": np.float32, "64": np.float64, "li": np.bool_}[name[-2:]]
    lanes = 2 if dtype == np.float64 else 4
    large = 5 if numba.config.DISABLE_JIT else 2 * random._BLOCK + 5
    more = [np.uint64(2**31)] if name == "_bernoulli" else []
    start, key = tuple(np.uint64(i) for i in range(4)), (np.uint64(8), np.uint64(9))
    for counters in (0, 1, large):
        whole = np.full(counters * lanes + 128, canary, dtype)
        other = np.full(counters * lanes + 128, 1 - canary, dtype)
        for buffer in (whole, other):
            share(getattr(random, name), counters, random._BLOCK, buffer[64:-64], start, key, *more)
        assert (whole[:64] == canary).all()
        assert (whole[-64:] == canary).all()
        assert np.array_equal(whole[64:-64], other[64:-64])  # so each element was written


# Where the compiled code is kept. A file in the place of __pycache__ refuses it to everyone, root included.
USE = """
import numpy as np
from copied.cpu import random
from copied.reference import random as reference
ours, theirs = (k.uniform(1, 2, shape=(999,), dtype="float32", like=np.empty(0)) for k in (random, reference))
assert np.array_equal(ours, theirs)
"""


@pytest.mark.parametrize("kept", ["beside the source", "for the user", "nowhere"])
def test_a_package_that_cannot_be_written_to_works(tmp_path: Path, kept: str) -> None:
    shutil.copytree(ROOT / "kernels", tmp_path / "copied", ignore=shutil.ignore_patterns("__pycache__"))
    home = tmp_path / "home"
    if kept != "beside the source":
        (tmp_path / "copied/cpu/__pycache__").touch()
    if kept == "nowhere":
        home.touch()
    env = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    env |= dict.fromkeys(["HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"], str(home))
    run = subprocess.run([sys.executable, "-c", USE], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    places = {"beside the source" if "copied" in file.parts else "for the user" for file in tmp_path.rglob("*.nbi")}
    assert places == ({kept} - {"nowhere"})


def test_numbers_do_not_depend_on_what_was_compiled_before() -> None:
    """The same kernel called for both dtypes in turn, at sizes around one counter."""
    for n in (0, 1, 2, 3, 5):
        for dtype in ("float32", "float64", "float32"):
            ours, theirs = (k.uniform(1, n, shape=(n,), dtype=dtype, like=np.empty(0)) for k in (random, reference))
            assert (ours.dtype, ours.tolist()) == (theirs.dtype, theirs.tolist())
