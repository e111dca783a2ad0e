"""From raw files to feature files: slides, RNA-seq, reports, and TCGA from the GDC.

The rest of the library knows of it only by the files that it writes.
"""
