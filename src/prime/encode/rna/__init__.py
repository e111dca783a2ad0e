"""From RNA-seq to features: BulkRNABert tokens of genes, or a table of log TPM."""
