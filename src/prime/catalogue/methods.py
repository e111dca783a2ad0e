"""The methods that PRIME is compared with, in the order of tables: facts, and where the code of each is."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from prime.catalogue.registry import Registry, load
from prime.errors import InputError


@dataclass(frozen=True)
class Method:
    """The facts of a method that the docs, the tables and the training loop need.

    Attributes:
        name: on the command line and in result files.
        title: in tables and figures.
        kind: `neural`, a `FusionNetwork`; `classical`, a `ClassicalModel`; or `joint`, a `JointModel`, which
            also reads patients without labels (`prime.methods.interface`).
        place: its class, as `module:class`.
        reference: authors, title, venue and year of the original.
        missing: what it does with a patient who lacks a modality that it reads.
        departs: where our version departs from the original.
        roles: the modalities that it reads, by role (`image`, `rna`, `report`), in order; None: all.
        defaults: settings that differ from those of the class, where it serves under several names.
        beyond_paper: not among the fifteen methods of the paper.
        pretrains: it has a stage of its own without labels: a network on the training patients of the fold, a
            joint model on everybody whom the fold does not test.
        covariates: it reads the covariates of the clinical table.
        across: it learns from the labels of all cohorts of an evaluation, for each of them.
    """

    name: str
    title: str
    kind: Literal["neural", "classical", "joint"]
    place: str
    reference: str
    missing: str
    departs: str
    roles: tuple[str, ...] | None = None
    defaults: dict[str, Any] = field(default_factory=dict[str, Any])
    beyond_paper: bool = False
    pretrains: bool = False
    covariates: bool = False
    across: bool = False

    @property
    def reads(self) -> str:
        """What it reads, in words: `all modalities`; `rna, covariates`."""
        names = ["all modalities"] if self.roles is None else list(self.roles)
        return ", ".join([*names, *(["covariates"] if self.covariates else [])])

    @property
    def build(self) -> Any:
        """The class that does it; imports it."""
        return load(self.place)

    def settings(self, changes: dict[str, Any] | None = None) -> Any:
        """Its settings with some changed; imports the class. Raises pydantic's ValidationError."""
        return self.build.Settings.model_validate(self.defaults | (changes or {}))

    def modalities(self, available: dict[str, tuple[str, ...]], roles: dict[str, str]) -> tuple[str, ...]:
        """The cohort's modalities that play the method's roles.

        `available` maps modality to sources; `roles` renames roles for cohorts that call them otherwise.
        Raises InputError for a role that no modality plays.
        """
        if self.roles is None:
            return tuple(available)
        names = tuple(roles.get(role, role) for role in self.roles)
        for role, name in zip(self.roles, names, strict=True):
            if name not in available:
                raise InputError(
                    f"method {self.name}: the cohort has no modality {name!r} for the role {role!r};"
                    f" it has {', '.join(available)}; set comparison.roles, or leave the method out"
                )
        return names


_ONE_MODALITY = Method(
    name="image_only",
    title="Image-only",
    kind="neural",
    place="prime.methods.networks.unimodal:Unimodal",
    reference="The single-modality variants in PRIME: Prototype-Driven Multimodal Pretraining for "
    "Cancer Prognosis with Missing Modalities, IV-C1",
    missing="not applicable: it reads one modality, and nothing is imputed",
    departs="without prototypes and refiners, which serve imputation; like PRIME's fine-tuning it has"
    " no load-balancing loss",
    roles=("image",),
)
_LATE_RIDGE = Method(
    name="late_ridge",
    title="Late ridge",
    kind="classical",
    place="prime.methods.classical.late_ridge:LateRidge",
    reference="Ridge Cox regression (Verweij and van Houwelingen, Statistics in Medicine 1994) on the "
    "principal components of each source, fused late",
    missing="the mean is taken over what is there, without imputation",
    departs="nothing: a simple reference of our own; its survival curves come from a Cox or logistic "
    "regression on the fused score of the training patients themselves, so they are too sure",
    beyond_paper=True,
)
_BLOCK_RIDGE = Method(
    name="block_ridge",
    title="Block ridge",
    kind="joint",
    place="prime.methods.classical.block_ridge:BlockRidge",
    reference="Ridge Cox regression (Verweij and van Houwelingen, Statistics in Medicine 1994) with a "
    "penalty for each source, as Boulesteix et al., IPF-LASSO, Computational and Mathematical Methods in "
    "Medicine 2017, have for the lasso",
    missing="a missing block is zero, the mean of the cancer type",
    departs="features are normal scores within the cancer type, one Newton step from zero is the fit, and"
    " what needs no labels is fitted on everybody whom the fold does not test",
    beyond_paper=True,
    pretrains=True,
)
_FILLED = "a missing block takes its conditional mean given the others, in one Gaussian of all cancer types"
_ANNOTATED = {"impute": True, "annotations": ["age", "stage", "grade"]}
_SHARED_RIDGE = replace(
    _BLOCK_RIDGE,
    name="shared_ridge",
    title="Shared ridge",
    place="prime.methods.classical.block_ridge:SharedRidge",
    reference="Ridge Cox regression over cohorts, shrunken towards what they share (Efron and Morris, JASA "
    "1973)",
    missing=_FILLED,
    departs="as block_ridge; a cohort's weights are shared weights plus a deviation, other endpoints are "
    "learned as well, and age, stage and grade as the features predict them are further features",
    defaults=_ANNOTATED,
    across=True,
)

