"""Encoders: causal sequence models that run in parallel over time and step by step with a state of fixed size.

`build_encoder(name, width, depth, **options)` makes one. A new one is a file here that registers a layer; it is
imported by being here.
"""

from importlib import import_module
from pkgutil import iter_modules

from decision_minrnn.encoders.base import Encoder, encoder_names, register_layer, reset_rows
from decision_minrnn.encoders.stack import build_encoder, encoder_options

__all__ = ["Encoder", "build_encoder", "encoder_names", "encoder_options", "register_layer", "reset_rows"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
