"""Small made-up slides for the tests, as tiled TIFF and as DICOM, with tissue in known places."""

from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, VLWholeSlideMicroscopyImageStorage


def tissue(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """White with a block of coarse pink and blue noise in the middle half, as (height, width, 3)."""
    generator = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 250, dtype=np.uint8)
    inner = picture[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4]
    rows, columns = -(-inner.shape[0] // 4), -(-inner.shape[1] // 4)
    shade = generator.integers(0, 160, (rows, columns, 1))
    spots = np.clip(np.array([210, 110, 190]) - shade * np.array([0.9, 0.6, 0.3]), 0, 255).astype(np.uint8)
    inner[:] = spots.repeat(4, axis=0).repeat(4, axis=1)[: inner.shape[0], : inner.shape[1]]
    return picture


def write_slide(
    path: Path,
    picture: NDArray[np.uint8],
    mpp: float | None = 1.0,
    levels: int = 1,
    description: str | None = None,
) -> Path:
    """Write a picture as a tiled TIFF; each further level halves the one before by averaging."""
    path.parent.mkdir(parents=True, exist_ok=True)
    density = None if mpp is None else (10_000 / mpp, 10_000 / mpp)
    with tifffile.TiffWriter(path) as file:
        for level in range(levels):
            file.write(
                picture,
                tile=(128, 128),
                photometric="rgb",
                compression="zlib",
                subfiletype=int(level > 0),
                resolution=density,
                resolutionunit="CENTIMETER" if density else None,
                description=description if level == 0 else None,
                metadata=None,
                software=False,
            )
            height, width = picture.shape[0] // 2, picture.shape[1] // 2
            quads = picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3)
            picture = quads.mean(axis=(1, 3)).round().astype(np.uint8)
    return path


def write_levels(path: Path, pictures: list[NDArray[np.uint8]], mpp: float = 1.0) -> Path:
    """Write a tiled TIFF whose levels are these pictures, whatever they show."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path) as file:
        for level, picture in enumerate(pictures):
            file.write(
                picture, tile=(128, 128), photometric="rgb", compression="zlib", subfiletype=int(level > 0),
                resolution=(10_000 / mpp, 10_000 / mpp), resolutionunit="CENTIMETER", metadata=None,
                software=False,
            )  # fmt: skip
    return path


def damage(path: Path, level: int, number: int) -> None:
    """Overwrite one of the tiles of a TIFF's level with zeros."""
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        page = file.pages[level]
        start, length = page.dataoffsets[number], page.databytecounts[number]
    content[start : start + length] = b"\0" * length
    path.write_bytes(content)


def write_dicom(
    folder: Path, picture: NDArray[np.uint8], mpp: float | None, series: str = "1.2.826.0.1.3680043.8.498.1"
) -> list[Path]:
    """Write a picture as a DICOM series of two levels, uncompressed frames of 64 x 64 pixels, a file each."""
    folder.mkdir(parents=True, exist_ok=True)
    half = picture[: picture.shape[0] // 128 * 128, : picture.shape[1] // 128 * 128][::2, ::2]
    paths: list[Path] = []
    for level, pixels in enumerate((picture, half)):
        paths.append(folder / f"{series.rpartition('.')[2]}_{level}.dcm")
        _dicom_level(pixels, None if mpp is None else mpp * 2**level, level, series).save_as(
            paths[-1], enforce_file_format=True
        )
    return paths


def _dicom_level(pixels: NDArray[np.uint8], mpp: float | None, level: int, series: str) -> Dataset:
    side = 64
    height, width = pixels.shape[:2]
    rows, columns = -(-height // side), -(-width // side)
    filled = np.zeros((rows * side, columns * side, 3), dtype=np.uint8)
    filled[:height, :width] = pixels
    frames = filled.reshape(rows, side, columns, side, 3).swapaxes(1, 2)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"{series}.{level + 1}"
    data.SeriesInstanceUID, data.StudyInstanceUID = series, f"{series}.9"
    data.FrameOfReferenceUID, data.Modality = f"{series}.8", "SM"
    data.ImageType = ["ORIGINAL" if level == 0 else "DERIVED", "PRIMARY", "VOLUME", "NONE"]
    if level:
        data.ImageType[3] = "RESAMPLED"
    data.TotalPixelMatrixRows, data.TotalPixelMatrixColumns = height, width
    data.Rows = data.Columns = side
    data.NumberOfFrames = rows * columns
    data.DimensionOrganizationType = "TILED_FULL"
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.TotalPixelMatrixFocalPlanes = data.NumberOfOpticalPaths = 1
    path = Dataset()
    path.OpticalPathIdentifier = "0"
    data.OpticalPathSequence = [path]
    if mpp is not None:
        measures, shared = Dataset(), Dataset()
        measures.PixelSpacing = [mpp / 1000, mpp / 1000]
        shared.PixelMeasuresSequence = [measures]
        data.SharedFunctionalGroupsSequence = [shared]
    data.PixelData = frames.tobytes()
    return data
