"""Sentences that state the outcome are found, and those that only sound like it are not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prime.encode.reports.outcome import PATTERNS, find_outcomes, kind_of, remove_outcomes, sentences

STATED = [
    ("death", "The patient died of disease."),
    ("death", "Dead of disease, 2004."),
    ("death", "The patient subsequently expired."),
    ("death", "She expired due to respiratory failure."),
    ("death", "Patient deceased."),
    ("death", "Status: DOD."),
    ("death", "Date of death: [redacted]."),
    ("death", "He has since passed away."),
    ("death", "The\npatient\ndied."),
    ("autopsy", "At autopsy, widespread metastases were found."),
    ("autopsy", "Post-mortem examination was declined."),
    ("autopsy", "See postmortem report."),
    ("status", "Alive and well."),
    ("status", "The patient is alive with disease."),
    ("status", "Vital status: unknown."),
    ("status", "Lost to follow-up."),
    ("status", "No evidence of disease at 24 months."),
    ("status", "NED at last follow-up."),
    ("status", "She remains disease-free for 5 years."),
    ("recurrence", "Recurrence at follow-up in the liver."),
    ("recurrence", "Metastasis to the brain was found on follow up."),
    ("recurrence", "The tumor recurred 14 months after surgery."),
    ("recurrence", "Local recurrence after two years."),
    ("recurrence", "The patient later developed pulmonary metastases."),
    ("recurrence", "Follow-up showed progression of the lesion."),
    ("survival time", "Survived 13 months."),
    ("survival time", "Overall survival: 22 months."),
    ("survival time", "Survival time was 3 years."),
]
NOT_STATED = [
    "Clinical follow-up is recommended.",
    "The results will be presented in a follow-up report.",
    "Lymph node metastases, results in a follow-up report.",
    "Metastasis to 3 of 12 lymph nodes.",
    "The recurrent laryngeal nerve is free of tumor.",
    "Clinical history: recurrent glioblastoma.",
    "Prognostic markers: bladder cancer recurrence score.",
    "Rate of distant recurrence at 10 years of 14%.",
    "Trastuzumab increases disease-free survival and decreases the risk of recurrence at 3 years.",
    "The five-year relative survival rate of people with thymic carcinoma is high.",
    "Median survival of 14 months has been reported.",
    "Worse survival of patients with gliomas.",
    "Programmed cell death ligand 1 is expressed.",
    "Dead tissue and necrosis are seen.",
    "The reagent lot expired.",
    "Expiratory wheeze.",
    "Excisional biopsy.",
    "Time to progression, response, stable disease.",
    "Tumor progression from a grade II glioma.",
    "Mutation status may change during tumor progression.",
    "A 3 year old specimen with metastasis.",
    "Margins are free of disease.",
    "Previously treated 2 years ago.",
    "No evidence of malignancy.",
    "The dod stain.",
    "",
]


@pytest.mark.parametrize(("kind", "sentence"), STATED)
def test_what_must_be_found(kind: str, sentence: str) -> None:
    assert kind_of(sentence) == kind


@pytest.mark.parametrize("sentence", NOT_STATED)
def test_what_must_not_be_found(sentence: str) -> None:
    assert kind_of(sentence) is None


def test_every_kind_of_pattern_has_its_sentences() -> None:
    assert {kind for kind, _ in STATED} == {kind for kind, _ in PATTERNS}


def test_only_the_sentence_is_found_and_removed() -> None:
    text = "Lung, lobectomy:\nadenocarcinoma. The patient\nexpired in 2003. Margins free; died of it; G2."
    assert [(s.kind, s.sentence) for s in find_outcomes(text)] == [
        ("death", "The patient expired in 2003."),
        ("death", "died of it;"),
    ]
    assert remove_outcomes(text) == ("Lung, lobectomy:\nadenocarcinoma. Margins free; G2.", 2)


def test_text_without_outcome_is_left_as_it_is() -> None:
    text = "Lung, lobectomy:\n\nadenocarcinoma.  Margins free"
    assert remove_outcomes(text) == (text, 0)


some = st.lists(
    st.sampled_from(
        [*(sentence for _, sentence in STATED), *NOT_STATED, "\n\n", "died", "of disease", "patient"]
    )
)


@settings(max_examples=200)
@given(some, st.sampled_from([" ", "\n", ". "]))
def test_removing_leaves_nothing_to_remove(parts: list[str], between: str) -> None:
    text = between.join(parts)
    left, count = remove_outcomes(text)
    assert find_outcomes(left) == []
    assert remove_outcomes(left) == (left, 0)
    assert (count == 0) == (find_outcomes(text) == [])


@settings(max_examples=200)
@given(st.text("ab.!?; \n", max_size=30))
def test_sentences_cover_everything_but_blanks(text: str) -> None:
    spans = sentences(text)
    inside = {position for start, stop in spans for position in range(start, stop)}
    assert all(text[i].isspace() for i in range(len(text)) if i not in inside)
    assert sum(stop - start for start, stop in spans) == len(inside)
