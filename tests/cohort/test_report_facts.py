"""Each fact on wordings as reports have them: stated, denied, in doubt and absent."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prime.cohort.report_facts import FACTS, facts_of
from prime.cohort.report_facts.prose import prose

NAMES = [fact.name for fact in FACTS]
NAN = math.nan

CASES: list[tuple[str, str, float]] = [
    # ---- stage
    ("t_stage", "Pathologic stage: pT2b N1 MX.", 2 + 1 / 3),
    ("t_stage", "AJCC pT1cNOMX", 1 + 2 / 3),
    ("t_stage", "Staging is pTla, pNO.", 1.0),
    ("t_stage", "Stage after treatment ypT3 ypN0.", 3.0),
    ("t_stage", "Tumor: p T4a. Nodes: p N2.", 4.0),
    ("t_stage", "Flat lesion, pTis.", 0.0),
    ("t_stage", "Non-invasive, pTa.", 0.0),
    ("t_stage", "The tumor is T2a N0 MX.", 2.0),
    ("t_stage", "TNM stage: T2.", 2.0),
    ("t_stage", "The tumor is pTX.", NAN),
    ("t_stage", "Due to no residual tissue, T2 weighted images were reviewed. Code T-28000.", NAN),
    ("n_stage", "pT2aN1M0", 1.0),
    ("n_stage", "The nodes are staged pNO.", 0.0),
    ("n_stage", "T1b N2 MX", 2.0),
    ("n_stage", "pT2 pN1mi(sn)", 1.0),
    ("n_stage", "pT2 NX MX", NAN),
    ("n_stage", "Due to no residual tumor.", NAN),
    ("m_stage", "pT3 N1 M1", 1.0),
    ("m_stage", "pT1bNOMO", 0.0),
    ("m_stage", "Distant metastasis: pM1b", 1.0),
    ("m_stage", "pT1 N0 MX", NAN),
    ("m_stage", "Received at 4 pm 1 piece.", NAN),
    ("stage", "FIGO stage IIIC", 3 + 2 / 3),
    ("stage", "AJCC Stage: IB.", 1 + 1 / 3),
    ("stage", "Stage grouping: IV", 4.0),
    ("stage", "Pathologic stage ll A", 2.0),
    ("stage", "FIGO: IIB.", 2 + 1 / 3),
    ("stage", "There is no stage IV disease.", NAN),
    ("stage", "Chronic hepatitis, fibrosis stage 3.", NAN),
    ("stage", "T stage: 2.", NAN),
    # ---- grade
    ("grade", "Fuhrman nuclear grade: 3", 3.0),
    ("grade", "Endometrioid carcinoma, FIGO grade II (of III).", 2.0),
    ("grade", "Astrocytoma (WHO grade III).", 3.0),
    ("grade", "Histologic grade: 2-3.", 2.5),
    ("grade", "Invasive carcinoma, Nottingham grade I/III", 1.0),
    ("grade", "Squamous carcinoma G2, pT2.", 2.0),
    ("grade", "Ductal carcinoma in situ, nuclear grade 3.", NAN),
    ("grade", "Gleason grade 4. Block G2 was decalcified.", NAN),
    ("differentiation", "WELL DIFFERENTIATED ADENOCARCINOMA", 1.0),
    ("differentiation", "Moderately to poorly. differentiated carcinoma.", 2.5),
    ("differentiation", "Poorly-differentiated tumor", 3.0),
    ("differentiation", "Undifferentiated carcinoma.", 4.0),
    ("differentiation", "Differentiation: moderate", 2.0),
    ("differentiation", "Glandular differentiation is seen.", NAN),
    ("high_grade", "High-grade urothelial carcinoma.", 1.0),
    ("high_grade", "Histologic grade: low.", 0.0),
    ("high_grade", "Low grade glioma without high grade areas.", 0.0),
    ("high_grade", "High grade prostatic intraepithelial neoplasia.", NAN),
    ("gleason_score", "Gleason score 3+4=7.", 7.0),
    ("gleason_score", "Gleason's grade: 4 + 5 = 9/10", 9.0),
    ("gleason_score", "Total Gleason score: 6.", 6.0),
    ("gleason_score", "Gleason score cannot be given.", NAN),
    ("nottingham_score", "Nottingham score 7 of 9", 7.0),
    ("nottingham_score", "Bloom-Richardson grade 2 (3+2+1).", 6.0),
    ("nottingham_score", "Tubule formation: 3. Nuclear pleomorphism: 2. Mitotic count: 1.", 6.0),
    ("nottingham_score", "Nuclear grade 3.", NAN),
    ("mitoses_per_10_hpf", "Mitotic rate: 12 / 10 high power fields.", 12.0),
    ("mitoses_per_10_hpf", "There are 2-4 mitoses per 10 HPF.", 3.0),
    ("mitoses_per_10_hpf", "Mitoses: 5 per 50 HPF", 1.0),
    ("mitoses_per_10_hpf", "No mitoses are seen.", 0.0),
    ("mitoses_per_10_hpf", "Mitoses are frequent.", NAN),
    ("ki67_percent", "Ki-67 labeling index is approximately 20%.", 20.0),
    ("ki67_percent", "The MIB-1 index: 5-10 %", 7.5),
    ("ki67_percent", "A stain for Ki-67 is pending. Tumor cells 80%.", NAN),
    # ---- sizes
    ("size_cm", "Tumor size: 3.2 x 2.0 x 1.5 cm.", 3.2),
    ("size_cm", "The tumor measures 25 mm in greatest dimension.", 2.5),
    ("size_cm", "The specimen is 20 x 15 x 9 cm. Sectioning reveals a 4.5 x 4 cm firm white mass.", 4.5),
    ("size_cm", "A lymph node measures 2 cm. The mass is 3 cm from the margin.", NAN),
    ("size_cm", "pT2: tumor more than 2 cm but not more than 4 cm in greatest dimension.", NAN),
    ("invasion_depth_cm", "Depth of invasion: 8 mm.", 0.8),
    ("invasion_depth_cm", "Breslow thickness 1.2 mm", 0.12),
    ("invasion_depth_cm", "The tumor invades 0.3 cm into the wall.", 0.3),
    ("invasion_depth_cm", "The depth of the tray is unknown.", NAN),
    ("myometrium_percent", "The tumor invades 40% of the myometrium.", 40.0),
    ("myometrium_percent", "Myometrial invasion: less than half.", 25.0),
    ("myometrium_percent", "Invades the outer half of the myometrium.", 75.0),
    ("myometrium_percent", "Invades inner third of myometrium.", 100 / 6),
    ("myometrium_percent", "Invades 5 mm of a 20 mm thick myometrium.", 25.0),
    ("myometrium_percent", "No myometrial invasion.", 0.0),
    ("myometrium_percent", "Myometrium with leiomyomas.", NAN),
    ("margin_distance_cm", "The tumor is 1.5 cm from the margin and 3 cm from the bronchial margin.", 1.5),
    ("margin_distance_cm", "Closest margin: 4 mm.", 0.4),
    ("margin_distance_cm", "The margin is inked.", NAN),
    # ---- nodes
    ("nodes_positive", "Two of eleven lymph nodes contain carcinoma (2/11).", 2.0),
    ("nodes_positive", "Lymph nodes, left: no tumor (0/5). Lymph nodes, right: metastasis (1/7).", 1.0),
    ("nodes_positive", "Lymph nodes are negative for tumor.", 0.0),
    ("nodes_positive", "Number of lymph nodes examined: 21. Number of lymph nodes involved: 3.", 3.0),
    ("nodes_positive", "Nuclear score (2/3).", NAN),
    ("nodes_examined", "Lymph nodes, left: no tumor (0/5). Lymph nodes, right: metastasis (1/7).", 12.0),
    ("nodes_examined", "Nodes A (0/5). Nodes B (1/7). Nodes in all: 1/12.", 12.0),
    ("nodes_examined", "Lymph nodes: 11/11 positive (regional 11/11).", 11.0),
    ("nodes_examined", "Three benign lymph nodes. Multiple (6) left pelvic lymph nodes are negative.", 9.0),
    ("nodes_examined", "Total number of lymph nodes examined: 13", 13.0),
    ("nodes_examined", "Lymph nodes are negative for tumor.", NAN),
    ("nodes_positive_share", "Nodes (1/4) and nodes (2/8).", 0.25),
    ("nodes_positive_share", "No node was received.", NAN),
    ("extranodal_extension", "Metastasis in one node with extranodal extension.", 1.0),
    ("extranodal_extension", "Lymph nodes 1/5; extracapsular extension of nodes: not identified.", 0.0),
    ("extranodal_extension", "Extranodal extension cannot be assessed.", NAN),
    # ---- findings
    ("margin_positive", "Surgical. resection margins are negative for tumor.", 0.0),
    ("margin_positive", "MARGINS. Uninvolved by tumor.", 0.0),
    ("margin_positive", "Carcinoma is present at the deep margin.", 1.0),
    ("margin_positive", "Margins involved: no.", 0.0),
    ("margin_positive", "Bronchial margin: free. Vascular margin: involved by carcinoma.", 1.0),
    ("margin_positive", "Margins cannot be assessed.", NAN),
    ("lymphovascular_invasion", "LYMPHOVASCULAR INVASION IS IDENTIFIED", 1.0),
    ("lymphovascular_invasion", "Lymphovascular invasion: Not identified.", 0.0),
    ("lymphovascular_invasion", "No perineural, lymphatic or vascular invasion.", 0.0),
    ("lymphovascular_invasion", "Angiolymphatic and perineural invasion are present.", 1.0),
    ("lymphovascular_invasion", "Venous invasion: Not specified.", NAN),
    ("lymphovascular_invasion", "Vascular invasion: Tumor capsule: intact.", NAN),
    ("perineural_invasion", "Extensive perineural invasion.", 1.0),
    ("perineural_invasion", "PERINEURAL INVASION. Absent.", 0.0),
    ("perineural_invasion", "No angiolymphatic or perineural invasion is seen.", 0.0),
    ("perineural_invasion", "Suspicious for perineural invasion.", NAN),
    ("pleural_invasion", "The tumor invades the visceral pleura.", 1.0),
    ("pleural_invasion", "VISCERAL PLEURAL INVASION. Not identified.", 0.0),
    ("pleural_invasion", "The pleura is smooth.", NAN),
    ("capsular_extension", "Extrathyroidal extension: present, minimal.", 1.0),
    ("capsular_extension", "Tumor confined to the prostate.", 0.0),
    ("capsular_extension", "The tumor extends through the renal capsule.", 1.0),
    ("capsular_extension", "No extraprostatic extension.", 0.0),
    ("capsular_extension", "Capsule of the node is thick.", NAN),
    ("necrosis", "Necrosis: absent", 0.0),
    ("necrosis", "Focal necrosis is seen.", 1.0),
    ("necrosis", "Extensive tumor necrosis.", 2.0),
    ("necrosis", "Necrosis: cannot be assessed.", NAN),
    ("multifocal", "The tumor is multifocal.", 1.0),
    ("multifocal", "TUMOR FOCALITY. Unifocal.", 0.0),
    ("multifocal", "Satellite nodules: absent.", 0.0),
    ("multifocal", "Multinodular goiter.", NAN),
    ("metastasis", "Metastatic carcinoma in two nodes.", 1.0),
    ("metastasis", "Four nodes negative for metastatic carcinoma.", 0.0),
    ("metastasis", "Distant metastasis: not applicable.", NAN),
    ("in_situ", "Ductal carcinoma in situ is present.", 1.0),
    ("in_situ", "In situ component: none.", 0.0),
    ("in_situ", "Fluorescence in situ hybridization was done.", NAN),
    ("ulceration", "Ulceration: present.", 1.0),
    ("ulceration", "The surface is not ulcerated.", 0.0),
    ("ulceration", "The surface is smooth.", NAN),
    # ---- markers
    ("er_positive", "ER: positive (90%). PR: negative.", 1.0),
    ("er_positive", "Negative for estrogen receptor and progesterone receptor.", 0.0),
    ("er_positive", "ER-POSITIVE, PR-NEGATIVE", 1.0),
    ("er_positive", "ER and HER2 have been ordered.", NAN),
    ("pr_positive", "ER-POSITIVE, PR-NEGATIVE", 0.0),
    ("pr_positive", "ER, PR positive.", 1.0),
    ("pr_positive", "PR: No expression.", 0.0),
    ("pr_positive", "PR pending.", NAN),
    ("her2_positive", "HER2/neu: amplified.", 1.0),
    ("her2_positive", "Her-2/neu (IHC): 3+", 1.0),
    ("her2_positive", "HER2: non-amplified", 0.0),
    ("her2_positive", "HER-2/neu: equivocal (2+)", NAN),
    ("idh1_mutated", "IDH1 (R132H): positive.", 1.0),
    ("idh1_mutated", "IDH1 mutation: not detected", 0.0),
    ("idh1_mutated", "IDH1 is in progress.", NAN),
    ("codeleted_1p_19q", "FISH shows co-deletion of 1p and 19q.", 1.0),
    ("codeleted_1p_19q", "No loss of 1p/19q.", 0.0),
    ("codeleted_1p_19q", "1p/19q studies follow.", NAN),
    ("p53_positive", "The cells are positive for p53.", 1.0),
    ("p53_positive", "p53: negative", 0.0),
    ("p53_positive", "A p53 stain follows.", NAN),
    # ---- words of the type
    ("oligodendroglioma", "Oligoastrocytoma.", 1.0),
    ("oligodendroglioma", "No oligodendroglioma component.", 0.0),
    ("astrocytoma", "Astrocytoma, WHO grade II.", 1.0),
    ("astrocytoma", "Reactive astrocytes.", NAN),
    ("anaplastic_or_glioblastoma", "Glioblastoma.", 1.0),
    ("anaplastic_or_glioblastoma", "Anaplasia is absent.", 0.0),
    ("serous", "Serous papillary carcinoma.", 1.0),
    ("serous", "A cyst with serous fluid.", NAN),
    ("endometrioid", "Carcinoma, endometrioid type.", 1.0),
    ("clear_cell", "Clear cell carcinoma.", 1.0),
    ("sarcomatoid", "Sarcomatoid features: not identified.", 0.0),
    ("sarcomatoid", "Carcinosarcoma.", 1.0),
    ("squamous", "Squamous cell carcinoma.", 1.0),
    ("squamous", "Squamous metaplasia.", NAN),
    ("keratinizing", "Keratinizing carcinoma.", 1.0),
    ("keratinizing", "Non-keratinizing carcinoma.", 0.0),
    ("lobular", "Invasive lobular carcinoma.", 1.0),
    ("mucinous", "Signet-ring cell type.", 1.0),
    ("papillary", "Papillary carcinoma.", 1.0),
    ("micropapillary_or_solid", "With a micropapillary pattern.", 1.0),
    ("micropapillary_or_solid", "A solid tan mass.", NAN),
    ("lepidic_or_acinar", "Bronchioloalveolar carcinoma.", 1.0),
    ("lepidic_or_acinar", "Bronchoalveolar lavage.", NAN),
]  # fmt: skip


def fact(name: str, text: str) -> float:
    return float(facts_of(text)[NAMES.index(name)])


@pytest.mark.parametrize(("name", "text", "expected"), CASES)
def test_a_fact(name: str, text: str, expected: float) -> None:
    assert fact(name, text) == pytest.approx(expected, nan_ok=True)


def test_every_fact_is_tested_and_described() -> None:
    assert {name for name, _, expected in CASES if expected == expected} == set(NAMES)
    assert len(set(NAMES)) == len(NAMES)
    assert all(item.meaning and "\n" not in item.meaning for item in FACTS)


def test_the_page_lists_every_fact() -> None:
    page = (Path(__file__).parents[2] / "docs" / "encode_reports.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", page.partition("| fact | meaning |")[2], re.MULTILINE)
    assert rows[: len(FACTS)] == [(fact.name, fact.meaning) for fact in FACTS]
    assert f"{len(FACTS)} numbers" in page


def test_the_array() -> None:
    found = facts_of("")
    assert found.shape == (len(FACTS),)
    assert found.dtype == np.float32
    assert np.isnan(found).all()


def test_a_line_end_inside_a_sentence_breaks_no_clause() -> None:
    found = prose(
        "Surgical. margins are free. Nodes:. none. VASCULAR. INVASION is absent; other\nwords\nNew line"
    )
    assert found.clauses == (
        "surgical margins are free.",
        "nodes: none.",
        "vascular invasion is absent",
        "other words",
        "new line",
    )


PIECES = st.sampled_from(
    [
        "pT2", "N1", "no ", "margin", "lymph nodes ", "(2/11)", "grade ", "III", "tumor ", "3.2 x 1", " cm",
        "%", ": ", "invasion", "lymphovascular ", "necrosis", "Ki-67 ", "ER", "+", "negative", "Gleason 3+4",
        ". ", "\n", "stage ", "depth of ", "myometrium ", "1p/19q", "per 10 HPF", "mitoses ",
        "not identified", "\x00",
    ]
)  # fmt: skip


@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=25).map("".join)))
@settings(max_examples=200)
def test_any_text_gives_numbers_or_nan(text: str) -> None:
    assert not np.isinf(facts_of(text)).any()


OTHER = st.sampled_from(
    [
        "Received in a container.",
        "The tissue is tan and soft.",
        "Signed by the doctor.",
        "Photographs were taken.",
    ]
)


@given(st.sampled_from([text for _, text, _ in CASES if text.endswith(".")]), OTHER)
@settings(max_examples=100)
def test_a_sentence_without_facts_changes_nothing(text: str, other: str) -> None:
    expected = facts_of(text)
    assert np.array_equal(facts_of(f"{text} {other}"), expected, equal_nan=True)
    assert np.array_equal(facts_of(f"{other} {text}"), expected, equal_nan=True)
