"""Latent walk widget."""
