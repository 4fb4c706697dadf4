"""`python -m bench`: every benchmark, one after the other; arguments are passed to none of them.

`python -m bench --quick` runs the small form of those that have one.
"""

import subprocess
import sys
from typing import Final

QUICK: Final = "--quick"
BENCHMARKS: Final = (
    # name, arguments, arguments of the small form
    ("bench_codec", (), ()),
    ("bench_put_get", (), (QUICK,)),
    ("bench_list", (), ("--keys", "10000")),
    ("bench_versions", (), ("--rows", "50000", "--keys", "2000")),
    ("bench_memory", (), ("--gib", "0.5")),
)


def main() -> None:
    is_quick = QUICK in sys.argv[1:]
    for name, full, small in BENCHMARKS:
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"bench.{name}", *(small if is_quick else full)], check=True)


if __name__ == "__main__":
    main()
