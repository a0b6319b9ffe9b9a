"""Trained models on new scans: packaging, prediction, serving and export."""
