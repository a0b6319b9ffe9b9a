"""What one GPU does with btlib, in one command; see `benchmarks/gpu/__main__.py`."""
