"""The page on which masked readers grade, and its database with an audit trail."""
