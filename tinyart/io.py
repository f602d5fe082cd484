"""Arrays in files: safetensors files that prove themselves, and the weights of PyTorch and Keras.

A file that `save` wrote carries a SHA-256 digest, because the format has no checksum of its own: without one,
every single flipped bit among the weights loads silently.
"""

import json
import math
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinyart.errors import ArgumentError, DtypeError, FormatError

if TYPE_CHECKING:
    import zipfile

Array = NDArray[Any]
PathLike = str | os.PathLike[str]

DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bool": "BOOL",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
}
HEADER_LIMIT = 16 << 20  # bytes; some 100,000 arrays

# Two keys, so that no single flipped bit can pass our file off as one that never had a digest.
METADATA_KEY, DIGEST_KEY = "tinyart.metadata", "tinyart.sha256"

ANOTHER_COPY = "the file is damaged or of another kind: use another copy"


# ---- save and load


def save(path: PathLike, state: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
    """Write a state dict, name -> array or Tensor, and JSON metadata as one safetensors file.

    The same content gives the same bytes. The file appears whole or not at all: it is written under a
    temporary name, fsynced and renamed, and the folder is fsynced. Format: huggingface/safetensors, README.
    The library is not used here since it writes metadata in random order and needs two more copies in memory.

    Raises ArgumentError and DtypeError for what the format cannot hold, OSError where the disk refuses.
    """
    arrays = {_checked_name(name): _host_array(name, value) for name, value in state.items()}
    text = _metadata_text(metadata or {})
    header: dict[str, Any] = {"__metadata__": {METADATA_KEY: text, DIGEST_KEY: _digest(arrays, text)}}
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))  # wide first: all stay aligned
    end = 0
    for name in order:
        array, start = arrays[name], end
        end += array.nbytes
        header[name] = {"dtype": DTYPES[array.dtype.name], "shape": array.shape, "data_offsets": (start, end)}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    if len(encoded) > HEADER_LIMIT:
        expected = f"names and metadata of at most {HEADER_LIMIT} bytes"
        raise ArgumentError("save", "state", expected, str(len(encoded)), fix="store large values as arrays")
    prefix = len(encoded).to_bytes(8, "little")
    _replace_file(Path(path), [memoryview(prefix + encoded), *(_bytes(arrays[name]) for name in order)])


def load(path: PathLike) -> dict[str, Array]:
    """The arrays of a safetensors file, by name. Writable copies; at most the file's size is allocated.

    A file of `save` is verified by its digest; one from elsewhere has none and loads as it is.
    Raises FormatError for a damaged file, OSError for one that cannot be opened.
    """
    return read_safetensors(path)[0]


