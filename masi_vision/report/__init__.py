"""What a run leaves behind: tables, overlays, masks."""
