"""`prime encode slides` from slides to centroid files: made-up slides, DICOM, and the real ones."""

import hashlib
import json
import os
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from cyclopts import CycloptsError
from PIL import Image
from transformers import ViTConfig, ViTModel

from prime.cli import run
from prime.cohort.readers.tokens import TokenSource, read_tokens
from prime.encode.slides.encoders.colour import colour_features
from prime.encode.slides.filters import entropy, grey
from prime.encode.slides.overlay import LINE, tile_overlay
from prime.errors import InputError
from tests.encode.slide_files import damage, tissue, write_dicom, write_levels, write_slide

REAL = Path(__file__).resolve().parents[2] / ".." / "shared" / "tcga" / "slides"


def command(*arguments: object) -> int:
    return run(["encode", "slides", *map(str, arguments)])


def outputs(out: Path) -> dict[str, str]:
    """The hash of every feature file, picture and table."""
    paths = (p for p in out.rglob("*") if p.suffix in (".h5", ".jpg", ".csv") and p.is_file())
    return {p.relative_to(out).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    """Two slides of one patient, one of another, 1 um per pixel, and a DICOM series."""
    folder = tmp_path / "slides"
    for seed, name in enumerate(("ann.1", "ann.2", "bob")):
        write_slide(folder / f"{name}.tif", tissue(512, 640, seed), levels=1 + seed % 2)
    write_dicom(folder / "cat", tissue(512, 640, 9), 1.0)
    return folder


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ViT with random weights."""
    folder = tmp_path_factory.mktemp("encoders") / "vit"
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = ViTConfig(image_size=32, patch_size=8, **sizes)
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    pixels = {"size": 32, "image_mean": [0.7, 0.5, 0.7], "image_std": [0.2, 0.2, 0.2]}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels), encoding="utf-8")
    return folder


TILES = ("--tile-um", 32)


def test_a_white_level_and_a_damaged_tile_are_said_and_cost_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tissue(1024, 1024)
    white = np.full((64, 64, 3), 250, dtype=np.uint8)
    write_slide(tmp_path / "in" / "good.tif", picture)
    write_levels(tmp_path / "in" / "white.tif", [picture, white])  # the overview would be read from it
    damage(write_slide(tmp_path / "in" / "hurt.tif", picture), 0, 27)
    base = ("--encoder", "colour", "--tile-um", 32, "--tile-px", 32, "--out", tmp_path / "out")
    assert command(tmp_path / "in", *base) == 0
    counts = pd.read_csv(tmp_path / "out" / "slides.csv", index_col="slide")
    kept = counts["kept"].to_dict()
    assert kept["white"] == kept["good"] == kept["hurt"] + 16
    assert counts["damaged"].to_dict() == {"good": 0, "white": 0, "hurt": 16}
    printed = capsys.readouterr().out
    assert "white: level 1 shows another picture than level 0" in printed
    assert "hurt: 16 damaged tiles left out; " in printed
    assert "damaged near pixel (384, 384)" in printed
    overlays = [np.asarray(Image.open(tmp_path / "out" / "overlays" / f"{n}.jpg")) for n in ("good", "white")]
    assert np.array_equal(*overlays)


def test_a_stated_resolution_can_be_overruled(tmp_path: Path) -> None:
    """One slide states that it is twice as fine as it is, another one that is no more than a stamp."""
    write_slide(tmp_path / "in" / "half.tif", tissue(512, 512), mpp=0.5)
    write_slide(tmp_path / "in" / "stamp.tif", tissue(512, 512), mpp=0.06)
    base = (
        tmp_path / "in",
        "--encoder",
        "colour",
        "--tile-um",
        64,
        "--tile-px",
        32,
        "--out",
        tmp_path / "out",
    )

    def stated() -> dict[str, str]:
        counts = pd.read_csv(tmp_path / "out" / "slides.csv", index_col="slide")
        return {str(name): f"{row['mpp']} {row['stated_by']}" for name, row in counts.iterrows()}

    assert command(*base) == 1
    assert "correct --mpp" in pd.read_csv(tmp_path / "out" / "features" / "failures.csv")["reason"][0]
    assert command(*base, "--mpp", 1) == 0
    assert stated() == {"half": "0.5 openslide.mpp-x", "stamp": "1.0 --mpp"}
    assert command(*base, "--mpp", 1, "--override-mpp") == 0
    assert stated() == {"half": "1.0 --mpp", "stamp": "1.0 --mpp"}
    assert command(*base, "--mpp", 1) == 0
    assert stated() == {"half": "0.5 openslide.mpp-x", "stamp": "1.0 --mpp"}
    with pytest.raises(InputError, match="--override-mpp needs --mpp"):
        command(*base, "--override-mpp")


def test_slides_of_other_tissue_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = {
        "TCGA-AA-0001": ("01Z-00-DX1", "11Z-00-DX1", "01A-01-TS1", "06Z-00-DX1"),
        "TCGA-AA-0002": ("06Z-00-DX1",),
    }
    names = [f"{patient}-{end}" for patient, found in ends.items() for end in found]
    for seed, name in enumerate(names):
        write_slide(tmp_path / "in" / f"{name}.svs.tif", tissue(256, 256, seed))
    common = (tmp_path / "in", "--encoder", "colour", "--tile-um", 64, "--tile-px", 32)
    assert command(*common, "--out", tmp_path / "a") == 0
    used = {f"{names[0]}.svs", f"{names[4]}.svs"}
    assert {path.stem for path in (tmp_path / "a" / "features").glob("*.h5")} == used
    printed = capsys.readouterr().out
    assert "samples used: 1 metastatic (06), 1 primary (01)" in printed
    assert "left out: 1 frozen primary (01 TS), 1 metastatic (06), 1 normal tissue (11) (samples" in printed
    assert command(*common, "--out", tmp_path / "b", "--samples", "01", "--frozen") == 0
    with h5py.File(tmp_path / "b" / "centroids_patient" / "TCGA-AA-0001.h5") as file:
        assert file["features"].attrs["slides"] == f"{names[2]}.svs,{names[0]}.svs"
    # feature files of other programs, which are only clustered, follow the same rule
    assert command(*common, "--out", tmp_path / "c", "--samples", "all", "--frozen") == 0
    assert command(tmp_path / "c" / "features", "--out", tmp_path / "d") == 0
    with h5py.File(tmp_path / "d" / "centroids_patient" / "TCGA-AA-0001.h5") as file:
        assert file["features"].attrs["slides"] == f"{names[0]}.svs"
    with pytest.raises(InputError, match="none of the 5 samples stands for the tumour"):
        command(*common, "--out", tmp_path / "e", "--samples", "03")


def test_from_slides_to_files_that_the_cohort_reads(slides: Path, vit: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert (
        command(slides, "--out", out, "--encoder", vit, "--clusters", 16, "--trained-on", "TCGA", *TILES) == 0
    )
    assert sorted(path.stem for path in (out / "features").glob("*.h5")) == ["ann.1", "ann.2", "bob", "cat"]
    source = TokenSource(reader="h5", path=str(out / "centroids_patient"))
    read = read_tokens(source, tmp_path, "test")
    patients = dict(read.patients)
    assert sorted(patients) == ["ann", "bob", "cat"]
    assert all(rows.shape[1] == 16 and 8 <= len(rows) <= 16 for rows in patients.values())
    assert (read.attributes["encoder"], read.attributes["trained_on"]) == ("vit", "TCGA")
    with h5py.File(out / "centroids_patient" / "ann.h5") as file:
        kept = pd.read_csv(out / "slides.csv", index_col="slide")["kept"]
        assert file["counts"][()].sum() == kept["ann.1"] + kept["ann.2"]
        assert len(file["features"].attrs["weights_sha256"]) == 64
    command(slides, "--out", out, "--encoder", vit, "--clusters", 4, "--scope", "slide", *TILES)
    assert len(list((out / "centroids_slide").glob("*.h5"))) == 4


def test_tiles_features_and_picture_against_plain_reading(tmp_path: Path) -> None:
    picture = tissue(512, 640)
    write_slide(tmp_path / "a.tif", picture)
    out = tmp_path / "out"
    assert (
        command(tmp_path / "a.tif", "--out", out, "--encoder", "colour", "--tile-um", 64, "--tile-px", 64)
        == 0
    )
    tiles = {(x, y): picture[y : y + 64, x : x + 64] for y in range(0, 512, 64) for x in range(0, 640, 64)}
    good = {c: t for c, t in tiles.items() if grey(t).mean() < 240 and entropy(grey(t)) >= 5}
    with h5py.File(out / "features" / "a.h5") as file:
        assert [tuple(corner) for corner in file["coords"][()].tolist()] == list(good)
        assert np.array_equal(file["features"][()], colour_features(np.stack(list(good.values()))))
        about = dict(file["coords"].attrs)
    assert (about["patch_size"], about["patch_size_level0"], about["overlap"]) == (64, 64, 0)
    assert (about["level0_width"], about["level0_height"], about["mpp"]) == (640, 512, 1.0)
    assert (about["level0_magnification"], about["target_magnification"]) == (10.0, 10.0)
    shown = np.asarray(Image.open(out / "overlays" / "a.jpg")).astype(int)
    assert shown.shape == (512, 640, 3)
    for (x, y), tile in tiles.items():
        error = np.abs(shown[y + 8 : y + 56, x + 8 : x + 56] - tile[8:56, 8:56]).mean()
        is_white = tile.min() >= 250
        assert is_white or (error < 25) == ((x, y) in good)


def test_the_picture_by_hand() -> None:
    overview = np.full((4, 8, 3), 100, dtype=np.uint8)
    found = tile_overlay(overview, np.array([[True, False]]), 4)
    assert found[0, 0].tolist() == list(LINE)
    assert found[1, 1].tolist() == [100] * 3
    assert found[0, 4].tolist() == found[2, 6].tolist() == [216] * 3


@pytest.mark.parametrize(
    ("encoder", "speed"),
    [("vit", ()), ("vit", ("--workers", 2)), ("colour", ("--workers", 2, "--jobs", 2))],
)
def test_nothing_depends_on_who_does_the_work(
    encoder: str, speed: tuple[object, ...], slides: Path, vit: Path, tmp_path: Path
) -> None:
    base = ("--encoder", vit if encoder == "vit" else encoder, "--tile-px", 32, "--clusters", 16, *TILES)
    assert command(slides, "--out", tmp_path / "one", *base) == 0
    assert command(slides, "--out", tmp_path / "two", *base, *speed) == 0
    one = outputs(tmp_path / "one")
    assert len(one) == 12
    assert outputs(tmp_path / "two") == one


def test_what_is_done_stays_and_what_changed_is_done_again(slides: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    base = (slides, "--out", out, "--encoder", "colour", "--clusters", 8, *TILES, "--tile-px", 32)

    def again(*arguments: object) -> set[str]:
        for path in (*out.glob("features/*.h5"), *out.glob("centroids_patient/*.h5")):
            os.utime(path, ns=(1, 1))
        assert command(*base, *arguments) == 0
        files = (*out.glob("features/*.h5"), *out.glob("centroids_patient/*.h5"))
        return {f"{path.parent.name[0]}:{path.stem}" for path in files if path.stat().st_mtime_ns != 1}

    command(*base)
    assert again() == set()
    assert again("--batch-size", 3, "--workers", 1, "--mpp", 3) == set()
    assert again("--seed", 1) == {"c:ann", "c:bob", "c:cat"}
    write_slide(slides / "ann.2.tif", tissue(512, 640, 77))
    assert again("--seed", 1) == {"f:ann.2", "c:ann"}
    assert again("--seed", 1, "--entropy", 4) >= {"f:ann.1", "f:ann.2", "f:bob", "f:cat"}


def test_broken_slides_are_listed_and_the_rest_is_done(
    slides: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (slides / "bob.tif").write_bytes(b"broken")
    (slides / "ann.2.tif").write_bytes(b"broken too")
    write_slide(slides / "dan.tif", np.full((512, 640, 3), 255, dtype=np.uint8))
    write_slide(slides / "eve.tif", tissue(512, 640), mpp=None)
    out = tmp_path / "out"
    base = (slides, "--out", out, "--encoder", "colour", *TILES, "--tile-px", 32)
    assert command(*base) == 1
    failures = pd.read_csv(out / "features" / "failures.csv", index_col="name")["reason"]
    assert list(failures.index) == ["ann.2", "bob", "eve"]
    assert "bob.tif: not a slide that OpenSlide reads" in failures["bob"]
    assert "eve.tif: its metadata state no resolution; give" in failures["eve"]
    assert pd.read_csv(out / "centroids_patient" / "failures.csv")["name"].tolist() == ["dan"]
    assert sorted(path.stem for path in out.glob("centroids_patient/*.h5")) == ["ann", "cat"]
    printed = " ".join(capsys.readouterr().out.split())
    assert "ann: made without ann.2, which failed" in printed
    assert "dan: 0 of 320 tiles kept (320 too bright" in printed
    assert "3 of 6 done, 3 failed" in printed

    assert command(*base, "--mpp", 1) == 1
    assert pd.read_csv(out / "slides.csv", index_col="slide").loc["eve", "stated_by"] == "--mpp"
    before = outputs(out)
    assert command(*base, "--mpp", 0.8) == 1
    changed = {name for name, value in outputs(out).items() if before.get(name) != value}
    assert changed == {"features/eve.h5", "overlays/eve.jpg", "centroids_patient/eve.h5", "slides.csv"}


def test_feature_files_are_only_clustered(slides: Path, tmp_path: Path) -> None:
    base = ("--encoder", "colour", "--clusters", 8, *TILES, "--tile-px", 32)
    assert command(slides, "--out", tmp_path / "one", *base) == 0
    assert command(tmp_path / "one" / "features", "--out", tmp_path / "two", "--clusters", 8) == 0
    one, two = (tmp_path / name / "centroids_patient" / "ann.h5" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert not (tmp_path / "two" / "features").exists()
    assert (
        command(tmp_path / "one" / "features", "--out", tmp_path / "three", "--clusters", 999, "--pad") == 0
    )
    with h5py.File(tmp_path / "three" / "centroids_patient" / "bob.h5") as file:
        mask = file["mask"][()]
        assert (len(mask), mask.sum(), file["counts"][()].sum()) == (999, mask.sum(), mask.sum())
        assert (file["features"][()][~mask] == 0).all()


def test_files_of_earlier_patients_are_pointed_out(
    slides: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = (slides, "--out", tmp_path / "out", "--encoder", "colour", *TILES, "--tile-px", 32)
    command(*base, "--patient-from", "^(.)")
    capsys.readouterr()
    command(*base)
    assert "3 files of earlier runs belong to none of these inputs" in " ".join(
        capsys.readouterr().out.split()
    )


def test_two_series_in_one_folder_are_two_slides(tmp_path: Path) -> None:
    for number in (4, 5):
        write_dicom(tmp_path / "in", tissue(512, 640, number), 1.0, f"1.2.3.{number}")
    base = ("--encoder", "colour", *TILES, "--tile-px", 32)
    assert command(tmp_path / "in", "--out", tmp_path / "out", *base) == 0
    assert sorted(path.stem for path in (tmp_path / "out" / "features").glob("*.h5")) == ["4_0", "5_0"]


def test_nothing_starts_without_an_encoder(slides: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--encoder: name one to encode slides"):
        command(slides, "--out", tmp_path / "out")
    with pytest.raises(CycloptsError):
        command(slides, "--out", tmp_path / "out", "--encoder", "colour", "--mpp", 0)
    with pytest.raises(CycloptsError):
        command(slides, "--out", tmp_path / "out", "--encoder", "colour", "--jobs", 0)
    assert not (tmp_path / "out").exists()


def test_without_openslide_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(
        InputError, match=r"pip install 'prime-prognosis\[encode\]' \(not installed: openslide\)"
    ):
        command(tmp_path, "--out", tmp_path / "out", "--encoder", "colour")


@pytest.mark.tcga
@pytest.mark.skipif(not REAL.is_dir(), reason="the TCGA evaluation set is not beside the checkout")
def test_the_real_slides(tmp_path: Path) -> None:
    out = tmp_path / "out"
    base = (REAL, "--encoder", "colour", "--tile-um", 64, "--tile-px", 64, "--frozen")  # one is a TS1
    assert command(*base, "--out", out) == 1
    failures = pd.read_csv(out / "features" / "failures.csv", index_col="name")["reason"]
    frozen, patient = "tcga-cr-7395-01a-01-ts1", "TCGA-CR-7395"
    assert list(failures.index) == [frozen]
    assert "its metadata state no resolution; give micrometres per pixel with --mpp" in failures.iloc[0]
    assert command(*base, "--out", out, "--mpp", 0.5) == 0
    counts = pd.read_csv(out / "slides.csv", index_col="slide")
    assert counts["tiles"].to_dict() == {"cmu-1-small-region": 17 * 23, "tcga-cr-7395-01a-01-ts1": 34 * 27}
    assert counts.loc["cmu-1-small-region", "mpp"] == 0.499
    for slide, kept in counts["kept"].items():
        name = patient if slide == frozen else slide
        with h5py.File(out / "centroids_patient" / f"{name}.h5") as file:
            assert file["counts"][()].sum() == kept
            assert 90 < len(file["features"]) <= 128
            assert file["features"].shape[1] == 30
    assert command(*base, "--out", tmp_path / "again", "--mpp", 0.5, "--workers", 2) == 0
    assert outputs(tmp_path / "again") == outputs(out)
