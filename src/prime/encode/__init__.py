"""From raw files to feature files: slides, RNA-seq, reports, the GDC. Meets the rest only through files."""
