"""How good models are on annotated photographs: figures with intervals, two models side by side."""
