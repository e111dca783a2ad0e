"""TCGA from the Genomic Data Commons: what there is, fetching it, and aligning it into a cohort."""
