"""Background removal by rembg's networks on onnxruntime, from a file that is there: never from the network."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image
from rembg.sessions import sessions
from scipy import ndimage

from runtime.errors import OperatorNeeded
from search.background import BORDER_WHITE, Background, Cut, Mask, cut_out, has_plain_border
from search.embedders.hashes import hash_of
from search.embedders.preprocess import open_picture

HASH_LETTERS = 12
ERRORS_ONLY = 3


class Watched:
    """An onnxruntime session that remembers the largest number of the last answer, before rembg stretches it."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self.most = 0.0

    def get_inputs(self) -> list[Any]:
        """Return the session's inputs."""
        found: list[Any] = self._session.get_inputs()
        return found

    def run(self, names: list[str] | None, given: Mapping[str, Any]) -> list[Any]:
        """Return the session's answer."""
        answer: list[Any] = self._session.run(names, given)
        self.most = float(np.max(answer[0][:, 0]))
        return answer


class RembgRemover:
    """A network of rembg's; pictures on a plain border do without it."""

    def __init__(self, background: Background, session: Any, name: str) -> None:
        self.name = name
        self._background, self._session = background, session
        self._watched = session.inner_session = Watched(session.inner_session)

    def remove(self, body: bytes) -> Cut:
        """Return the picture on white; ItemTrouble where the bytes are no picture."""
        picture = open_picture(body)
        if has_plain_border(picture):
            return cut_out(picture, plain_mask(picture))
        with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
            # rembg stretches every mask, also an empty one, by a division by zero; the raw numbers judge below.
            warnings.simplefilter("ignore")
            mask: Image.Image = self._session.predict(picture)[0]
        return cut_out(picture, np.asarray(mask), self._watched.most >= self._background.certain)


def load_remover(background: Background, path: Path) -> RembgRemover:
    """Return the remover with the network of the file; OperatorNeeded where that is no such network."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    # rembg's own search for the file ends in a download; a class that names the file cannot get there.
    kind = type("Local", (sessions[background.name],), {"download_models": classmethod(lambda cls: str(path))})
    try:
        session = kind(background.name, options, providers=["CPUExecutionProvider"])
    except MemoryError:
        raise
    except Exception as error:  # onnxruntime has an error for each of its states
        raise OperatorNeeded(
            f"{path} is no background model ({error}).",
            advice="Delete it and run `python run.py models --fetch`.",
        ) from error
    version = importlib.metadata.version("rembg")
    digest = hash_of(path, path.parent.parent)[:HASH_LETTERS]
    return RembgRemover(background, session, f"rembg {version} {background.name} {digest}, plain border first")


def fetch_background(background: Background, path: Path) -> None:
    """Download a network's file by rembg's own means, its checksum compared; OperatorNeeded where that fails."""
    hooks = {
        "model_dir": classmethod(lambda cls, *_, **__: str(path.parent)),
        "resolve_existing": classmethod(lambda cls, *_, **__: None),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        kind: Any = type("Fetching", (sessions[background.name],), hooks)
        kind.download_models()
    except Exception as error:  # of the network, of the checksum, of the disk
        raise OperatorNeeded(
            f"The background model {background.name} cannot be downloaded ({error}).",
            advice=f"Is there a network? Otherwise put it from rembg's releases into {path}.",
        ) from error


def plain_mask(picture: Image.Image) -> Mask:
    """Return the mask of a picture on near white: background is the white that hangs together with the border."""
    white = np.asarray(picture).min(axis=-1) >= BORDER_WHITE
    areas, _ = ndimage.label(white)
    outside = np.unique(np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]]))
    return np.where(np.isin(areas, outside[outside > 0]), 0, 255).astype(np.uint8)
