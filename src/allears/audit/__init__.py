"""What is in a corpus: quality, duplicates, licences, leakage, representation; and the verdicts that follow."""
