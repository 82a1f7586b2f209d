"""Data, augmentation, fitting, evaluation and export of the models; the only part that needs PyTorch."""
