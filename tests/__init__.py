"""The tests. Imported before any of them, and so before any library that makes threads."""

import os

# Two tests run at a time, and scripts beside them: more threads would wait for one another, and OpenMP's
# burn a processor while they do.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
