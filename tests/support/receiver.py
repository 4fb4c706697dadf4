"""An HTTP server that takes events, or refuses them as long as it is told to."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Listens on 127.0.0.1; `documents` are the bodies it took, in order."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.status: Callable[[dict[str, Any]], int] = lambda document: 200
        """What to answer to a document; only with 2xx is it taken."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                document = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status = receiver.status(document)
                if 200 <= status < 300:
                    receiver.documents.append(document)
                    receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(status)
                if status in (301, 302, 307, 308):
                    self.send_header("location", receiver.url)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/events"

    def records(self, bucket: str) -> list[dict[str, Any]]:
        """The records of one bucket, in the order they came."""
        found = [record for document in self.documents for record in document.get("Records", ())]
        return [record for record in found if record["s3"]["bucket"]["name"] == bucket]

    def wait_for(self, count: int, bucket: str, within_s: float = 15) -> list[dict[str, Any]]:
        """The records of one bucket, once there are `count`; and no more come soon after."""
        deadline = time.monotonic() + within_s
        while len(self.records(bucket)) < count:
            assert time.monotonic() < deadline, self.documents
            time.sleep(0.05)
        time.sleep(0.3)
        records = self.records(bucket)
        assert len(records) == count, records
        return records

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
