"""Captum's attribution methods as explainers of convkit."""
