"""Where the regions of every vial lie in a frame, and the one implementation that cuts them out."""

from vialsight._core import Layout, extract_patches

__all__ = ["Layout", "extract_patches"]
