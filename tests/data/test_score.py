"""Piano rolls, scores and MIDI files: each is the other's inverse; sound and pictures show the notes."""

import math
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinyart.data import Score, midi_folder, read_midi, roll_score, score_picture, write_midi, write_wav
from tinyart.data.sound import ATTACK, DECAY, HARMONICS, PEAK, RELEASE, SUSTAIN, envelope, note_wave, sound
from tinyart.errors import ArgumentError, FormatError, ShapeError

mido = pytest.importorskip("mido")
ROLLS = st.integers(0, 30).flatmap(lambda steps: arrays(np.uint8, (steps, 88), elements=st.sampled_from([0, 0, 1])))


def score(*notes: tuple[int, int, int], steps: int = 16, **how: float) -> Score:
    return Score(np.array(notes, int).reshape(-1, 3), steps, **how)  # type: ignore[arg-type]


# ---- rolls and MIDI


@given(ROLLS, st.integers(1, 48), st.floats(5, 900))
def test_roll_to_midi_to_roll_is_the_identity(tmp_path_factory: pytest.TempPathFactory, roll: np.ndarray,
                                              steps_per_beat: int, tempo: float) -> None:
    path = tmp_path_factory.mktemp("midi") / "x.mid"
    write_midi(path, roll_score(roll, steps_per_beat=steps_per_beat, tempo=tempo))
    back = read_midi(path, steps_per_beat=steps_per_beat)
    assert np.array_equal(back.roll(), roll)
    assert back.roll().dtype == np.uint8
    assert back.steps_per_beat == steps_per_beat
    assert back.tempo == pytest.approx(tempo, rel=tempo * 1e-8 + 1e-6)


@given(st.data())
def test_score_to_midi_to_score_keeps_notes_that_are_struck_again(tmp_path_factory: pytest.TempPathFactory,
                                                                  data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 127)), min_size=1, max_size=20))
    ends = np.cumsum([length for length, _ in lengths])
    notes = [(end - length, end, pitch) for (length, pitch), end in zip(lengths, ends, strict=True)]
    before = score(*notes, steps=int(ends[-1]) + data.draw(st.integers(0, 5)))
    path = tmp_path_factory.mktemp("midi") / "x.mid"
    write_midi(path, before, program=19)
    after = read_midi(path)
    assert after.notes.tolist() == before.notes.tolist()
    assert after.steps == before.steps


def test_column_c_of_a_roll_is_note_21_plus_c() -> None:
    roll = score((0, 2, 21), (1, 3, 60), (2, 4, 108), (0, 4, 20), (0, 4, 109), steps=4).roll()
    assert np.argwhere(roll).tolist() == [[0, 0], [1, 0], [1, 39], [2, 39], [2, 87], [3, 87]]


def test_a_score_sorts_its_notes_and_knows_how_long_it_plays() -> None:
    played = score((4, 8, 60), (0, 4, 72), (0, 4, 55), tempo=120, steps_per_beat=2)
    assert played.notes.tolist() == [[0, 4, 55], [0, 4, 72], [4, 8, 60]]
    assert played.seconds == 16 / 2 * 0.5


@pytest.mark.parametrize(("change", "sentence"), [
    ({"notes": np.zeros((2, 4), int)}, r"Score: notes: expected integers \(N, 3\), got int64 \(2, 4\)"),
    ({"notes": np.zeros((2, 3))}, r"expected integers \(N, 3\), got float64"),
    ({"notes": np.array([[3, 3, 60]])}, "expected 0 <= start < end <= 16, 0 <= pitch <= 127"),
    ({"notes": np.array([[3, 17, 60]])}, "start < end <= 16"),
    ({"notes": np.array([[-1, 3, 60]])}, "0 <= start"),
    ({"notes": np.array([[0, 3, 128]])}, "pitch <= 127"),
    ({"steps": 100_001}, "expected at most 100000, 1 to 48, 4 to 1000, got 100001"),
    ({"steps_per_beat": 0}, "1 to 48"),
    ({"tempo": math.nan}, "4 to 1000"),
])  # fmt: skip
def test_a_score_refuses(change: dict[str, object], sentence: str) -> None:
    with pytest.raises((ShapeError, ArgumentError), match=sentence):
        Score(**{"notes": np.array([[0, 4, 60]]), "steps": 16} | change)  # type: ignore[arg-type]


