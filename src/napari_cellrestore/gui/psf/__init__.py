"""PSF widget."""
