"""Pictures in and pictures out: readers, a drawn data set, batches, sheets, plots. Arrays are NumPy's."""

from tinyart.data.art import FAMILIES, art
from tinyart.data.batches import Batches
from tinyart.data.fetch import fetch
from tinyart.data.images import Report, image_archive, image_folder, over, read_image
from tinyart.data.mnist import mnist, read_idx
from tinyart.data.npz import npz_array
from tinyart.data.plot import loss_plot
from tinyart.data.sheet import save_animation, save_image, sheet, to_uint8

__all__ = [
    "FAMILIES", "Batches", "Report", "art", "fetch", "image_archive", "image_folder", "loss_plot", "mnist",
    "npz_array", "over", "read_idx", "read_image", "save_animation", "save_image", "sheet", "to_uint8",
]  # fmt: skip