def read_safetensors(
    path: PathLike, *, require_digest: bool = False
) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays and the metadata of a safetensors file; see `load`."""
    from safetensors import safe_open

    _check_header_length(path)
    with _refused_as_format_error(path, "a safetensors file"):
        with safe_open(os.fspath(path), framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
            arrays: dict[str, Array] = {name: file.get_tensor(name) for name in sorted(file.keys())}
        if require_digest or METADATA_KEY in metadata or DIGEST_KEY in metadata:
            text = metadata.get(METADATA_KEY, "")
            if metadata.get(DIGEST_KEY) != _digest(arrays, text):
                expected = "contents that agree with their SHA-256 digest"
                raise FormatError("load", os.fspath(path), expected, "others", fix=ANOTHER_COPY)
            return arrays, dict(json.loads(text))
    return arrays, dict(metadata)


def _checked_name(name: object) -> str:
    if not (isinstance(name, str) and name.isprintable() and name != "__metadata__"):
        raise ArgumentError("save", "state", "printable names other than '__metadata__'", ascii(name))
    return name


def _host_array(name: str, value: Any) -> Array:
    """A Tensor's or array's values in this machine's memory, contiguous and little-endian."""
    value = getattr(value, "array", value)
    value = value.get() if hasattr(value, "get") else value  # CuPy's copy to the host
    array = np.asarray(value, order="C")
    if array.dtype.name not in DTYPES:
        raise DtypeError("save", name, f"one of {', '.join(DTYPES)}", str(array.dtype))
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _metadata_text(metadata: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(metadata), sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        fix = "convert to int, float, str, list or dict; arrays go into the state"
        raise ArgumentError("save", "metadata", "values that JSON can hold", str(error), fix=fix) from error


def _bytes(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data  # a view, also of zero and of 0-d arrays


def _digest(arrays: Mapping[str, Array], metadata: str) -> str:
    """SHA-256 over names, dtypes, shapes and metadata, then over the bytes in the order of the names."""
    names = sorted(arrays)
    index = [[name, arrays[name].dtype.name, arrays[name].shape] for name in names]
    import hashlib  # here and below at first use: a third of the time of `import tinyart`

    sha = hashlib.sha256(json.dumps([index, metadata]).encode())
    for name in names:
        sha.update(_bytes(arrays[name]))
    return sha.hexdigest()


def _replace_file(path: Path, chunks: Iterable[memoryview]) -> None:
    """Put the chunks at `path`: through any failure or power cut, the old or the new file is there, whole."""
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        _write_synced(temporary, chunks)
        os.replace(temporary, path)
        _sync_folder(path.parent)  # the rename itself must survive a power cut
    except OSError as error:
        raise OSError(error.errno, f"save: {error.strerror}", str(path)) from error
    finally:
        with suppress(OSError):
            os.unlink(temporary)  # there only after a failure


def _write_synced(path: Path, chunks: Iterable[memoryview]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        for chunk in chunks:
            while chunk:
                chunk = chunk[os.write(descriptor, chunk) :]  # a full disk may take a part
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_header_length(path: PathLike) -> None:
    """Refuse, before anything is allocated, a header longer than the file or than any honest one."""
    size = _regular_size(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > min(size - 8, HEADER_LIMIT):
        expected = f"a safetensors header within the file and of at most {HEADER_LIMIT} bytes"
        got = f"{length} bytes in a file of {size}"
        raise FormatError("load", os.fspath(path), expected, got, fix=ANOTHER_COPY)


def _regular_size(path: PathLike) -> int:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise FormatError("load", os.fspath(path), "a regular file", "a folder, pipe or device")
    return status.st_size


@contextmanager
def _refused_as_format_error(path: PathLike, expected: str) -> Iterator[None]:
    """Whatever a library raises over a file's contents becomes one FormatError that names the file."""
    try:
        yield
    except FormatError:
        raise
    except Exception as error:
        first_line = str(error).strip().partition("\n")[0][:200]
        got = f"{type(error).__name__}: {first_line}"
        raise FormatError("load", os.fspath(path), expected, got, fix=ANOTHER_COPY) from error


# ---- weights of other frameworks


def load_weights(path: PathLike, *, max_bytes: int = 4 << 30) -> dict[str, Array]:
    """The arrays of a foreign `.safetensors` or `.npz` file as they are; `convert_weights` comes next.

    max_bytes: the most that an npz may unpack to, in bytes; checked before anything is unpacked.
    """
    suffix = Path(path).suffix
    if suffix == ".safetensors":
        return load(path)
    if suffix != ".npz":
        fix = "save the weights with safetensors or numpy.savez first"
        raise ArgumentError("load_weights", "path", "*.safetensors or *.npz", os.fspath(path), fix=fix)
    _regular_size(path)
    with open(path, "rb") as file, _refused_as_format_error(path, "an npz file of plain arrays"):
        return _read_npz(file, max_bytes)


def _read_npz(file: IO[bytes], max_bytes: int) -> dict[str, Array]:
    import zipfile

    archive = zipfile.ZipFile(file)
    members = archive.infolist()
    if (total := sum(member.file_size for member in members)) > max_bytes:
        raise ValueError(f"it would unpack to {total} bytes, more than max_bytes={max_bytes}")
    if len({member.filename for member in members}) < len(members):
        raise ValueError("two members of the same name")
    arrays = {}
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # numpy writes no others
            raise ValueError(f"{member.filename} is packed by method {member.compress_type}")
        with archive.open(member) as content:
            arrays[member.filename.removesuffix(".npy")] = _read_npy(content, member)
    return arrays


def _read_npy(content: IO[bytes], member: "zipfile.ZipInfo") -> Array:
    """One array; numpy's own reader would allocate whatever the header claims before it reads."""
    version = np.lib.format.read_magic(content)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{member.filename} has npy version {version}")
    formats = np.lib.format
    read_header = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
    shape, fortran_order, dtype = read_header(content)
    if dtype.name not in DTYPES:
        raise ValueError(f"{member.filename} has dtype {dtype}")
    size = math.prod(shape) * dtype.itemsize
    if content.tell() + size != member.file_size:
        raise ValueError(f"{member.filename} claims shape {shape} in {member.file_size} bytes")
    data = bytearray(content.read(size))
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)


class Source(NamedTuple):
    """How a framework names and lays out what tinyart has too.

    names: its parameter name -> ours, the first that the module has (PyTorch calls a norm's scale `weight`).
    axes: (its name, dimensions) -> the transpose into our layout; absent: the layout is ours.
    unused: names of values that tinyart does not have.
    """

    names: Mapping[str, tuple[str, ...]]
    axes: Mapping[tuple[str, int], tuple[int, ...]]
    unused: Collection[str]


SOURCES = {
    "pytorch": Source(
        names={
            "weight": ("gamma", "weight"),
            "bias": ("beta", "bias"),
            "running_mean": ("running_mean",),
            "running_var": ("running_var",),
            **{name: (name,) for name in "WRb"},  # what `_joined_cells` makes
        },
        axes={
            ("weight", 2): (1, 0),  # (O, I) -> (I, O)
            ("weight", 3): (2, 1, 0),  # (O, I/g, K) -> (K, I/g, O)
            ("weight", 4): (2, 3, 1, 0),  # (O, I/g, KH, KW) -> (KH, KW, I/g, O); transposed: O and I swapped
        },
        unused=("num_batches_tracked",),
    ),
    "keras": Source(
        names={
            "kernel": ("weight",),
            "embeddings": ("weight",),
            "bias": ("bias",),
            "gamma": ("gamma",),
            "beta": ("beta",),
            "moving_mean": ("running_mean",),
            "moving_variance": ("running_var",),
        },
        axes={},
        unused=("seed_generator_state",),
    ),
}


def convert_weights(
    state: Mapping[str, Array],
    module_state: Mapping[str, tuple[int, ...]],
    *,
    source: str,
    rename: Mapping[str, str] | None = None,
    embeddings: Collection[str] = (),
    flattened: Mapping[str, tuple[int, int, int]] | None = None,
) -> dict[str, Array]:
    """A foreign state dict under a tinyart module's names and in its layouts, ready to be loaded into it.

    module_state: the module's names -> shapes. source: "pytorch" or "keras".
    rename: their module path -> ours, where the two differ ("conv2d_1" -> "features.0").
    embeddings: our paths of Embedding layers, whose (V, F) weight PyTorch stores as we do; no shape tells a
    square one from a Dense layer's (O, I).
    flattened: our path of a Dense layer that reads a flattened image -> its (C, H, W), where the weights were
    trained channels first, as in PyTorch: our rows are channels last, and no shape shows the difference.
    PyTorch's recurrent weights (weight_ih_l0, ..) become a layer's "0.W", "0.R" and "0.b"; `recurrent_to_pytorch` goes
    back.

    Raises FormatError that lists every missing, extra and mis-shaped entry, ArgumentError for a setting that
    names nothing.
    """
    if source not in SOURCES:
        raise ArgumentError("convert_weights", "source", f"one of {', '.join(SOURCES)}", repr(source))
    rename, flattened = rename or {}, flattened or {}
    matrices = {_split(name)[0] for name, shape in module_state.items() if len(shape) == 2}
    _check_paths("rename", rename, {_split(name)[0] for name in state})
    _check_paths("embeddings", embeddings, matrices)
    _check_paths("flattened", flattened, matrices)

    if source == "pytorch":
        state = _joined_cells(state, rename)
    named, mistakes = _under_our_names(state, module_state, SOURCES[source], rename)
    converted = {}
    for name, shape in module_state.items():
        if name not in named:
            mistakes.append(f"{name} {shape} is missing")
            continue
        their_name, array = named[name]
        path, axes = _split(name)[0], SOURCES[source].axes.get((_split(their_name)[1], array.ndim))
        ours = array if axes is None or path in embeddings else array.transpose(axes)
        if ours.shape != shape:
            mistakes.append(f"{their_name} {array.shape} gives {ours.shape}, {name} is {shape}")
        elif path in flattened and ours.ndim == 2:
            ours = _channels_last_rows(path, ours, flattened[path])
        converted[name] = ours.copy(order="C")
    if mistakes:
        fix = "build the module as the weights were trained, or pair module paths by rename"
        got = "; ".join(mistakes)
        raise FormatError("convert_weights", "state", "the module's names and shapes", got, fix=fix)
    return converted


def _split(name: str) -> tuple[str, str]:
    """Module path and parameter; Keras writes "dense/kernel:0" for what is dense.kernel here."""
    path, _, parameter = name.replace("/", ".").removesuffix(":0").rpartition(".")
    return path, parameter


def _check_paths(setting: str, given: Iterable[str], known: Collection[str]) -> None:
    if unknown := [path for path in given if path not in known]:
        expected = f"some of {', '.join(sorted(known))}"
        raise ArgumentError("convert_weights", setting, expected, ", ".join(unknown))


def _under_our_names(
    state: Mapping[str, Array], module_state: Collection[str], source: Source, rename: Mapping[str, str]
) -> tuple[dict[str, tuple[str, Array]], list[str]]:
    """Our name -> (their name, array), and a sentence for each array that has no place or a taken one."""
    named: dict[str, tuple[str, Array]] = {}
    extra = []
    for their_name, array in state.items():
        path, parameter = _split(their_name)
        if parameter in source.unused:
            continue
        path = rename.get(path, path)
        candidates = [f"{path}.{ours}".lstrip(".") for ours in source.names.get(parameter, ())]
        name = next((ours for ours in candidates if ours in module_state and ours not in named), None)
        if name is None:
            extra.append(f"{their_name} {array.shape} is extra")
        else:
            named[name] = their_name, array
    return named, extra


def _channels_last_rows(path: str, weight: Array, image: tuple[int, int, int]) -> Array:
    c, h, w = image
    if c * h * w != len(weight):
        expected = f"(C, H, W) with C * H * W = {len(weight)} at {path}"
        raise ArgumentError("convert_weights", "flattened", expected, str(image))
    return weight.reshape(c, h, w, -1).transpose(1, 2, 0, 3).reshape(weight.shape)  # (C*H*W, O) -> (H*W*C, O)


# ---- recurrent weights of PyTorch: "lstm.weight_ih_l1_reverse" is our "lstm.1_reverse.W", a cell's "weight_ih" our "W"

_RECURRENT = re.compile(r"(?P<path>(?:.*\.)?)(?P<kind>weight|bias)_(?P<of>ih|hh)(_l(?P<layer>\d+(_reverse)?))?")


def _joined_cells(state: Mapping[str, Array], rename: Mapping[str, str]) -> dict[str, Array]:
    """The state with every recurrent cell's arrays as W, R and b: transposed, and the two biases as one.

    Only the biases' sum matters, but for the n of a GRU: there b_hh stands inside r (h R + b_hh), and b has both.
    """
    joined: dict[str, Array] = {}
    cells: dict[str, dict[str, Array]] = {}
    for name, array in state.items():
        if (match := _RECURRENT.fullmatch(name)) is None:
            joined[name] = array
            continue
        path = match["path"] and rename.get(match["path"][:-1], match["path"][:-1]) + "."
        cell = path + (match["layer"] + "." if match["layer"] else "")
        cells.setdefault(cell, {})[f"{match['kind']}_{match['of']}"] = array
    for cell, arrays in cells.items():
        joined |= {cell + ours: arrays[theirs].T for theirs, ours in (("weight_ih", "W"), ("weight_hh", "R"))
                   if theirs in arrays}
        if "bias_ih" in arrays and "bias_hh" in arrays:
            ih, hh = arrays["bias_ih"], arrays["bias_hh"]
            inner = len(ih) // 3 if "weight_hh" in arrays and len(ih) == 3 * arrays["weight_hh"].shape[-1] else 0
            outer = len(ih) - inner  # of a GRU's r and z
            joined[cell + "b"] = np.concatenate([ih[:outer] + hh[:outer], ih[outer:], hh[outer:]])
    return joined


def recurrent_to_pytorch(state: Mapping[str, Array]) -> dict[str, Array]:
    """The state of an RNN, LSTM, GRU or cell under PyTorch's names and in its layouts; bias_hh is 0 where it may be.

    Raises FormatError for other entries, and for a bias without its R.
    """
    theirs = {}
    for name, array in state.items():
        path, parameter = _split(name)
        first, _, layer = path.rpartition(".")
        R = state.get(f"{path}.R".lstrip("."))
        if parameter not in ("W", "R", "b") or R is None:
            raise FormatError("recurrent_to_pytorch", "state", "W, R and b of recurrent layers", name)
        if re.fullmatch(r"\d+(_reverse)?", layer):
            prefix, suffix = f"{first}.".lstrip("."), f"_l{layer}"
        else:
            prefix, suffix = f"{path}.".lstrip("."), ""
        if parameter == "b":
            hh = np.zeros(R.shape[1], array.dtype)
            hh[2 * len(R) :] = array[R.shape[1] :] if len(array) > R.shape[1] else 0  # the GRU's b' of n
            theirs[f"{prefix}bias_ih{suffix}"], theirs[f"{prefix}bias_hh{suffix}"] = array[: R.shape[1]].copy(), hh
        else:
            theirs[f"{prefix}weight_{'ih' if parameter == 'W' else 'hh'}{suffix}"] = array.T.copy()
    return theirs
