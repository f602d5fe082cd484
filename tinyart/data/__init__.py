"""Pictures, music and text in and out: readers, what is made here, batches, sheets, plots. Arrays are NumPy's."""

from tinyart.data.abc_notation import Note, Tune, parse_abc, read_abc
from tinyart.data.art import FAMILIES, art
from tinyart.data.batches import Batches
from tinyart.data.chorales import jsb_chorales, jsb_voices
from tinyart.data.events import events_tune, tune_events
from tinyart.data.fetch import fetch
from tinyart.data.figures import bars, heatmap, panels, scatter
from tinyart.data.files import Report
from tinyart.data.images import image_archive, image_folder, over, read_image
from tinyart.data.midi import midi_folder, read_midi, write_midi
from tinyart.data.mnist import mnist, read_idx
from tinyart.data.npz import npz_array
from tinyart.data.plot import line_plot, loss_plot
from tinyart.data.score import Score, roll_score, score_picture
from tinyart.data.sheet import save_animation, save_image, sheet, to_uint8
from tinyart.data.sound import write_wav
from tinyart.data.text import encode, read_text, symbols, words
from tinyart.data.tunes import tunes

__all__ = [
    "FAMILIES", "Batches", "Note", "Report", "Score", "Tune", "art", "bars", "encode", "events_tune", "fetch",
    "heatmap", "image_archive", "image_folder", "jsb_chorales", "jsb_voices", "line_plot", "loss_plot", "midi_folder",
    "mnist", "npz_array", "over", "panels", "parse_abc", "read_abc", "read_idx", "read_image", "read_midi",
    "read_text", "roll_score", "save_animation", "save_image", "scatter", "score_picture", "sheet", "symbols",
    "to_uint8", "tune_events", "tunes", "words", "write_midi", "write_wav",
]  # fmt: skip
