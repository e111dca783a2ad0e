"""Pathology reports: PDF, scans, plain text or TCGA-Reports, to clean text and word-piece features."""
