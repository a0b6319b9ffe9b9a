"""Trained models on new scans: packed with all that they need, asked, written down, exported."""
