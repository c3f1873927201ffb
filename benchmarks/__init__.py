"""What OLMo Explain says about its speed, runnable: `make bench`, or `python -m benchmarks`."""
