"""Web page of `btlib serve`: drop a scan, see the prediction. Local to this machine; keeps no files."""
