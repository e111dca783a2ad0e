"""From RNA-seq to features: tokens of genes by BulkRNABert, or a table of log(1 + TPM)."""
