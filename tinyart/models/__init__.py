"""The documents' models. `build` makes a trainer from the settings that a checkpoint holds."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

from tinyart.errors import FormatError
from tinyart.models.latent import slerp, walk
from tinyart.models.vae import VAE, VAETrainer

TRAINERS = {"vae": VAETrainer}


def build(settings: Mapping[str, Any]) -> VAETrainer:
    """The trainer called settings["name"], made with the other settings. Raises FormatError for unknown ones."""
    rest = dict(settings)
    name = rest.pop("name", None)
    if name not in TRAINERS:
        raise FormatError("build", "name", f"one of {', '.join(TRAINERS)}", repr(name))
    try:
        signature(TRAINERS[name]).bind(**rest)
    except TypeError as error:
        raise FormatError("build", "settings", f"those of {TRAINERS[name].__name__}", str(error)) from error
    return TRAINERS[name](**rest)
