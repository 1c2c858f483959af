"""What tests share: peers, faulty backends and servers, rounds made up and rounds run for real."""

from pathlib import Path

SUPPORT = Path(__file__).parent
TESTS = SUPPORT.parent
ROOT = TESTS.parent
DATA = TESTS / "data"
EXAMPLES = ROOT / "docs" / "examples"
