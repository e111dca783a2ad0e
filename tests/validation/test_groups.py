"""Groups of patients, and the checklist."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from prime.validation.groups import OTHER_SITES, large_sites, patient_groups, shared_words, value_words
from prime.validation.labelled import read_labelled
from prime.validation.tripod import BLANK, ITEMS, tripod_table
from tests.validation.conftest import Work, with_covariates


def test_covariates_are_named_by_the_cohort_files_words_or_cut(work: Work) -> None:
    clinical: dict[str, Any] = {**work.store.manifest["clinical"]}
    sex = {"name": "sex", "column": "gender", "values": {"FEMALE": 0, "MALE": 1}}
    clinical["config"] = {**clinical["config"], "covariates": [sex, {"name": "age", "column": "age"}]}
    manifest = {**work.store.manifest, "clinical": clinical}
    store = replace(work.store, patients=with_covariates(work.store), manifest=manifest)
    labelled = read_labelled(work.model, store)
    groups = patient_groups(store, labelled)
    assert list(groups) == ["pattern", "age", "sex"]  # one cancer type is no group, nor are small sites
    frame = store.patients.iloc[labelled.rows]
    words = np.where(frame["x_sex"] == 1, "MALE", "FEMALE")
    np.testing.assert_array_equal(groups["sex"], words)
    age = frame["x_age"].to_numpy()
    assert (groups["age"][np.isnan(age)] == "").all()
    assert (groups["age"][(age >= 50) & (age < 65)] == "50 to 65").all()


def test_sites_with_few_events_are_put_together() -> None:
    sites = np.repeat(["a", "b", "c", ""], [12, 30, 9, 5])
    found = large_sites(sites, np.tile([True, True, False, False], 14))
    np.testing.assert_array_equal(found, np.repeat([OTHER_SITES, "b", OTHER_SITES, ""], [12, 30, 9, 5]))


def test_words_that_share_a_number_are_said_in_short() -> None:
    assert shared_words(["Stage IIA", "Stage II", "Stage IIB"]) == "Stage II"
    assert shared_words(["a", "b", "c", "d"]) == "a, b, c ..."
    assert shared_words(["yes", "true"]) == "yes, true"


def test_covariates_without_words_have_none(work: Work) -> None:
    assert value_words(work.store) == {}


def test_every_item_is_filled_in_or_left_to_the_authors() -> None:
    table = tripod_table({"10": "91 events"})
    assert table.display.loc["10", "Here"] == "91 events"
    assert (table.display["Here"] == BLANK).sum() == len(ITEMS) - 1
    assert table.frame["filled_in"].sum() == 1
    with pytest.raises(KeyError):
        tripod_table({"99": "x"})
