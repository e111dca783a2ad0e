"""Specks of scans, counted by lone dark pixels and filtered out, because Tesseract is very slow on them."""

import numpy as np
from PIL import ImageFilter
from PIL.Image import Image

DARK = 160  # of 255; darker pixels are ink or specks
MOST_SPECKS = 500.0  # per million pixels; clean scans have below 1, from 1000 on Tesseract takes minutes


def without_specks(image: Image) -> Image:
    """The page as it is; where it has too many specks, in grey through a median filter of 5 x 5 pixels."""
    return image.convert("L").filter(ImageFilter.MedianFilter(5)) if specks(image) > MOST_SPECKS else image


def specks(image: Image) -> float:
    """Lone dark pixels per million pixels. Lone: at most one of the eight neighbours is dark."""
    dark = np.asarray(image.convert("L")) < DARK
    height, width = dark.shape
    padded = np.pad(dark, 1).astype(np.uint8)
    around = np.zeros(dark.shape, np.uint8)
    for down in range(3):
        for right in range(3):
            around += padded[down : down + height, right : right + width]
    return float(np.count_nonzero(dark & (around <= 2)) / dark.size * 1e6)
