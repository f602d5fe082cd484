"""The documents' models. `build` makes a trainer from the settings that a checkpoint holds."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

from tinyart.errors import ArgumentError, FormatError
from tinyart.models.autoencoder import Autoencoder, AutoencoderTrainer
from tinyart.models.char_rnn import CharModel, CharTrainer
from tinyart.models.classifier import ClassifierTrainer
from tinyart.models.composers import CharWriter, ChordComposer, Composer, MelodyComposer
from tinyart.models.dcgan import DCGANTrainer, dcgan
from tinyart.models.gan import GAN, GANTrainer, mlp_gan
from tinyart.models.latent import slerp, walk
from tinyart.models.polyphony import MusicTrainer, PolyphonicModel
from tinyart.models.rnn import RecurrentNetwork
from tinyart.models.seq2seq import TranslatorTrainer
from tinyart.models.tagger import TaggerTrainer
from tinyart.models.vae import VAE, VAETrainer

Trainers = (VAETrainer | AutoencoderTrainer | GANTrainer | DCGANTrainer | ClassifierTrainer | CharWriter | Composer |
            ChordComposer | MelodyComposer)
TRAINERS: dict[str, type[Trainers]] = {"vae": VAETrainer, "autoencoder": AutoencoderTrainer, "gan": GANTrainer,
                                       "dcgan": DCGANTrainer, "classifier": ClassifierTrainer, "char": CharWriter,
                                       "music": Composer, "chords": ChordComposer,
                                       "melody": MelodyComposer}  # fmt: skip


def settings_of(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a trainer, those not given at their defaults, as `build` takes them and JSON keeps them.

    Raises ArgumentError for one that this trainer does not have.
    """
    known = signature(TRAINERS[name]).parameters
    if extra := [key for key in given if key not in known]:
        raise ArgumentError(name, ", ".join(extra), f"settings among {', '.join(known)}", "others")
    settings = {key: p.default for key, p in known.items() if p.default is not p.empty} | dict(given)
    return {"name": name, **{key: list(v) if isinstance(v, tuple) else v for key, v in settings.items()}}


def build(settings: Mapping[str, Any]) -> Trainers:
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
