"""Cleaning: each step does what it says and nothing else, tells what it did, and leaves clean text alone."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prime.encode.reports.clean import (
    clean,
    drop_marks,
    drop_noise_lines,
    drop_repeated_lines,
    mend_line_ends,
    plain_characters,
)
from prime.encode.reports.garbage import garbage_ratio, looks_like_a_word
from prime.encode.reports.hyphens import join_hyphens

PIECES = [
    "tumor", "carci-", "noma", "well-", "differentiated", "Page 1 of 2", "____", "[ ]", "☒", "☐", "( )",
    "[X]", "\n", "\n\n", "\f", "-", "- 3 -", ". ", ",.", "-. ", "a", "1.5", "\t", "\u00a0", "\xad", "\x02",
    "\ufffe", "ﬁbrous", "|", "~", "....", ". . . .", "\r\n", "é", "“", "\u200b", "PD-", "L1", "x", "HEADER",
    " ", "_x_",
]  # fmt: skip
made_up = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4))).map("".join)


@settings(max_examples=400)
@given(made_up)
def test_cleaning_a_clean_text_changes_nothing(text: str) -> None:
    once = clean(text)
    twice = clean(once.text)
    assert twice.text == once.text
    assert not any(twice.changes.values()), twice.changes
    assert twice.garbage == once.garbage
    assert "\f" not in once.text
    assert once.text == once.text.strip()


@settings(max_examples=200)
@given(made_up)
@example("..... . . .. . . .tumor")
@pytest.mark.parametrize(
    "step",
    [plain_characters, drop_noise_lines, drop_marks, drop_repeated_lines],
    ids=lambda step: step.__name__,
)
def test_a_step_leaves_its_own_output(step, text: str) -> None:  # type: ignore[no-untyped-def]
    once, _ = step(plain_characters(text)[0])
    assert step(once) == (once, 0)


@settings(max_examples=200)
@given(made_up)
def test_no_word_is_made_up(text: str) -> None:
    """Cleaning only takes away, joins and replaces: its letters stood in the text, in that order."""
    source = iter(plain_characters(text)[0].replace("☒", "x").casefold())
    letters = [c for c in clean(text).text.casefold() if c.isalnum()]
    assert all(letter in source for letter in letters)


# ---- hyphens


@pytest.mark.parametrize(
    ("text", "expected", "removed"),
    [
        ("adenocarci-\nnoma of lung", "adenocarcinoma of lung", 1),
        ("ADENOCARCI-\nNOMA", "ADENOCARCINOMA", 1),
        ("meta-  \n  static", "metastatic", 1),
        ("a tan-\nbrown mass", "a tan-brown mass", 0),
        ("well-\ndifferentiated", "well-differentiated", 0),
        ("tumor-\nfree margins", "tumor-free margins", 0),
        ("HER2-\npositive", "HER2-positive", 0),
        ("T-\ncell", "T-cell", 0),
        ("PD-\nL1 expression", "PD-L1 expression", 0),
        ("TTF-\npositivity", "TTF-positivity", 0),
        ("Anti-\nSmith", "Anti-Smith", 0),
        ("tan-pink-\nyellow tissue", "tan-pink-yellow tissue", 0),
        # evidence in the rest of the text goes before all rules
        ("salpingo-\noophorectomy; salpingo-oophorectomy", "salpingo-oophorectomy; salpingo-oophorectomy", 0),
        ("tan-\nned; the tanned skin", "tanned; the tanned skin", 1),
        ("the bladder, the apex. apex-\nbladder", "the bladder, the apex. apex-bladder", 0),
        # no hyphen of a word at a line's end
        ("see below -\nnext", "see below -\nnext", 0),
        ("mid-line well-known", "mid-line well-known", 0),
        ("levels 1-\n2", "levels 1-\n2", 0),
    ],
)
def test_hyphens(text: str, expected: str, removed: int) -> None:
    assert join_hyphens(text) == (expected, removed)


def test_full_stops_of_tcga_reports_at_line_ends() -> None:
    text = "of the lung,. the yellow-. tan mass. See note:. Margins. free."
    assert mend_line_ends(text) == ("of the lung, the yellow-\ntan mass. See note: Margins. free.", 3)
    assert clean(text).text == "of the lung, the yellow-tan mass. See note: Margins. free."


# ---- headers and footers


def paged(*bodies: str) -> str:
    head = "St. Elsewhere Hospital\nSurgical pathology\nPage"
    pages = [
        f"{head} {number} of {len(bodies)}\n{body}\nPrinted 1/2/2003"
        for number, body in enumerate(bodies, start=1)
    ]
    return "\f".join(pages)


def test_headers_stay_once() -> None:
    text, dropped = drop_repeated_lines(paged("Diagnosis: a", "Gross: b", "Micro: c"))
    assert dropped == 2 * 4
    first, second, third = text.split("\f")
    assert first.split("\n")[:2] == ["St. Elsewhere Hospital", "Surgical pathology"]
    assert (second, third) == ("Gross: b", "Micro: c")
    assert clean(paged("Diagnosis: a", "Gross: b")).text.split("\n") == [
        "St. Elsewhere Hospital", "Surgical pathology", "Diagnosis: a", "Printed 1/2/2003", "Gross: b",
    ]  # fmt: skip


def test_what_differs_in_a_number_is_no_header() -> None:
    text = "pT2 N0\nbody one\fpT2 N1\nbody two"
    assert drop_repeated_lines(text) == (text, 0)


def test_repeats_inside_pages_are_no_headers() -> None:
    body = "\n".join(f"line {number} of the text" for number in range(8))
    pages = [
        f"start {n}\n{body.replace('line', f'row {n}')}\nNegative for tumor\n{body.replace('of', f'in {n}')}"
        for n in range(2)
    ]
    assert drop_repeated_lines("\f".join(pages))[1] == 0


def test_a_line_on_less_than_half_of_the_pages_is_no_header() -> None:
    text = "\f".join(["Addendum\na", "Addendum\nb", "c", "d", "e"])
    assert drop_repeated_lines(text) == (text, 0)


# ---- forms


def test_noise_lines() -> None:
    text = "Name\n______\n. , ;\n|\n\nPage 2 of 7\n- 3 -\n3 of 4\n[x]\n3 cm"
    assert drop_noise_lines(text) == ("Name\n\n[x]\n3 cm", 6)


def test_ticked_boxes_speak_and_empty_ones_do_not() -> None:
    text, count = drop_marks(
        "☒ invasive ☐ in situ [ ] benign [X] margins free pT1b__pNX | Site .......... lung"
    )
    assert text == "[x] invasive in situ benign [x] margins free pT1b pNX Site lung"
    assert count == 7


def test_signs_that_mean_something_stay() -> None:
    text = "Ki-67 < 5 % , p > 0.05, A1 & A2, +/- 2 cm, (3), 50-60 %, # 4"
    assert drop_marks(text) == (text, 0)


def test_characters() -> None:
    text = "ﬁbrous\u00a0tissue\r\nof “grade” 2\u20113\x07\ttwo \u200b\n\n\n\nend"
    assert plain_characters(text) == ('fibrous tissue\nof "grade" 2-3 two\n\nend', 6)


def test_pdfium_marks_of_cut_words_become_line_ends() -> None:
    assert plain_characters("adenocarci\x02noma, tan\ufffebrown") == ("adenocarci-\nnoma, tan-\nbrown", 2)
    assert clean("adenocarci\x02noma, tan\ufffebrown, co\xadop, meta\xad\nstatic").text == (
        "adenocarcinoma, tan-brown, coop, metastatic"
    )


def test_changes_are_counted_by_step() -> None:
    cleaned = clean(paged("ﬁne adenocarci-\nnoma ☐\n____", "b,. c"))
    assert cleaned.changes == {
        "header_lines_dropped": 4,
        "characters_replaced": 1,
        "noise_lines_dropped": 2,
        "marks_dropped": 1,
        "line_ends_mended": 1,
        "hyphens_joined": 1,
    }


# ---- garbage

WORDS = (
    "the Adenocarcinoma LUNG, (pT2aN1MX) M-8140/3 p16 HER2/neu 3.5x2.0x1.5 cm. 10% IHC: mRNA A. I 0/18 St. "
    "pTNM LLL müllerian T-A2000 1p/19q < +/- Ki-67 s/p D1S1592 McDonald ER+ well-differentiated"
)
GARBAGE = "~~ ;: tnfrwq iMcaFro ?????? aaarg |l1| w@rd xkcdfghj a$b }{ T??????"


@pytest.mark.parametrize("token", WORDS.split())
def test_words(token: str) -> None:
    assert looks_like_a_word(token)


@pytest.mark.parametrize("token", GARBAGE.split())
def test_garbage(token: str) -> None:
    assert not looks_like_a_word(token)


def test_garbage_ratio_is_the_share_of_tokens() -> None:
    assert garbage_ratio("") == garbage_ratio(" \n") == 0.0
    assert garbage_ratio("the tumor ?????? xkcdfghj") == 0.5
    assert garbage_ratio(WORDS) == 0.0
    assert garbage_ratio(GARBAGE) == 1.0
