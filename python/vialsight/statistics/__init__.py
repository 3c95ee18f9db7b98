"""Statistics of inspection: intervals, ranking, pixels, drift, Knapp study, k-of-n rule.

Pure numerics on arrays and counts. Positive = defective everywhere. Whatever is drawn at random is
drawn from a seed, so that the same data give the same figures.
"""
