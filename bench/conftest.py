"""Let pytest find the benchmark modules, whatever its import mode."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
