"""Stores with delayed entry, and with an event that competes, for tests."""

from dataclasses import replace

import numpy as np

from prime.store.store import Store


def with_entry(store: Store) -> Store:
    """Half of the patients came under observation late."""
    frame = store.patients.copy()
    rng = np.random.default_rng(0)
    share = np.where(rng.random(len(frame)) < 0.5, rng.uniform(0, 0.9, len(frame)), 0.0)
    frame["os_entry_days"] = share * frame["os_time_days"].to_numpy()
    return replace(store, patients=frame)


def with_deaths(store: Store) -> Store:
    """Deaths that come before, with or after the event of os."""
    frame = store.patients.copy()
    rng = np.random.default_rng(1)
    frame["death_time_days"] = frame["os_time_days"] * rng.choice([0.4, 1.0, 2.0], len(frame))
    frame["death_event"] = rng.integers(0, 2, len(frame)).astype(float)
    manifest = {**store.manifest, "endpoints": [*store.endpoints, "death"]}
    return replace(store, patients=frame, manifest=manifest)