def test_roll_score_refuses_another_shape() -> None:
    with pytest.raises(ShapeError, match=r"roll_score: roll: expected integers \(T, 88\), got uint8 \(3, 87\)"):
        roll_score(np.zeros((3, 87), np.uint8))


# ---- reading what others wrote


def midi(path: Path, *tracks: list[object], **how: int) -> Path:
    mido.MidiFile(tracks=[mido.MidiTrack(track) for track in tracks], **how).save(path)
    return path


def note(kind: str, pitch: int, time: int, **how: int) -> object:
    return mido.Message(kind, note=pitch, time=time, **how)


def test_read_midi_joins_tracks_and_leaves_out_drums(tmp_path: Path) -> None:
    path = midi(tmp_path / "x.mid",
                [mido.MetaMessage("set_tempo", tempo=400_000, time=480), mido.MetaMessage("set_tempo", tempo=300_000)],
                [note("note_on", 60, 0), note("note_on", 60, 480, velocity=0)],
                [note("note_on", 64, 240, channel=3), note("note_off", 64, 240, channel=3)],
                [note("note_on", 40, 0, channel=9), note("note_off", 40, 960, channel=9)])
    found = read_midi(path)
    assert found.notes.tolist() == [[0, 4, 60], [2, 4, 64]]
    assert found.steps == 8
    assert found.tempo == 150


def test_read_midi_rounds_to_the_nearest_step_and_keeps_short_notes(tmp_path: Path) -> None:
    path = midi(tmp_path / "x.mid", [note("note_on", 60, 70), note("note_off", 60, 10), note("note_on", 62, 30),
                                     note("note_off", 62, 120)])
    assert read_midi(path).notes.tolist() == [[1, 2, 60], [1, 2, 62]]  # 70 to 80 and 110 to 230 of 120 ticks
    assert read_midi(path, steps_per_beat=48).notes.tolist() == [[7, 8, 60], [11, 23, 62]]


def test_read_midi_ends_a_note_that_is_struck_again_or_never_let_go(tmp_path: Path) -> None:
    path = midi(tmp_path / "x.mid", [note("note_on", 60, 0), note("note_on", 60, 240), note("note_off", 60, 240),
                                     note("note_on", 62, 0), note("note_off", 70, 480)])
    assert read_midi(path).notes.tolist() == [[0, 2, 60], [2, 4, 60], [4, 8, 62]]


@pytest.mark.parametrize(("content", "sentence"), [
    (b"", "expected a MIDI file, got EOFError"),
    (b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\0\4\0\xff\x2f\0" + b"x" * 5_000_000, "at most 4194304 bytes, got 5000026"),
    (b"RIFF0123456789", "MThd not found"),
    (b"MThd\0\0\0\6\0\1\0\1\xe7\x28MTrk\0\0\0\4\0\xff\x2f\0", "timed in ticks a quarter note, got type 1, -6360 ticks"),
    (b"MThd\0\0\0\6\0\1\0\1\0\0MTrk\0\0\0\4\0\xff\x2f\0", "got type 1, 0 ticks"),
    (b"MThd\0\0\0\6\0\2\0\1\1\xe0MTrk\0\0\0\4\0\xff\x2f\0", "expected type 0 or 1, timed in ticks.*got type 2"),
    (b"MThd\0\0\0\6\0\1\0\1\0\1MTrk\0\0\0\7\x84\x80\x80\x00\xff\x2f\0", "fewer than 100000 steps, got 33554432"),
    (b"MThd\0\0\0\6\0\1\0\1\0\1MTrk\0\1\0\0" + b"\xff" * 9000 + b"\0", "over 4096 bytes"),
    (b"MThd\0\0\0\6\0\1\0\1\0\1MTrk\0\0\0\x0b\0\xff\x51\3\0\0\0\0\xff\x2f\0", "a tempo of 4 to 1000 beats a minute"),
])  # fmt: skip
def test_what_is_no_midi_file_gets_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "x.mid").write_bytes(content)
    with pytest.raises(FormatError, match=sentence) as caught:
        read_midi(tmp_path / "x.mid")
    assert str(tmp_path / "x.mid") in str(caught.value)


