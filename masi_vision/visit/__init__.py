"""Photos of one visit, measured, merged and graded."""
