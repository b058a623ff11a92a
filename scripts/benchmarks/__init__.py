"""One small harness for every benchmark: ours and the peer interleaved in one run."""
