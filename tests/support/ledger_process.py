"""A ledger over words in a process of its own, to be connected to, stopped, killed and started again."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from objstore.shared_state import SharedState
from tests.support.ledger import Words, WordsCodec, make_roots, settings_for

START_S = 30.0


class LedgerProcess:
    """Drives, runtime files and, while it runs, the process."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.roots = make_roots(base)
        self.socket_path = str(base / "ledger.sock")
        SharedState.create(base / "state")
        self.shared = SharedState(base / "state")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, boot_id: str = "this boot") -> "LedgerProcess":
        """Start it and wait until it answers."""
        argument = json.dumps({"base": str(self.base), "boot_id": boot_id})
        command = [sys.executable, "-m", "tests.support.ledger_process", argument]
        with open(self.base / "log", "ab") as log:
            self.process = subprocess.Popen(command, stderr=log, cwd=Path(__file__).parents[2])
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.01)
        return self

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(self.socket_path)
            except OSError:
                return False
            return bool(probe.recv(1))

    def log(self) -> str:
        """What it has said."""
        return (self.base / "log").read_text()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> None:
        """SIGTERM; it must end in order."""
        if self.process is not None:
            self.signal(signal.SIGTERM)
            assert self.wait() == 0, self.log()

    def wait(self) -> int:
        """Wait until it has ended; its exit status."""
        assert self.process is not None
        status = self.process.wait(START_S)
        self.process = None
        return status


def main() -> None:
    """The process."""
    import logging

    from objstore.meta.ledger import LedgerFailed, run_ledger

    logging.basicConfig(level=logging.INFO)
    told = json.loads(sys.argv[1])
    base = Path(told["base"])
    roots = sorted(base.glob("d?"))
    settings = settings_for(
        [base / f"d{number}" for number in range(1, 7)],
        deployment=6,
        boot_id=told["boot_id"],
        is_parallel=True,
        socket_path=str(base / "ledger.sock"),
    )
    assert roots
    try:
        run_ledger(settings, SharedState(base / "state"), codec=WordsCodec(), schema=Words())
    except LedgerFailed:
        sys.exit(3)


if __name__ == "__main__":
    main()
