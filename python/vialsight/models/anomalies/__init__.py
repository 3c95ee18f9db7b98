"""Synthetic anomalies: what might happen to a product, drawn as a camera would see it.

Families are generic changes of an image, none of them derived from the simulator's defects. A
change is drawn, blurred as the lens would have blurred it, and given the sensor's noise where
smoothing or dimming took it away; only what exceeds noise and nominal variation is labelled.
"""
