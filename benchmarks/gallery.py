"""The pictures of examples/gallery, by the command itself: python -m benchmarks.gallery [NAME ..] [--out runs/gallery]

families  all that tinyart draws: a column for each family
tiles     32 x 32 pixel art of the game Dungeon Crawl (CC0), from TINYART_DATA/dcss-tiles
art       three families of the pictures that tinyart draws
folder    a folder of pictures of mixed sizes, formats and modes with broken files among them, made in OUT/folder

Of the last three a DCGAN and a VAE: tiles-dcgan, tiles-vae, art-dcgan, .. Each is trained by `tinyart train` in
OUT/NAME, where a run that is there goes on, and shown by `tinyart sample`. Writes examples/gallery/NAME.png, and the
commands, the last losses, the time and what was said of the broken files into benchmarks/results/gallery.json.
"""

import argparse
import json
import os
import shlex
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tinyart.data import art, save_image, sheet
from tinyart.data.files import data_folders

GALLERY = Path(__file__).parents[1] / "examples" / "gallery"
RESULTS = Path(__file__).parent / "results" / "gallery.json"
OUT = Path("runs/gallery")  # also in the commands that are written down, wherever a run was
DCGAN = "--batch 32 --width 32"
VAE = "--batch 64 --hidden 512 --latent 32 --activation leaky_relu --decoder gaussian"
SETTINGS = {
    "tiles-dcgan": f"dcgan {DCGAN} --epochs 20",
    "tiles-vae": f"vae {VAE} --epochs 25",
    "art-dcgan": f"dcgan {DCGAN} --epochs 30",
    "art-vae": f"vae {VAE} --epochs 40",
    "folder-dcgan": f"dcgan {DCGAN} --epochs 250",
    "folder-vae": f"vae {VAE.replace('gaussian', 'bernoulli')} --epochs 100",
}
NAMES = ["families", *SETTINGS]
DRAWN = ("sunsets", "plants", "roses")
# Pillow's format and mode of each picture in turn.
KINDS = (("PNG", "RGB"), ("JPEG", "RGB"), ("PNG", "P"), ("WEBP", "RGB"), ("PNG", "RGBA"), ("BMP", "RGB"), ("GIF", "P"),
         ("JPEG", "CMYK"), ("PNG", "L"), ("PNG", "LA"), ("PNG", "I;16"), ("PNG", "1"), ("JPEG", "L"), ("WEBP", "RGBA"))


# ---- the folder


def drawings() -> np.ndarray:
    """uint8 (240, 96, 96, 3)"""
    return art(800, size=96, families=DRAWN)[0]


def make_folder(folder: Path, pictures: np.ndarray) -> None:
    """The pictures, cut to 40 to 96 pixels a side, in all kinds, and eleven files that are none."""
    rng = np.random.default_rng(0)
    for i, picture in enumerate(pictures):
        name, mode = KINDS[i % len(KINDS)]
        width, height = rng.integers(40, 97, 2).tolist()
        image = Image.fromarray(picture).resize((max(width, height),) * 2)
        image = image.crop(((image.width - width) // 2, (image.height - height) // 2,
                            (image.width + width) // 2, (image.height + height) // 2))
        place = folder / ("wide" if width > height else "high")
        place.mkdir(parents=True, exist_ok=True)
        _in_mode(image, mode).save(place / f"{i:03}.{name.lower()}", name)
    _break(folder / "broken")


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257)
    if mode in ("LA", "RGBA"):
        image = image.convert(mode)
        image.putalpha(Image.radial_gradient("L").resize(image.size).point(lambda value: 255 - value // 3))
        return image
    return image.convert(mode)


def _break(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    image = Image.fromarray(art(1, size=48)[0][0])
    whole = {}
    for name in ("png", "jpeg", "webp", "gif"):
        image.save(folder / f"whole.{name}")
        whole[name] = (folder / f"whole.{name}").read_bytes()
        (folder / f"whole.{name}").unlink()
    for name, content in whole.items():
        (folder / f"half.{name}").write_bytes(content[: len(content) // 2])
    flipped = bytearray(whole["png"])
    flipped[len(flipped) // 2] ^= 1
    (folder / "one bit flipped.png").write_bytes(flipped)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "a text.png").write_text("This is not a picture.\n")
    (folder / "a web page.jpg").write_text("<html><body>404 Not Found</body></html>\n")
    (folder / "a bomb.png").write_bytes(_bomb(60_000))
    image.save(folder / "another format.tiff")
    (folder / "a link to nowhere.png").symlink_to("nowhere.png")


def _bomb(side: int) -> bytes:
    """A PNG of a few hundred bytes that says it has side² pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    content = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + content + chunk(b"IEND", b"")


# ---- the command


def data_of(name: str, out: Path) -> str:
    kind = name.partition("-")[0]
    if kind == "art":
        return f"art:{','.join(DRAWN)}"
    if kind == "tiles":
        found = [folder / "tiles32.npz" for folder in data_folders("dcss-tiles")]
        return str(next((path for path in found if path.exists()), found[0]))
    if not (out / "folder").exists():
        make_folder(out / "folder", drawings())
    return str(out / "folder")


def tinyart(*arguments: str) -> list[str]:
    """Run the command, show what it says as it says it, and give it back."""
    with subprocess.Popen([sys.executable, "-m", "tinyart", *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            print(line, end="", flush=True)
            said.append(line.rstrip())
    if process.returncode:
        sys.exit(process.returncode)
    return said


def show(name: str, out: Path) -> dict[str, Any]:
    data, start = data_of(name, out), time.perf_counter()
    model, *settings = SETTINGS[name].split()
    train = ["train", model, "--data", data, "--out", str(out / name), *settings]
    sample = ["sample", str(out / name), "--out", str(GALLERY / f"{name}.png"), "-n", "36"]
    said = tinyart(*train)
    tinyart(*sample)
    read = [line.strip().replace(str(out), "OUT") for line in said if "files skipped" in line or "read_image" in line]
    if name.startswith("folder"):
        images, broken = read[0].split(" images read, ")
        assert (int(images), int(broken.split()[0]), len(read)) == (240, 11, 12), read
    public = shlex.join(train).replace(str(data_folders("dcss-tiles")[0].parent), "$TINYART_DATA")
    return {"commands": [f"tinyart {command}".replace(str(GALLERY), "examples/gallery").replace(str(out), str(OUT))
                         for command in (public, shlex.join(sample))],
            "losses": [line for line in said if line.startswith("epoch ")][-1:],
            "seconds of this call": round(time.perf_counter() - start), "cpus": os.cpu_count(),
            **({"said of the folder": read} if read else {})}


def main(names: list[str], out: Path) -> None:
    for name in names:
        if name == "families":
            save_image(GALLERY / "families.png", sheet(art(60, size=48, seed=3)[0], columns=10, gap=2))
            continue
        figures = show(name, out)
        known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps(known | {name: figures}, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--out", type=Path, default=OUT)
    main(**vars(parser.parse_args()))
