"""Effects on document pages: geometry, windows, paper, ink, scanner, camera, mosaics.

The kernels are Pillow's and NumPy's: pages come from Pillow, and importing this takes no torch.
albumentations has many of the effects, but is no longer maintained, its successor is AGPL-3.0, both need
OpenCV, and neither knows what a window may cut or where a turned table's ink ends.
"""