def test_settings_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="read_midi: steps_per_beat: expected 1 to 48, got 0"):
        read_midi(tmp_path / "x.mid", steps_per_beat=0)
    with pytest.raises(ArgumentError, match="write_midi: program: expected 0 to 127, got 128"):
        write_midi(tmp_path / "x.mid", score((0, 1, 60)), program=128)
    with pytest.raises(FormatError, match="no regular file of that name"):
        read_midi(tmp_path / "x.mid")


def test_a_missing_mido_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mido", None)
    for call in (lambda: read_midi(tmp_path / "x"), lambda: write_midi(tmp_path / "x", score())):
        with pytest.raises(ArgumentError, match=r"got none installed. Fix: pip install 'tinyart\[music\]'"):
            call()


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut, doubled, or one to eight bits flipped."""
    raw = np.frombuffer(data, np.uint8).copy()
    kind = rng.integers(4)
    if kind != 0:
        for place in rng.integers(0, len(raw) if rng.random() < 0.7 else 24, rng.integers(1, 9)):
            raw[place] ^= 1 << rng.integers(8)
    if kind <= 1:
        raw = raw[: rng.integers(0, len(raw))]
    if kind == 2:
        raw = np.concatenate([raw, raw[rng.integers(0, len(raw)) :]])
    return raw.tobytes()


def test_400_damaged_files_are_refused_or_read(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "x.mid"
    midi(path, [mido.MetaMessage("track_name", name="a tune"), mido.MetaMessage("set_tempo", tempo=500_000),
                mido.MetaMessage("key_signature", key="Bb"), mido.MetaMessage("time_signature", numerator=3),
                mido.Message("sysex", data=(1, 2, 3)), mido.Message("pitchwheel", pitch=5)],
         [event for p in range(50, 80) for event in (note("note_on", p, 0), note("note_off", p, 240))])
    whole, read = path.read_bytes(), 0
    for _ in range(400):
        path.write_bytes(damaged(whole, rng))
        try:
            assert read_midi(path).steps < 100_000
            read += 1
        except FormatError as error:
            assert "\n" not in str(error)  # noqa: PT017  (some are read)
    assert 40 < read < 360


def test_a_folder_gives_what_can_be_read_and_counts_the_rest(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    write_midi(tmp_path / "below" / "a.mid", score((0, 4, 60)))
    write_midi(tmp_path / "b.mid", score((0, 4, 62)))
    write_midi(tmp_path / "silent.mid", score())
    (tmp_path / "broken.mid").write_bytes(b"MThd")
    scores, report = midi_folder(tmp_path)
    assert [found.notes.tolist() for found in scores] == [[[0, 4, 62]], [[0, 4, 60]]]
    assert [path.name for path in report.paths] == ["b.mid", "a.mid"]
    assert str(report).splitlines()[0] == "2 MIDI files read, 2 files skipped"
    assert "broken.mid" in str(report)
    assert "notes of a piano's range, got none" in str(report)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match=r"midi_folder: .*empty'?: expected MIDI files, got 0 files"):
        midi_folder(tmp_path / "empty")
    (tmp_path / "empty" / "x").write_bytes(b"")
    with pytest.raises(FormatError, match="1 files, none of them readable; the first: read_midi"):
        midi_folder(tmp_path / "empty")


# ---- sound


@pytest.mark.parametrize("pitch", [33, 57, 69, 81])
def test_a_note_has_its_frequency_and_harmonics(pitch: int) -> None:
    rate = 22_050
    samples = note_wave(pitch, 1.0, rate)[: rate // 1]
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))  # a bin is 1 Hz
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    heights = [spectrum[round(k * frequency) - 2 : round(k * frequency) + 3].max()
               for k in range(1, HARMONICS + 1) if k * frequency < rate / 2 - 3]
    assert abs(int(spectrum.argmax()) - frequency) <= 1
    assert np.all(np.diff(heights) < 0)
    between = spectrum[round(1.5 * frequency) - 2 : round(1.5 * frequency) + 3].max()
    assert between < heights[-1]


def test_nothing_sounds_above_half_the_sampling_rate() -> None:
    samples = note_wave(108, 0.5, 8000)  # 4186 Hz: nothing of it can be sampled
    assert not samples.any()


def test_the_envelope_rises_falls_to_sustain_and_is_let_go() -> None:
    t = np.linspace(0, 2, 20_001)
    a = envelope(t, 1.0)
    assert a[0] == 0
    assert a.max() == pytest.approx(1, abs=0.01)
    assert t[a.argmax()] == pytest.approx(ATTACK, abs=2e-4)
    assert np.allclose(a[(t > ATTACK + DECAY) & (t < 1)], SUSTAIN)
    assert np.all(np.diff(a[t >= 1]) <= 0)
    assert np.all(a[t >= 1 + RELEASE] == 0)
    assert np.abs(np.diff(a)).max() < 1.01 * (t[1] - t[0]) / ATTACK  # no jump, so no click
    assert np.abs(np.diff(envelope(t, 0.005))).max() < 1.01 * (t[1] - t[0]) / ATTACK


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(1, 8), st.integers(21, 108)), max_size=40))
def test_no_sample_is_clipped(notes: list[tuple[int, int, int]]) -> None:
    samples = sound(score(*((start, start + length, pitch) for start, length, pitch in notes), tempo=400), rate=4000)
    assert samples.dtype == np.float32
    assert np.abs(samples).max() <= PEAK + 1e-6


def test_a_note_is_heard_when_it_is_played() -> None:
    samples = sound(score((8, 12, 69), tempo=60), rate=8000)  # from second 2 to second 3
    assert len(samples) == pytest.approx((4 + RELEASE) * 8000, abs=3)
    loud = np.flatnonzero(np.abs(samples) > 1e-3)
    assert loud[0] / 8000 == pytest.approx(2, abs=0.01)
    assert loud[-1] / 8000 == pytest.approx(3 + RELEASE, abs=0.02)


def test_write_wav_writes_16_bits_mono(tmp_path: Path) -> None:
    write_wav(tmp_path / "x.wav", score((0, 8, 60), (0, 8, 64)), rate=11_025)
    with wave.open(str(tmp_path / "x.wav")) as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (1, 2, 11_025)
        samples = np.frombuffer(wav.readframes(wav.getnframes()), "<i2")
    assert np.array_equal(samples, np.rint(sound(score((0, 8, 60), (0, 8, 64)), rate=11_025) * 32767))
    assert 3000 < np.abs(samples).max() <= PEAK * 32768
    write_wav(tmp_path / "silence.wav", score(steps=0))


def test_sound_refuses_what_would_fill_the_disk() -> None:
    with pytest.raises(ArgumentError, match="at most 1800 seconds, got 22050 Hz, 2500 seconds"):
        sound(score(steps=10_000, tempo=60))
    with pytest.raises(ArgumentError, match="4000 to 96000 Hz"):
        sound(score(), rate=1_000_000)


# ---- pictures


def test_the_picture_shows_each_note_where_it_is() -> None:
    empty, one = score_picture(score((0, 1, 60), (0, 1, 84))), score_picture(score((0, 1, 60), (0, 1, 84), (4, 8, 72)))
    assert empty.shape == one.shape == (29 * 6, 16 * 6, 3)  # from 58 to 86
    rows, columns = np.nonzero((empty != one).any(-1))
    assert (rows.min(), rows.max()) == ((86 - 72) * 6, (86 - 72) * 6 + 4)
    assert (columns.min(), columns.max()) == (4 * 6, 8 * 6 - 2)


def test_the_picture_is_at_least_two_octaves_high_and_never_too_wide() -> None:
    assert score_picture(score((0, 1, 60))).shape[0] == 25 * 6
    assert score_picture(score(steps=0)).shape == (25 * 6, 6, 3)
    assert score_picture(score((0, 1, 0), (0, 1, 127))).shape[0] == 128 * 6
    assert score_picture(score((0, 1, 60), steps=3000)).shape[1] == 6000
    with pytest.raises(ArgumentError, match="score_picture: height: expected 2 to 64 pixels, got 0"):
        score_picture(score(), height=0)
