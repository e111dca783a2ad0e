"""Time and peak memory of BulkRNABert on one patient, and its agreement with a slow independent copy.

    python benchmarks/bulkrnabert.py --sample tcga_sample.csv --genes common_gene_id.txt
        [--weights FOLDER] [--slice first|all_mean] [--precision float32|bfloat16] [--oracle] [--threads 1]

Without weights, random ones of the published size are written to a temporary folder. The port runs first, so
that the peak memory printed for it is its own; --oracle then runs tests/encode/rna_oracle.py (numpy, float64)
on the same bins and prints by how much the tokens differ.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from prime.encode.rna.bulkrnabert import expression_bins
from prime.encode.rna.gene_selection import first_genes
from prime.encode.rna.genes import read_gene_list
from prime.encode.rna.matrix import MatrixOptions, read_tpm
from prime.encode.rna.weights import find_weights, load_model

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "encode"))
from rna_oracle import config_values, slow_bins, slow_tokens, write_weights


def peak_gigabytes() -> float:
    """Largest resident memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sample", type=Path, required=True)
    parser.add_argument("--genes", type=Path, required=True)
    parser.add_argument("--weights")
    parser.add_argument("--slice", choices=("first", "all_mean"), default="all_mean")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--oracle", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    options = read_options()
    torch.set_num_threads(options.threads)
    genes = read_gene_list(options.genes)
    started = time.perf_counter()
    table = read_tpm(options.sample, MatrixOptions(), genes)
    print(f"{table.tpm.shape} TPM of {table.samples}: {table.unit} ({table.reason})")
    print(f"read in {time.perf_counter() - started:.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        if options.weights is None:
            write_weights(Path(folder), config_values(len(genes.names)))
        checkpoint = find_weights(options.weights or folder, None, None)
        model = load_model(checkpoint).to(getattr(torch, options.precision))
        bins = expression_bins(table.tpm[0], checkpoint.config)
        before = peak_gigabytes()
        started, busy = time.perf_counter(), time.process_time()
        rows = torch.from_numpy(first_genes(len(bins), 2048)) if options.slice == "first" else None
        with torch.inference_mode():
            tokens = model(torch.from_numpy(bins), rows).float().numpy()
        print(
            f"port: {tokens.shape} {options.precision} in {time.perf_counter() - started:.1f} s"
            f" ({time.process_time() - busy:.1f} s of processor) on {options.threads} threads; peak memory"
            f" {before:.2f} GB before, {peak_gigabytes():.2f} GB after"
        )
        if options.oracle:
            compare(tokens, table.tpm[0], checkpoint.folder, bins)


def compare(tokens: np.ndarray, tpm: np.ndarray, folder: Path, bins: np.ndarray) -> None:
    """Run the slow copy and print the differences."""
    started, busy = time.perf_counter(), time.process_time()
    config = config_values(len(bins))
    slow = slow_bins(tpm, config["normalization_factor"])
    truth = slow_tokens(load_file(folder / "model.safetensors"), slow, config)[: len(tokens)]
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    difference = np.abs(tokens - truth)
    print(f"oracle: float64 in {seconds:.1f} s ({busy:.1f} s of processor), peak {peak_gigabytes():.2f} GB")
    print(f"bins that differ: {int((np.array(slow) != bins).sum())}")
    print(f"tokens: spread {truth.std():.3f}, largest {np.abs(truth).max():.3f}")
    print(f"difference: largest {difference.max():.2e}, mean {difference.mean():.2e}")
    mean = tokens.mean(axis=0, dtype=np.float64)
    print(f"mean over genes: largest difference {np.abs(mean - truth.mean(axis=0)).max():.2e}")
    print(f"as float16: largest difference {np.abs(tokens.astype(np.float16) - truth).max():.2e}")


if __name__ == "__main__":
    main()
