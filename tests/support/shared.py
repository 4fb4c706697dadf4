"""What stands for the numbers all processes share (`objstore.shared_state`), where a test has one process."""


class NeverMoves:
    """Configuration that never changes, and nobody who listens."""

    epoch = 0
    listener_count = 0


class AlwaysMoved:
    """Configuration that has changed whenever somebody looks, so that nothing is cached; nobody listens."""

    listener_count = 0

    def __init__(self) -> None:
        self._looks = 0

    @property
    def epoch(self) -> int:
        self._looks += 1
        return self._looks

    def set_oldest_read(self, worker: int, began_ms: int) -> None:
        pass
