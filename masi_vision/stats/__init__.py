"""Statistics of reads and scores: numbers in, numbers out."""
