"""A model on onnxruntime, from what `export` wrote: no torch, full precision, on the processor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

from runtime.errors import OperatorNeeded, UserMistake
from runtime.files import trouble_in_words
from search.catalogue import Make, Model, Vectors
from search.embedders import exported
from search.embedders.device import ONNX
from search.embedders.exported import export_folder, get_export
from search.embedders.parts import embed_in_parts
from search.embedders.preprocess import prepare, preprocessing_name
from search.embedders.tokens import Tokenizer, load_tokenizer
from search.embedders.weights import Places

PROVIDERS = ("CPUExecutionProvider",)
ERRORS_ONLY = 3


class OnnxModel:
    """An exported model: its picture side and, where it reads words, its text side."""

    def __init__(
        self,
        model: Model,
        weights: str,
        picture: onnxruntime.InferenceSession,
        text: tuple[Tokenizer, onnxruntime.InferenceSession] | None,
    ) -> None:
        self._model, self._picture, self._text = model, picture, text
        self.make = Make(model.name, weights, preprocessing_name(model.preprocessing), ONNX)

    def embed_pictures(self, pictures: Sequence[Image.Image]) -> Vectors:
        """Return a unit vector for each picture (RGB), in their order."""
        how = self._model.preprocessing
        return embed_in_parts(self._model, pictures, lambda part: _run(self._picture, prepare(part, how)))

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Return a unit vector for each text, in their order; UserMistake where the model reads no words."""
        if self._text is None:
            raise UserMistake(f"{self._model.name} embeds pictures alone.")
        tokens, session = self._text
        return embed_in_parts(self._model, texts, lambda part: _run(session, tokens(part)))


def load_model(model: Model, places: Places) -> OnnxModel:
    """Return the exported model; OperatorNeeded where it is missing, damaged or made of other weights."""
    made, folder = get_export(model, places), export_folder(model, places)
    text = None
    if made.text_length:
        try:
            tokenizer = load_tokenizer(folder / exported.VOCABULARY, made.text_length)
        except OSError as error:
            raise trouble_in_words(error, folder / exported.VOCABULARY) from error
        text = tokenizer, _session(folder / exported.TEXT)
    return OnnxModel(model, made.weights, _session(folder / exported.PICTURE), text)


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=list(PROVIDERS))
    except MemoryError:
        raise
    except Exception as error:  # onnxruntime has an error for each of its states
        raise OperatorNeeded(f"{path} cannot be loaded ({error}).", advice=f"Run `{exported.EXPORT}` anew.") from error


def _run(
    session: onnxruntime.InferenceSession, given: npt.NDArray[np.float32] | npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    rows: npt.NDArray[np.float32] = session.run(None, {exported.INPUT: given})[0]
    return rows
