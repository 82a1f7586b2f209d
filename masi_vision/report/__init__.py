"""What a run leaves behind: tables, pictures, the page of a study, files for registries and for DICOM."""
