"""What all tests share: the folder of the fakes on the path, since tests are imported one by one."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
