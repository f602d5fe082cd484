"""load_weights and convert_weights: foreign files read safely, foreign layouts turned into ours."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from tinyart.errors import ArgumentError, FormatError
from tinyart.io import convert_weights, load_weights

RNG = np.random.default_rng(7)


def npy_bytes(array, version=None):
    buffer = io.BytesIO()
    npy.write_array(buffer, array, version=version)
    return buffer.getvalue()


def zip_of(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


# ---- npz


@pytest.mark.parametrize("writer", [np.savez, np.savez_compressed])
def test_npz_comes_back(tmp_path, writer):
    state = {
        "dense/kernel:0": RNG.normal(size=(3, 4)).astype(np.float32),
        "turned": np.asfortranarray(RNG.normal(size=(2, 5, 3))),
        "big_endian": np.arange(5, dtype=">i4"),
        "scalar": np.array(3.5),
        "empty": np.zeros((0, 4), np.uint8),
    }
    writer(tmp_path / "w.npz", **state)
    loaded = load_weights(tmp_path / "w.npz")
    assert loaded.keys() == state.keys()
    for name, array in state.items():
        assert loaded[name].dtype == array.dtype.newbyteorder("=")
        assert loaded[name].shape == array.shape
        assert (loaded[name] == array).all()
        loaded[name][...] = 0  # writable


def test_npy_version_2_and_no_other(tmp_path):
    zip_of(tmp_path / "w.npz", {"w.npy": npy_bytes(np.arange(3), (2, 0))})
    assert load_weights(tmp_path / "w.npz")["w"].tolist() == [0, 1, 2]
    zip_of(tmp_path / "w.npz", {"w.npy": npy_bytes(np.arange(3), (3, 0))})
    with pytest.raises(FormatError, match=r"w\.npy has npy version \(3, 0\)"):
        load_weights(tmp_path / "w.npz")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a file was unpickled",))


def test_objects_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "w.npz", w=np.array([Bomb()], dtype=object))
    with pytest.raises(FormatError, match=r"w\.npz: .*w\.npy has dtype object"):
        load_weights(tmp_path / "w.npz")
    (tmp_path / "p.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FormatError, match=r"p\.npz: expected an npz file of plain arrays, got BadZipFile"):
        load_weights(tmp_path / "p.npz")


def header_of(shape, dtype="<f4", size=0):
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(size)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"w.npy": header_of("(2**40,)")}, "w.npz: .* malformed node"),
        ({"w.npy": header_of(f"({2**40},)")}, "claims shape"),
        ({"w.npy": header_of(f"({2**31}, {2**31}, 0, 5)")}, "w.npz"),
        ({"w.npy": header_of("(-2, -3)", size=24)}, "w.npz"),
        ({"w.npy": header_of("(3,)", size=16)}, "claims shape"),
        ({"w.npy": header_of("(3,)", size=8)}, "claims shape"),
        ({"w.npy": header_of("(1,)", "|V4", 4)}, "has dtype"),
        ({"w.npy": header_of("(1,)", "<U1", 4)}, "has dtype"),
        ({"w.npy": header_of("(" + "1," * 70 + ")", size=4)}, "w.npz"),
        ({"w.npy": b""}, "w.npz"),
        ({"w.txt": b"hello"}, "w.npz"),
    ],
)
def test_npz_headers_that_lie(tmp_path, members, words):
    zip_of(tmp_path / "w.npz", members)
    with pytest.raises(FormatError, match=words):
        load_weights(tmp_path / "w.npz")


def test_npz_bombs_are_refused_before_they_are_unpacked(tmp_path):
    zip_of(tmp_path / "w.npz", {"w.npy": header_of("(25000000,)", size=100_000_000)})
    assert (tmp_path / "w.npz").stat().st_size < 200_000
    with pytest.raises(FormatError, match="more than max_bytes=1000000"):
        load_weights(tmp_path / "w.npz", max_bytes=1_000_000)
    assert load_weights(tmp_path / "w.npz")["w"].shape == (25_000_000,)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_methods_that_numpy_never_writes(tmp_path, method):
    zip_of(tmp_path / "w.npz", {"w.npy": npy_bytes(np.ones(3))}, method)
    with pytest.raises(FormatError, match="packed by method"):
        load_weights(tmp_path / "w.npz")


def test_two_members_of_one_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("w.npy", npy_bytes(np.ones(3)))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("w.npy", npy_bytes(np.zeros(3)))
    with pytest.raises(FormatError, match="two members of the same name"):
        load_weights(tmp_path / "w.npz")


def test_a_name_of_another_kind_of_file(tmp_path):
    with pytest.raises(ArgumentError, match=r"got .*model\.h5\. Fix: save the weights with safetensors"):
        load_weights(tmp_path / "model.h5")


def test_damaged_npz_files_give_the_same_arrays_or_a_format_error(tmp_path):
    """600 flips, cuts and overwritten stretches. A flip in bytes that a zip does not read may be harmless."""
    state = {"a": RNG.normal(size=(8, 8)), "b": np.arange(20)}
    np.savez_compressed(tmp_path / "good.npz", **state)
    content = (tmp_path / "good.npz").read_bytes()
    rng, path = np.random.default_rng(3), tmp_path / "w.npz"
    refused = sentences = 0
    for case in range(600):
        damaged = bytearray(content)
        place = int(rng.integers(len(content)))
        if case % 3 == 0:
            damaged[place] ^= 1 << int(rng.integers(8))
        elif case % 3 == 1:
            del damaged[place:]
        else:
            damaged[place : place + 16] = rng.bytes(16)
        path.write_bytes(damaged)
        try:
            arrays = load_weights(path)
        except FormatError as error:
            refused += "w.npz" in str(error) and "\n" not in str(error)
            sentences += 1
        else:  # the names are not covered by the zip's checksums: convert_weights reports those
            for array, right in zip(arrays.values(), state.values(), strict=True):
                assert array.tobytes() == right.tobytes()
    assert refused == sentences > 400


# ---- conversion


def conv_channels_last(x, w, groups):
    """y[n, i, j, o] = sum x[n, i + a, j + b, group of o's channel c] w[a, b, c, o], stride 1, no padding."""
    kh, kw, per_group, outputs = w.shape
    n, height, width, _ = x.shape
    y = np.zeros((n, height - kh + 1, width - kw + 1, outputs))
    for o in range(outputs):
        first = (o // (outputs // groups)) * per_group
        for a, b, c in np.ndindex(kh, kw, per_group):
            y[..., o] += x[:, a : a + y.shape[1], b : b + y.shape[2], first + c] * w[a, b, c, o]
    return y


def conv_transposed_channels_last(x, w, groups):
    """The adjoint: y[n, i + a, j + b, group of c's channel o] += x[n, i, j, c] w[a, b, o, c]."""
    kh, kw, per_group, inputs = w.shape
    n, height, width, _ = x.shape
    y = np.zeros((n, height + kh - 1, width + kw - 1, per_group * groups))
    for c in range(inputs):
        first = (c // (inputs // groups)) * per_group
        for a, b, o in np.ndindex(kh, kw, per_group):
            y[:, a : a + height, b : b + width, first + o] += x[..., c] * w[a, b, o, c]
    return y


CONVOLUTIONS = [  # inputs, outputs, kernel, groups; the first has a distinct size on every axis
    (3, 5, (2, 4), 1),
    (6, 9, (2, 4), 3),
    (4, 4, (4, 4), 1),
    (4, 4, (2, 2), 2),
]


@pytest.mark.parametrize(("inputs", "outputs", "kernel", "groups"), CONVOLUTIONS)
@pytest.mark.parametrize("transposed", [False, True])
def test_convolutions_of_pytorch_compute_the_same(tmp_path, inputs, outputs, kernel, groups, transposed):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    torch.manual_seed(1)
    kind = torch.nn.ConvTranspose2d if transposed else torch.nn.Conv2d
    theirs = torch.nn.Sequential(kind(inputs, outputs, kernel, groups=groups)).double()
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    per_group = (outputs, inputs) if transposed else (inputs, outputs)
    shape = (*kernel, per_group[0] // groups, per_group[1])
    ours = convert_weights(
        load_weights(tmp_path / "w.safetensors"), {"0.weight": shape, "0.bias": (outputs,)}, source="pytorch"
    )
    x = RNG.normal(size=(2, 6, 7, inputs))
    forward = conv_transposed_channels_last if transposed else conv_channels_last
    y = forward(x, ours["0.weight"], groups) + ours["0.bias"]
    expected = theirs(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).detach().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("inputs", "outputs", "kernel", "groups"), [(3, 5, 4, 1), (6, 4, 3, 2), (3, 3, 3, 1)]
)
def test_conv1d_of_pytorch_computes_the_same(inputs, outputs, kernel, groups):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Conv1d(inputs, outputs, kernel, groups=groups, bias=False).double()
    state = {"c.weight": theirs.weight.detach().numpy()}
    ours = convert_weights(state, {"c.weight": (kernel, inputs // groups, outputs)}, source="pytorch")
    x = RNG.normal(size=(2, 9, inputs))
    y = conv_channels_last(x[:, None], ours["c.weight"][None], groups)[:, 0]
    expected = theirs(torch.from_numpy(x.transpose(0, 2, 1).copy())).detach().numpy().transpose(0, 2, 1)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sizes", [(3, 4), (4, 4)])
def test_dense_norm_and_embedding_of_pytorch_compute_the_same(sizes):
    torch = pytest.importorskip("torch")
    inputs, outputs = sizes
    theirs = torch.nn.ModuleDict(
        {
            "table": torch.nn.Embedding(inputs, inputs),
            "dense": torch.nn.Linear(inputs, outputs),
            "norm": torch.nn.BatchNorm1d(outputs),
            "plain": torch.nn.LayerNorm(outputs),
        }
    ).double()
    torch.nn.init.normal_(theirs["norm"].weight)
    torch.nn.init.normal_(theirs["norm"].bias)
    torch.nn.init.normal_(theirs["plain"].weight)
    theirs["norm"](torch.randn(16, outputs, dtype=torch.float64))  # moves the running statistics
    theirs.eval()
    module_state = {
        "table.weight": (inputs, inputs), "dense.weight": (inputs, outputs), "dense.bias": (outputs,),
        "norm.gamma": (outputs,), "norm.beta": (outputs,), "norm.running_mean": (outputs,),
        "norm.running_var": (outputs,), "plain.gamma": (outputs,), "plain.beta": (outputs,),
    }  # fmt: skip
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    ours = convert_weights(state, module_state, source="pytorch", embeddings=["table"])
    assert list(ours) == list(module_state)
    ids = np.arange(inputs)
    y = ours["table.weight"][ids] @ ours["dense.weight"] + ours["dense.bias"]
    y = (y - ours["norm.running_mean"]) / np.sqrt(ours["norm.running_var"] + 1e-5) * ours["norm.gamma"]
    y = y + ours["norm.beta"]
    y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 1e-5)
    y = y * ours["plain.gamma"] + ours["plain.beta"]
    expected = torch.from_numpy(ids)
    for layer in theirs.values():
        expected = layer(expected)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=0, atol=1e-12)


def test_a_dense_layer_behind_a_flattened_image():
    torch = pytest.importorskip("torch")
    c, h, w = 2, 3, 4
    theirs = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(c * h * w, 5)).double()
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    module_state = {"1.weight": (c * h * w, 5), "1.bias": (5,)}
    ours = convert_weights(state, module_state, source="pytorch", flattened={"1": (c, h, w)})
    x = RNG.normal(size=(6, h, w, c))
    y = x.reshape(6, -1) @ ours["1.weight"] + ours["1.bias"]
    expected = theirs(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).detach().numpy()
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)
    with pytest.raises(ArgumentError, match=r"C \* H \* W = 24 at 1, got \(2, 3, 5\)"):
        convert_weights(state, module_state, source="pytorch", flattened={"1": (2, 3, 5)})


def test_keras_layouts_are_ours_and_its_names_are_not():
    state = {
        "sequential/conv2d/kernel": RNG.normal(size=(3, 3, 3, 3)),
        "sequential/conv2d/bias": RNG.normal(size=3),
        "sequential/dense/kernel:0": RNG.normal(size=(4, 4)),
        "norm/gamma": RNG.normal(size=3),
        "norm/beta": RNG.normal(size=3),
        "norm/moving_mean": RNG.normal(size=3),
        "norm/moving_variance": RNG.normal(size=3),
        "embedding/embeddings": RNG.normal(size=(7, 2)),
        "dropout/seed_generator/seed_generator_state": np.zeros(2, np.uint32),
    }
    wanted = {
        "features.0.weight": "sequential/conv2d/kernel",
        "features.0.bias": "sequential/conv2d/bias",
        "dense.weight": "sequential/dense/kernel:0",
        "norm.gamma": "norm/gamma",
        "norm.beta": "norm/beta",
        "norm.running_mean": "norm/moving_mean",
        "norm.running_var": "norm/moving_variance",
        "embedding.weight": "embedding/embeddings",
    }
    ours = convert_weights(
        state,
        {name: state[theirs].shape for name, theirs in wanted.items()},
        source="keras",
        rename={"sequential.conv2d": "features.0", "sequential.dense": "dense"},
    )
    assert ours.keys() == wanted.keys()
    for name, theirs in wanted.items():
        assert (ours[name] == state[theirs]).all()
        assert not np.shares_memory(ours[name], state[theirs])


def test_a_single_layer_has_names_without_a_path():
    weight = RNG.normal(size=(4, 4))
    ours = convert_weights({"weight": weight}, {"weight": (4, 4)}, source="pytorch")
    assert (ours["weight"] == weight.T).all()


def test_missing_extra_and_misshaped_entries_are_all_listed():
    state = {
        "a.weight": np.ones((5, 2)),
        "b.bias": np.ones(3),
        "b.odd": np.ones(1),
        "b.num_batches_tracked": np.ones(()),
    }
    module_state = {"a.weight": (5, 2), "a.bias": (5,), "c.running_mean": (3,)}
    with pytest.raises(FormatError) as caught:
        convert_weights(state, module_state, source="pytorch")
    message = str(caught.value)
    assert "a.weight (5, 2) gives (2, 5), a.weight is (5, 2)" in message
    assert "a.bias (5,) is missing" in message
    assert "c.running_mean (3,) is missing" in message
    assert "b.bias (3,) is extra" in message
    assert "b.odd (1,) is extra" in message
    assert "num_batches_tracked" not in message
    assert "\n" not in message


def test_two_of_theirs_for_one_of_ours():
    state = {"a.bias": np.zeros(3), "b.bias": np.ones(3)}
    with pytest.raises(FormatError, match=r"b\.bias \(3,\) is extra"):
        convert_weights(state, {"a.bias": (3,)}, source="pytorch", rename={"b": "a"})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"source": "torch"}, "source: expected one of pytorch, keras, got 'torch'"),
        ({"source": "pytorch", "rename": {"x": "a"}}, "rename: expected some of a, got x"),
        ({"source": "pytorch", "embeddings": ["tabel"]}, "embeddings: expected some of a, got tabel"),
        ({"source": "pytorch", "flattened": {"y": (1, 2, 2)}}, "flattened: expected some of a, got y"),
    ],
)
def test_settings_that_name_nothing_are_refused(settings, words):
    with pytest.raises(ArgumentError, match=words):
        convert_weights({"a.weight": np.ones((4, 4))}, {"a.weight": (4, 4)}, **settings)
