"""PRIME: prototype-driven multimodal pretraining for cancer prognosis with missing modalities."""

__version__ = "0.1.0"
