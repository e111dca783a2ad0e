"""From pathology reports (PDF, scans, plain text, TCGA-Reports) to clean text and features of word pieces."""
