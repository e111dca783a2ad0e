"""The table of facts that rules find in the patients' texts, for the `vector` reader."""

from pathlib import Path

import numpy as np
import pandas as pd

from prime.cohort.report_facts import FACTS, facts_of
from prime.files import replacing

FACT_TABLE = "facts.parquet"


def write_facts(texts: dict[str, str], path: Path) -> int:
    """Write a parquet table with a row per patient, NaN for what a text does not state.

    Args:
        texts: text of each patient.
        path: of the table: `patient_id`, and a float32 column for each of FACTS.

    Returns:
        How many patients' texts state no fact; the reader counts their rows as missing.
    """
    rows = [facts_of(text) for text in texts.values()]
    values = np.array(rows, dtype=np.float32).reshape(len(rows), len(FACTS))
    table = pd.DataFrame(values, columns=pd.Index([fact.name for fact in FACTS]))
    table.insert(0, "patient_id", pd.Series(list(texts), dtype=str))
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)
    return int(np.isnan(values).all(axis=1).sum())
