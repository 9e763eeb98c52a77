"""Environments of one's own: the function with which a card registers them with gymnasium.

    register = "my_robots:register"        # module:function, in an environment card

The function is called without arguments, before the first environment with an id of that card is made. Its module is an
installed one, or a file beside the card.

This runs code, on account of a card alone, and a card comes from nowhere but a card folder or a path that the user
gives. Runs, checkpoints and datasets name environments by gymnasium ids and cards by their names: a path that stands in
one of them is not followed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module, invalidate_caches
from types import ModuleType
from typing import Any

from decision_minrnn.cards import EnvCard
from decision_minrnn.errors import ConfigError

_FORM = re.compile(r"(?P<module>\w+(\.\w+)*):(?P<function>\w+)")


def registration(card: EnvCard) -> Callable[[], None]:
    """Import the function that a card names, and return it.

    The card's folder joins the end of Python's import path and stays there, since an environment may be imported when
    it is made.

    Raises `ConfigError` for a name of another form, a module that is not there or cannot be imported, and a function
    that is not in it; the returned function does so when it fails.
    """
    where = f"the card {card.path or card.name}: register = {card.register!r}"
    form = _FORM.fullmatch(card.register)
    if form is None:
        raise ConfigError(f'{where} should have the form "module:function".')
    module = _imported(form["module"], card, where)
    function: Any = getattr(module, form["function"], None)
    if not callable(function):
        what = "is not a function" if hasattr(module, form["function"]) else "is not there"
        raise ConfigError(f"{where}: {form['function']} {what}, in {module.__file__ or module.__name__}.")

    def register() -> None:
        try:
            function()
        except Exception as error:
            raise ConfigError(f"{where} failed: {type(error).__name__}: {error}") from error

    return register


def _imported(name: str, card: EnvCard, where: str) -> ModuleType:
    folder = str(card.path.parent) if card.path else ""
    if folder and folder not in sys.path:
        sys.path.append(folder)
    invalidate_caches()  # the file may be younger than the last look into its folder
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            beside = f", nor is it beside the card in {folder}" if folder else ""
            raise ConfigError(
                f"{where}: the module {error.name} is not installed{beside}. Install the package that has it."
            ) from error
        raise ConfigError(f"{where}: {name} imports {error.name}, which is not installed.") from error
    except Exception as error:
        raise ConfigError(f"{where}: importing {name} failed: {type(error).__name__}: {error}") from error