METHODS: Registry[Method] = Registry(
    "method",
    _ONE_MODALITY,
    replace(_ONE_MODALITY, name="rna_only", title="RNA-only", roles=("rna",)),
    replace(_ONE_MODALITY, name="report_only", title="Text-only", roles=("report",)),
    Method(
        name="abmil",
        title="ABMIL",
        kind="neural",
        place="prime.methods.networks.abmil:Abmil",
        reference="Ilse, Tomczak and Welling, Attention-based Deep Multiple Instance Learning, ICML 2018",
        missing="not applicable: it reads images alone; an absent source adds no instances to the bag",
        departs="the gated variant with the dropout of pathology models; a vector source gives one "
        "instance a feature group, and the loss is that of survival in time bins",
        roles=("image",),
    ),
    Method(
        name="snn",
        title="SNN",
        kind="neural",
        place="prime.methods.networks.snn:Snn",
        reference="Klambauer, Unterthiner, Mayr and Hochreiter, Self-Normalizing Neural Networks, NeurIPS "
        "2017",
        missing="not applicable: it reads RNA alone; zeros stand for an absent source",
        departs="ELU instead of SELU by default, as in the SNN of pathology models, but without their L1 "
        "penalty; the rows of a sequence source are averaged",
        roles=("rna",),
    ),
    Method(
        name="early",
        title="Early",
        kind="neural",
        place="prime.methods.networks.early:Early",
        reference="Early fusion of tokens; Transformer blocks of Vaswani et al., Attention is all you need,"
        " NeurIPS 2017",
        missing="zero tokens that no attention reads and no mean counts",
        departs="nothing: the plain scheme, with PRIME's tokenizers",
    ),
    Method(
        name="late",
        title="Late",
        kind="neural",
        place="prime.methods.networks.late:Late",
        reference="Late fusion; Transformer blocks of Vaswani et al., Attention is all you need, NeurIPS "
        "2017",
        missing="zeros stand for the features of a missing modality",
        departs="it joins features, as published code does, where the paper speaks of decisions: see "
        "`late_decision`",
    ),
    Method(
        name="late_decision",
        title="Late (decision)",
        kind="neural",
        place="prime.methods.networks.late:LateDecision",
        reference="Late fusion; Transformer blocks of Vaswani et al., Attention is all you need, NeurIPS "
        "2017",
        missing="the mean is over the modalities that the patient has",
        departs="nothing: hazard logits are averaged with equal weights, and all modalities train together",
        beyond_paper=True,
    ),
    Method(
        name="cross_attention",
        title="CrossAttn",
        kind="neural",
        place="prime.methods.networks.cross_attention:CrossAttention",
        reference="Cross-modal attention; Transformer blocks of Vaswani et al., Attention is all you need, "
        "NeurIPS 2017",
        missing="no attention reads a missing modality, and zeros stand for its features; where all "
        "others are missing, attention adds nothing",
        departs="every modality keeps a stream of its own through all layers, as intended; in published "
        "code all streams derive from one after the first layer",
    ),
    Method(
        name="tensor_fusion",
        title="TensorFusion",
        kind="neural",
        place="prime.methods.networks.tensor_fusion:TensorFusion",
        reference="Zadeh et al., Tensor fusion network for multimodal sentiment analysis, EMNLP 2017",
        missing="its vector is zero; the products with its leading 1 keep everything of the other modalities",
        departs="means of PRIME's query tokens replace the original's networks for text, audio and video;"
        " vectors of 16 numbers, as the size of the product is a power of it",
    ),
    Method(
        name="mag",
        title="MAGGate",
        kind="neural",
        place="prime.methods.networks.mag:MAG",
        reference="Rahman et al., Integrating multimodal information in large pretrained transformers, ACL "
        "2020",
        missing="a missing other modality shifts nothing; with the anchor missing its tokens are zeros "
        "and the shift is taken in full (alpha 1), since scaling it to the length of zeros would "
        "let nothing through",
        departs="one sigmoid gate a token and modality, and a learned beta above zero that starts at 0.5;"
        " query tokens stand in for aligned words, and blocks trained from scratch for a language"
        " model",
        defaults={"gates": "scalar", "beta": 0.5, "anchor": None},
    ),
    Method(
        name="mag_rahman",
        title="MAGGate (Rahman)",
        kind="neural",
        place="prime.methods.networks.mag:MAG",
        reference="Rahman et al., Integrating multimodal information in large pretrained transformers, ACL "
        "2020",
        missing="a missing other modality shifts nothing; with the anchor missing its tokens are zeros "
        "and the shift is taken in full (alpha 1), since scaling it to the length of zeros would "
        "let nothing through",
        departs="the original's gate; query tokens stand in for words aligned in time, and blocks trained"
        " from scratch for a pretrained language model",
        defaults={"gates": "vector", "beta": 1.0, "anchor": None},
        beyond_paper=True,
    ),
    Method(
        name="mult",
        title="MulT",
        kind="neural",
        place="prime.methods.networks.mult:MulT",
        reference="Tsai et al., Multimodal transformer for unaligned multimodal language sequences, ACL 2019",
        missing="nothing attends to a missing modality, and its own stream is zeros; a modality left "
        "alone passes through its stream without cross-attention",
        departs="the tokens have no order, so positions and the causal mask are left out and a mean "
        "replaces the last step; one cross block for each ordered pair instead of five",
    ),
    Method(
        name="mcat",
        title="MCAT",
        kind="neural",
        place="prime.methods.networks.mcat:Mcat",
        reference="Chen, Lu, Weng, Chen, Williamson, Manz, Shady and Mahmood, Multimodal Co-Attention "
        "Transformer for Survival Prediction in Gigapixel Whole Slide Images, ICCV 2021",
        missing="without RNA nothing guides the attention, so every image instance weighs the same; zeros"
        " stand for the pooled vector of a missing side",
        departs="contiguous chunks of the RNA features stand for gene families; no weighted sampling, and"
        " the epoch is chosen on validation patients instead of being the last",
        roles=("image", "rna"),
    ),
    Method(
        name="porpoise",
        title="Porpoise",
        kind="neural",
        place="prime.methods.networks.porpoise:Porpoise",
        reference="Chen, Lu, Williamson et al., Pan-cancer integrative histology-genomic analysis via "
        "multimodal deep learning, Cancer Cell 2022",
        missing="zeros stand for a missing side's vector and for its part of the bilinear product, which "
        "leaves the other side's own terms",
        departs="gates and skip connection are always on, and the L1 penalty is added once a batch; a "
        "vector source of images gives one instance a feature group",
        roles=("image", "rna"),
    ),
    Method(
        name="pathomics",
        title="PathOmics",
        kind="neural",
        place="prime.methods.networks.pathomics:Pathomics",
        reference="Ding, Zhou, Metaxas and Zhang, Pathology-and-genomics Multimodal Transformer for "
        "Survival Outcome Prediction, MICCAI 2023",
        missing="zeros stand for the vector of a missing side; pretraining uses the patients who have both",
        departs="contiguous chunks of the RNA features stand for gene families; all weights are fine-"
        "tuned, and validation patients choose the epoch (in published code test patients do). As"
        " in the original, pretraining can collapse: constant vectors have no loss; "
        "`variance_weight` adds a term against it",
        roles=("image", "rna"),
        pretrains=True,
    ),
    Method(
        name="song",
        title="Song",
        kind="classical",
        place="prime.methods.classical.song:Song",
        reference="Song et al., Multimodal cancer modeling in the age of foundation model embeddings, ML4H "
        "2025 (arXiv 2505.07683)",
        missing="a missing modality's standardised risk is 0, the training mean; a missing source of a "
        "modality stands at its training mean",
        departs="the number of components is chosen in inner folds and the second stage is fitted on out-"
        "of-fold risks (the original fits it in-sample and shows test results of every number); "
        "binary tasks take logistic regressions",
    ),
    Method(
        name="clinical_cox",
        title="Clinical Cox",
        kind="classical",
        place="prime.methods.classical.clinical_cox:ClinicalCox",
        reference="Cox, Regression models and life-tables, JRSS B 1972, with a ridge penalty",
        missing="a missing covariate takes the training mean; one that more than 5 % of training patients"
        " lack also gets an indicator",
        departs="a binary task takes a ridge logistic regression",
        roles=(),
        beyond_paper=True,
        covariates=True,
    ),
    _LATE_RIDGE,
    replace(
        _LATE_RIDGE,
        name="late_ridge_clinical",
        title="Late ridge + clinical",
        place="prime.methods.classical.late_ridge:LateRidgeClinical",
        reference=f"{_LATE_RIDGE.reference}, with a clinical Cox model as one more modality",
        missing=f"{_LATE_RIDGE.missing}; a missing covariate takes the training mean",
        covariates=True,
    ),
    _BLOCK_RIDGE,
    replace(
        _BLOCK_RIDGE,
        name="block_ridge_imputed",
        title="Block ridge, imputed",
        missing=_FILLED,
        defaults={"impute": True},
    ),
    replace(
        _BLOCK_RIDGE,
        name="block_ridge_annotated",
        title="Block ridge, annotated",
        missing=_FILLED,
        departs=f"{_BLOCK_RIDGE.departs}; age, stage and grade as the features predict them are further "
        "features, learned from all patients whose clinical table has them",
        defaults=_ANNOTATED,
    ),
    _SHARED_RIDGE,
    replace(
        _SHARED_RIDGE,
        name="ridge_average",
        title="Block + shared ridge",
        place="prime.methods.classical.block_ridge:RidgeAverage",
        departs="the mean of the standardised risks of block_ridge_annotated and shared_ridge",
    ),
    replace(
        _BLOCK_RIDGE,
        name="block_ridge_clinical",
        title="Block ridge + clinical",
        missing=f"{_BLOCK_RIDGE.missing}; so is a missing covariate",
        covariates=True,
    ),
    replace(
        _SHARED_RIDGE,
        name="shared_ridge_clinical",
        title="Shared ridge + clinical",
        missing=f"{_FILLED}; a missing covariate is zero, the mean of the cancer type",
        departs="as shared_ridge, with the covariates themselves instead of their predictions",
        defaults={"impute": True},
        covariates=True,
    ),
    Method(
        name="boosting",
        title="Gradient boosting",
        kind="classical",
        place="prime.methods.classical.boosting:Boosting",
        reference="Friedman, Greedy function approximation: a gradient boosting machine, Annals of "
        "Statistics 2001; scikit-learn's HistGradientBoostingClassifier",
        missing="trees send missing numbers down a branch of their own, learned in training",
        departs="trees predict the hazard of each time bin from principal components of the sources; a "
        "binary task has one bin",
        beyond_paper=True,
    ),
    Method(
        name="flex_moe",
        title="Flex-MoE",
        kind="neural",
        place="prime.methods.networks.flex_moe:FlexMoE",
        reference="Yun et al., Flex-MoE: Modeling arbitrary modality combination via the flexible mixture-"
        "of-experts, NeurIPS 2024",
        missing="tokens learned for the observed combination and the missing modality; a combination that"
        " no training patient had falls back to what the other combinations trained, and where "
        "all training patients are complete the bank stays as it was drawn",
        departs="as many experts as combinations, and the balance term of Switch Transformer; the gate "
        "reads the token's modality too; no epochs sorted by completeness; bank entries share a "
        "part by modality",
        beyond_paper=True,
    ),
)
