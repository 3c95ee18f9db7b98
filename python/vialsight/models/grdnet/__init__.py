"""GRD-Net: a segmenting network beside a reconstruction, taught by synthetic anomalies."""
