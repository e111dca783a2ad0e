"""The figure of a pretraining run."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from prime.files import replacing


def plot_curves(log: list[dict[str, Any]], path: Path) -> None:
    """Loss parts, retrieval and health of a run against the epoch, one panel each."""
    parts = [name.removeprefix("train/") for name in log[0] if name.startswith("train/")]
    epochs = [row["epoch"] + 1 for row in log]
    figure = Figure(figsize=(4 * (len(parts) + 2), 3.4), layout="constrained")
    axes = figure.subplots(1, len(parts) + 2)
    for axis, part in zip(axes, parts, strict=False):
        for split, style in (("train", "-"), ("validation", "--")):
            axis.plot(epochs, [row[f"{split}/{part}"] for row in log], style, label=split)
        axis.set(title=f"{part} loss", xlabel="epoch")
    axes[0].legend(frameon=False)
    for pair in [p for p in log[-1]["retrieval"] if not p.endswith("/chance")]:
        line = axes[-2].plot(epochs, [row["retrieval"].get(pair) for row in log], label=pair)[0]
        chance = [row["retrieval"].get(f"{pair}/chance") for row in log]
        axes[-2].plot(epochs, chance, ":", color=line.get_color())
    axes[-2].set(title="retrieval, top-1 (dotted: chance)", xlabel="epoch", yscale="log")
    axes[-2].legend(frameon=False)
    axes[-1].plot(epochs, [row["cancer_type_knn"] for row in log], label="cancer type, 5-NN accuracy")
    axes[-1].plot(epochs, [row["spread"] for row in log], label="embedding spread")
    axes[-1].set(title="health", xlabel="epoch", ylim=(0, 1.05))
    axes[-1].legend(frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
