"""TCGA from the Genomic Data Commons (GDC): listing files, fetching them, and aligning them into a cohort."""
