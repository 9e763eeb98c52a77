"""A text as numbers: one for each character that occurs, in three parts that follow each other."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from decision_minrnn.errors import DataError


class Parts(NamedTuple):
    """Where a model learns, is watched, and is measured in the end."""

    train: Int64[ndarray, " characters"]
    validation: Int64[ndarray, " characters"]
    test: Int64[ndarray, " characters"]


class Corpus:
    """The characters of a text; the last shares of it are kept for validation and test."""

    def __init__(self, text: str, validation_share: float = 0.05, test_share: float = 0.05) -> None:
        self.alphabet = "".join(sorted(set(text)))
        self.text, self._shares = text, (validation_share, test_share)

    @staticmethod
    def read(path: Path, validation_share: float = 0.05, test_share: float = 0.05) -> Corpus:
        """Read a file in UTF-8. Raises `DataError` for one that is missing, no text, or empty."""
        try:
            # newlines as they are, so that the text is the file's on every system
            text = path.read_bytes().decode("utf-8")
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}. Expected a text file.") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is no text in UTF-8: {error}.") from error
        if not text:
            raise DataError(f"{path} is empty.")
        return Corpus(text, validation_share, test_share)

    @cached_property
    def parts(self) -> Parts:
        """The three parts, as indices into the alphabet."""
        index = {character: place for place, character in enumerate(self.alphabet)}
        numbers = np.fromiter((index[character] for character in self.text), np.int64, len(self.text))
        validation, test = (round(share * len(numbers)) for share in self._shares)
        end = len(numbers) - test
        return Parts(numbers[: end - validation], numbers[end - validation : end], numbers[end:])

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def decode(self, numbers: Int64[ndarray, " characters"]) -> str:
        """Characters from indices."""
        return "".join(self.alphabet[number] for number in numbers)
