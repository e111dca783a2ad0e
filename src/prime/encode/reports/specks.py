"""Noise of scans, measured by its lone dark pixels and taken out: Tesseract gets lost among specks."""

import numpy as np
from PIL import ImageFilter
from PIL.Image import Image

DARK = 160  # of 255; darker pixels are ink or specks
MOST_SPECKS = 500.0  # a million pixels; clean scans have below 1, and with over 1000 Tesseract takes minutes


def without_specks(image: Image) -> Image:
    """The page as it is, or as grey with the median of 5 x 5 pixels where it has too many specks."""
    return image.convert("L").filter(ImageFilter.MedianFilter(5)) if specks(image) > MOST_SPECKS else image


def specks(image: Image) -> float:
    """Lone dark pixels, those with at most one dark neighbour of eight, in a million pixels."""
    dark = np.asarray(image.convert("L")) < DARK
    height, width = dark.shape
    padded = np.pad(dark, 1).astype(np.uint8)
    around = np.zeros(dark.shape, np.uint8)
    for down in range(3):
        for right in range(3):
            around += padded[down : down + height, right : right + width]
    return float(np.count_nonzero(dark & (around <= 2)) / dark.size * 1e6)
