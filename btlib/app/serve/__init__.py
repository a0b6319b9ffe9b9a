"""The page of `btlib serve`: drop a scan, see the answer. Bound to this machine; keeps no file."""
