"""One drive: its directory, identity, state, space and threads; and the set of drives of a deployment.

Invariants kept here:
- Nothing is written below a directory whose identity file does not say that it is a drive of this
  deployment; all I/O goes through descriptors opened after that check, so an unmount or a mount on
  top cannot redirect it.
- Descriptors are closed by reference count (`Handle`): a thread that still uses one keeps it open, so
  its number cannot come to mean another file.
- A failed write or sync marks the drive FAULTY at once; only write + sync + read back, three times,
  bring it back. No space makes it READ_ONLY until space returns.
- Each drive has threads of its own: one that hangs, hangs alone. A keeper thread looks every
  PROBE_INTERVAL_S through the *path* whether the same drive is still there, and opens it again when
  it comes back.
"""

import errno
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from objstore import clock, durable
from objstore.blocking import Pool
from objstore.storage.identity import (
    FORMING_EPOCH,
    IDENTITY_FILE,
    Identity,
    IdentityDamaged,
    IdentityNewer,
    Membership,
)
from objstore.storage.interface import DriveState, DriveStatus

DIRECTORIES: Final = ("shards", "packs", "journal", "snapshots", "index", "system", "trash")
SHARD_DIRECTORIES: Final = tuple(f"{i:02x}" for i in range(256))

PROBE_INTERVAL_S: Final = 2.0
HANG_S: Final = 9.0
"""A drive whose keeper got no answer for this long counts as faulty."""
PROOF_ROUNDS: Final = 3
PROOF_BYTES: Final = 4096
FAULT_HOLD_S: Final = 2.0
FAULT_HOLD_S_MAX: Final = 300.0
FAULT_FORGIVEN_S: Final = 600.0
"""A drive that stayed well for this long starts again with the shortest hold."""
READ_ERRORS_MAX: Final = 8
READ_ERRORS_WINDOW_S: Final = 60.0
RESERVE_BYTES: Final = 64 << 20
RESERVE_DIVISOR: Final = 20
"""The reserve is at most this part of a drive, so that tiny drives hold something."""
INODES_RESERVED: Final = 64
IO_THREADS: Final = 4
IO_WAITING_MAX: Final = 1024
_PROBE_PREFIX: Final = "probe."
_GONE_ERRNOS: Final = frozenset({errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOTCONN, errno.ENOENT})
FULL_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the kernel says when a drive has no room."""


class DriveError(Exception):
    """The drives named cannot be served. The message names each directory and what is wrong with it."""


class DriveInUse(DriveError):
    """Another server holds a drive."""


class DriveGone(OSError):
    """The drive is not open now."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ENODEV, "drive is not available", path)


class Handle:
    """A descriptor that is closed when the last one who holds this object lets go of it."""

    __slots__ = ("__weakref__", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        with suppress(OSError):
            durable.close(self.fd)


class Session:
    """The descriptors of a drive, from one opening to the next. Compare with `is` to notice a new one."""

    __slots__ = ("device", "identity", "inode", "packs", "root", "shards")

    def __init__(self, root: Handle, identity: Identity) -> None:
        self.root = root
        self.identity = identity
        self.shards = Handle(durable.open_directory(root.fd, "shards"))
        self.packs = Handle(durable.open_directory(root.fd, "packs"))
        stat = os.fstat(root.fd)
        self.device, self.inode = stat.st_dev, stat.st_ino


@dataclass(frozen=True, slots=True)
class Found:
    """What lies at a path: an identity, nothing yet (`is_blank`), or something not ours."""

    path: str
    root: Handle | None = None
    identity: Identity | None = None
    is_blank: bool = False
    state: DriveState = DriveState.OFFLINE
    reason: str = ""

    @property
    def place(self) -> tuple[int, int] | None:
        """Device and inode of the directory."""
        if self.root is None:
            return None
        stat = os.fstat(self.root.fd)
        return stat.st_dev, stat.st_ino


def inspect(path: str) -> Found:
    """Look at a directory and change nothing."""
    try:
        root = Handle(durable.open_root(path))
        try:
            data = durable.read_file(root.fd, IDENTITY_FILE)
        except FileNotFoundError:
            if _is_blank(root.fd):
                return Found(path, root, is_blank=True, state=DriveState.REFUSED, reason=_BLANK)
            reason = "not empty, and without an identity file: not a drive of this server"
            return Found(path, root, state=DriveState.REFUSED, reason=reason)
        return Found(path, root, Identity.parse(data))
    except IdentityDamaged as exc:
        return Found(path, state=DriveState.REFUSED, reason=f"identity file damaged: {exc}")
    except IdentityNewer as exc:
        return Found(path, state=DriveState.REFUSED, reason=f"written by a newer version: {exc}")
    except FileNotFoundError:
        return Found(path, reason="no such directory")
    except OSError as exc:
        return Found(path, reason=f"cannot be opened: {exc.strerror}")


_BLANK: Final = (
    "empty: a drive that is not mounted, or a new disk; mount it, or run `objstore drive replace` or "
    "`objstore drive add`"
)


def _is_blank(root: int) -> bool:
    """Nothing in the directory but what an unfinished formatting may have left."""
    names = {name for name in durable.names(root) if name != "lost+found" and not _is_leftover(name)}
    if not names <= {*DIRECTORIES}:
        return False
    for name in names:
        try:
            directory = Handle(durable.open_directory(root, name))
        except NotADirectoryError:
            return False
        inside = durable.names(directory.fd)
        if name != "shards" and inside:
            return False
        for sub in inside if name == "shards" else ():
            subdirectory = Handle(durable.open_directory(directory.fd, sub))
            if durable.names(subdirectory.fd):
                return False
    return True


def _is_leftover(name: str) -> bool:
    return name.startswith(f"{IDENTITY_FILE}.") and name.endswith(".tmp")


def _make_layout(root: int) -> None:
    """The directories of a drive; durable on return."""
    for name in DIRECTORIES:
        durable.make_directory(root, name)
    shards = Handle(durable.open_directory(root, "shards"))
    for name in SHARD_DIRECTORIES:
        durable.make_directory(shards.fd, name)
    durable.sync_directory(shards.fd)
    durable.sync_directory(root)


class Drive:
    """The drive at one path. What lies there may change: `number` and `session` follow it.

    Any thread may call anything; reports of errors come from the threads that met them.
    """

    def __init__(
        self, path: str, owner: "DriveSet", *, reserve_bytes: int, probe_interval_s: float, is_locking: bool
    ) -> None:
        self.path = path
        self.number = -1
        """The drive's number; -1 until a drive was seen here."""
        self.session: Session | None = None
        self.uuid = ""
        """Of the drive last seen at the path, open or not; empty when there is none."""
        self.total_bytes = 0
        self.free_bytes = 0
        self.reserve_bytes = reserve_bytes
        self.pool = Pool(f"drive {path}", IO_THREADS, IO_WAITING_MAX)
        self._reserve_wanted = reserve_bytes
        self._owner = owner
        self._is_locking = is_locking
        self._probe_interval_s = probe_interval_s
        self._lock = threading.RLock()
        self._probing = threading.Lock()
        self._refusal = (DriveState.OFFLINE, "not looked at yet")
        self._read_only = ""
        self._full = ""
        self._fault = ""
        self._fault_began_s = 0.0
        self._fault_hold_s = FAULT_HOLD_S
        self._answered_s = clock.monotonic_s()
        self._read_errors: deque[float] = deque(maxlen=READ_ERRORS_MAX)
        self._wake = threading.Event()
        self._closed = False
        self._keeper: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Drive {self.number} {self.path} {self.state}>"

    @property
    def state(self) -> DriveState:
        """How far the drive may be used now."""
        if self.session is None:
            return self._refusal[0]
        if self._fault or clock.monotonic_s() - self._answered_s > HANG_S:
            return DriveState.FAULTY
        if self._read_only or self._full:
            return DriveState.READ_ONLY
        return DriveState.ONLINE

    @property
    def reason(self) -> str:
        """Why the drive is not ONLINE; empty when it is."""
        if self.session is None:
            return self._refusal[1]
        if self._fault:
            return self._fault
        if self.state is DriveState.FAULTY:
            return f"has not answered for {HANG_S:.0f} s"
        return self._read_only or self._full

    @property
    def is_full(self) -> bool:
        """Whether only lack of space keeps new data away."""
        return self.state is DriveState.READ_ONLY and bool(self._full) and not self._read_only

    @property
    def room_bytes(self) -> int:
        """What new data may still take: free space without the reserve. 0 when it may not be written."""
        if self.state is not DriveState.ONLINE:
            return 0
        return max(0, self.free_bytes - self.reserve_bytes)

    def opened(self) -> Session:
        """The session, or DriveGone."""
        session = self.session
        if session is None:
            raise DriveGone(self.path)
        return session

    def status(self) -> DriveStatus:
        """For people and metrics."""
        return DriveStatus(
            number=self.number,
            uuid=self.uuid,
            path=self.path,
            state=self.state,
            reason=self.reason,
            total_bytes=self.total_bytes,
            free_bytes=self.free_bytes,
        )

    def charge(self, length: int) -> None:
        """Bytes were written: free space is less until it is measured again."""
        self.free_bytes -= length
        if self.free_bytes < self.reserve_bytes and not self._full:
            self._full = self._full_reason()

    def report_write_error(self, exc: OSError) -> None:
        """A write, sync or create failed: no space makes the drive read-only, all else faulty, at once."""
        if exc.errno in FULL_ERRNOS:
            self._full = f"full: {exc.strerror}"
        elif exc.errno == errno.EROFS:
            self._read_only = "mounted read-only"
        elif not isinstance(exc, DriveGone):
            self._mark_faulty(f"write failed: {exc.strerror or exc}")
        self._wake.set()

    def report_read_error(self, exc: OSError) -> None:
        """A read failed for another reason than absence. Single bad sectors are borne, a series is not."""
        if exc.errno in _GONE_ERRNOS:
            self._wake.set()
            return
        now_s = clock.monotonic_s()
        self._read_errors.append(now_s)
        if len(self._read_errors) == READ_ERRORS_MAX and now_s - self._read_errors[0] < READ_ERRORS_WINDOW_S:
            self._read_errors.clear()
            self._mark_faulty(f"{READ_ERRORS_MAX} read errors in a minute, last: {exc.strerror or exc}")

    def report_hang(self, seconds: float) -> None:
        """A call to the drive did not come back in time."""
        self._mark_faulty(f"did not answer for {seconds:.0f} s")

    def look_now(self) -> None:
        """Have the keeper look at the drive without waiting for its next turn."""
        self._wake.set()

    def probe(self) -> None:
        """Look through the path whether the drive is there and well; open, close or prove it. May block.

        One at a time: what an earlier look found must not be acted on after a later one.
        """
        with self._probing:
            self._probe()

    def _probe(self) -> None:
        found = inspect(self.path)
        with self._lock:
            if self._closed:
                return
            session = self.session
            if session is not None and not self._is_same(session, found):
                self._close_session(DriveState.OFFLINE, found.reason or "another drive is at its path")
                session = None
            self.uuid = found.identity.uuid if found.identity else ("" if session is None else self.uuid)
            if session is None:
                self._open_session(found)
            elif found.identity is not None and (reason := self._owner.expelled(found.identity)):
                self._close_session(DriveState.REFUSED, reason)
        session = self.session
        if session is not None:
            try:
                self._measure(session)
                self._prove_if_due(session)
            except OSError as exc:
                self._mark_faulty(f"probe failed: {exc.strerror or exc}")
        self._answered_s = clock.monotonic_s()

    def start(self) -> None:
        """Begin to look after the drive."""
        if self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, name=f"keeper {self.path}", daemon=True)
            self._keeper.start()

    def close(self) -> None:
        """Stop looking after it, and let go of it once running calls are done."""
        self._closed = True
        self._wake.set()
        keeper = self._keeper
        if keeper is not None and keeper is not threading.current_thread():
            keeper.join(timeout=1.0)
        self.pool.close()
        with self._lock:
            self._close_session(DriveState.OFFLINE, "closed")

    # -- the keeper's part ----------------------------------------------------------------------

    def _keep(self) -> None:
        while not self._closed:
            self._wake.wait(self._probe_interval_s)
            self._wake.clear()
            if not self._closed:
                self.probe()

    @staticmethod
    def _is_same(session: Session, found: Found) -> bool:
        return (
            found.identity is not None
            and found.place == (session.device, session.inode)
            and found.identity.uuid == session.identity.uuid
        )

    def _open_session(self, found: Found) -> None:
        if found.identity is None or found.root is None:
            self._refusal = (found.state, found.reason)
            return
        refusal = self._owner.refusal(self, found.identity)
        if refusal:
            self._refusal = (DriveState.REFUSED, refusal)
            return
        if self._is_locking and not durable.try_lock(found.root.fd):
            self._refusal = (DriveState.REFUSED, "in use by another server")
            return
        try:
            session = Session(found.root, found.identity)
            if self._is_locking:
                self._bring_up_to_date(session)
        except OSError as exc:
            self._refusal = (DriveState.OFFLINE, f"cannot be opened: {exc}")
            return
        self.number = found.identity.number
        self.session = session
        self._fault = self._full = self._read_only = ""
        self._owner.changed()

    def _close_session(self, state: DriveState, reason: str) -> None:
        self._refusal = (state, reason)
        if self.session is not None:
            self.session = None
            self._owner.changed()

    def _bring_up_to_date(self, session: Session) -> None:
        """Rewrite an older epoch's identity file; sweep what interrupted probes left."""
        membership = self._owner.membership
        if session.identity.membership.epoch < membership.epoch:
            identity = Identity(
                session.identity.uuid, session.identity.number, session.identity.created_ms, membership
            )
            durable.write_file(session.root.fd, IDENTITY_FILE, identity.dumps())
        for name in durable.names(session.root.fd):
            if name.startswith(_PROBE_PREFIX):
                durable.unlink(session.root.fd, name)

    def _measure(self, session: Session) -> None:
        space = os.statvfs(session.root.fd)
        self.total_bytes = space.f_blocks * space.f_frsize
        self.free_bytes = space.f_bavail * space.f_frsize
        self.reserve_bytes = min(self._reserve_wanted, self.total_bytes // RESERVE_DIVISOR)
        self._read_only = "mounted read-only" if space.f_flag & os.ST_RDONLY else ""
        if space.f_files and space.f_favail < INODES_RESERVED:
            self._full = "full: no inodes left"
        elif self.free_bytes < self.reserve_bytes:
            self._full = self._full_reason()
        elif self.free_bytes >= self.reserve_bytes * 5 // 4:
            self._full = ""

    def _full_reason(self) -> str:
        return (
            f"full: {self.free_bytes >> 20} MiB free, of which {self.reserve_bytes >> 20} MiB are kept for "
            "deletes and metadata"
        )

    def _mark_faulty(self, reason: str) -> None:
        with self._lock:
            now_s = clock.monotonic_s()
            if not self._fault:
                is_relapse = now_s - self._fault_began_s < FAULT_FORGIVEN_S and self._fault_began_s > 0
                self._fault_hold_s = (
                    min(2 * self._fault_hold_s, FAULT_HOLD_S_MAX) if is_relapse else FAULT_HOLD_S
                )
            self._fault = reason
            self._fault_began_s = now_s

    def _prove_if_due(self, session: Session) -> None:
        """A faulty drive is trusted again after it took and gave back PROOF_ROUNDS files."""
        if not self._fault or clock.monotonic_s() - self._fault_began_s < self._fault_hold_s:
            return
        if not self._read_only:
            try:
                for _ in range(PROOF_ROUNDS):
                    _prove(session.root.fd)
            except OSError as exc:
                if exc.errno not in FULL_ERRNOS:
                    self._mark_faulty(f"probe failed: {exc.strerror or exc}")
                    return
                self._full = f"full: {exc.strerror}"
        self._fault = ""


def _prove(root: int) -> None:
    """Write, sync and read back a file from the medium. OSError if any of it fails."""
    name, data = f"{_PROBE_PREFIX}{os.urandom(8).hex()}", os.urandom(PROOF_BYTES)
    descriptor = durable.create(root, name)
    try:
        try:
            durable.write(descriptor, 0, [data])
            durable.sync(descriptor)
            durable.forget_cached(descriptor)
            if durable.read(descriptor, 0, len(data)) != data:
                raise OSError(errno.EIO, "what was written does not read back", name)
        finally:
            durable.close(descriptor)
    finally:
        with suppress(OSError):
            durable.unlink(root, name)


class DriveSet:
    """The drives of one deployment, by path and by number."""

    def __init__(
        self,
        paths: Sequence[str],
        membership: Membership,
        *,
        reserve_bytes: int = RESERVE_BYTES,
        probe_interval_s: float = PROBE_INTERVAL_S,
        is_locking: bool = False,
    ) -> None:
        self.membership = membership
        self.on_change: Callable[[], None] | None = None
        """Called, in some thread, when a drive was opened or closed."""
        self._numbers: dict[int, Drive] = {}
        self._lock = threading.RLock()
        self.drives = tuple(
            Drive(
                path,
                self,
                reserve_bytes=reserve_bytes,
                probe_interval_s=probe_interval_s,
                is_locking=is_locking,
            )
            for path in paths
        )

    def __iter__(self) -> Iterator[Drive]:
        return iter(self.drives)

    def by_number(self, number: int) -> Drive | None:
        """The open drive of that number."""
        return self._numbers.get(number)

    def is_member(self, number: int) -> bool:
        """Whether that drive belongs to the deployment now (open or not). Others were replaced."""
        return number in self.membership.drives

    def status(self) -> tuple[DriveStatus, ...]:
        """Every path, then every member that is at none of them."""
        at_paths = tuple(drive.status() for drive in self.drives)
        seen = {drive.number for drive in self.drives}
        absent = tuple(
            DriveStatus(number, uuid, "", DriveState.OFFLINE, "at none of the paths given", 0, 0)
            for number, uuid in sorted(self.membership.drives.items())
            if number not in seen
        )
        return at_paths + absent

    def shared_devices(self) -> list[list[str]]:
        """Groups of paths that lie on one device: they are lost together."""
        groups: dict[int, list[str]] = {}
        for drive in self.drives:
            session = drive.session
            if session is not None:
                groups.setdefault(session.device, []).append(drive.path)
        return [paths for paths in groups.values() if len(paths) > 1]

    def start(self) -> None:
        """Begin to look after all drives."""
        for drive in self.drives:
            drive.start()

    def close(self) -> None:
        """Let go of all drives, and of their locks."""
        for drive in self.drives:
            drive.close()

    def changed(self) -> None:
        """A drive was opened or closed."""
        with self._lock:
            self._numbers = {d.number: d for d in self.drives if d.session is not None}
        if self.on_change is not None:
            self.on_change()

    def learn(self, identity: Identity) -> None:
        """Take over a newer membership that a drive of this deployment carries."""
        with self._lock:
            if (
                identity.membership.deployment == self.membership.deployment
                and identity.membership.epoch > self.membership.epoch
            ):
                self.membership = identity.membership
                for drive in self.drives:
                    drive.look_now()

    def refusal(self, drive: Drive, identity: Identity) -> str:
        """Why what says `identity` may not be served from the path of `drive`; empty if it may."""
        ours = self.membership.deployment
        if identity.membership.deployment != ours:
            return f"belongs to another deployment ({identity.membership.deployment}, this one is {ours})"
        for other in self.drives:
            if other is not drive and other.uuid == identity.uuid:
                return f"duplicate: the same drive ({identity.uuid}) is also at {other.path}"
        return self.expelled(identity)

    def expelled(self, identity: Identity) -> str:
        """Why a drive that carries our deployment's name is not of it any more; empty if it is."""
        self.learn(identity)
        if self.membership.drives.get(identity.number) != identity.uuid:
            return f"was replaced: drive {identity.number} ({identity.uuid}) is no longer a member"
        return ""


def open_drives(
    paths: Iterable[str | os.PathLike[str]],
    *,
    create: tuple[int, int] | None = None,
    lock: bool = False,
    reserve_bytes: int = RESERVE_BYTES,
    probe_interval_s: float = PROBE_INTERVAL_S,
) -> DriveSet:
    """Open the drives at these directories, and look after them until `close`.

    With `create` = (data shards, parity shards), directories that are all blank become a new
    deployment. Drives that are missing, empty, foreign or duplicate are left out, with a reason in
    their status; whether enough are left is for the caller. With `lock` (one process per server),
    their directories are locked against a second server, and older identity files brought up to date.

    Raises DriveError: a directory named twice, no drive among them, two deployments with equally many
    drives; DriveInUse.
    """
    absolute = [os.path.abspath(path) for path in paths]  # noqa: PTH100 - symbolic links stay
    found = [inspect(path) for path in absolute]
    _refuse_same_directory(found)
    if all(map(_is_unformed, found)):
        if create is None:
            raise DriveError(_listed("no drive of a deployment among", found))
        _form(found, *create)
        found = [inspect(path) for path in absolute]
    drives = DriveSet(
        absolute,
        _deployment_of(found),
        reserve_bytes=reserve_bytes,
        probe_interval_s=probe_interval_s,
        is_locking=lock,
    )
    for drive, what in zip(drives, found, strict=True):
        drive.uuid = what.identity.uuid if what.identity is not None else ""
    del found
    for drive in drives:
        drive.probe()
    taken = [drive.path for drive in drives if drive.reason == "in use by another server"]
    if taken:
        drives.close()
        raise DriveInUse(f"in use by another server: {', '.join(taken)}")
    drives.start()
    return drives


def are_unformed(paths: Iterable[str | os.PathLike[str]]) -> bool:
    """Whether none of these directories says that it is a drive: `open_drives` would make a new deployment.

    Looks and changes nothing.
    """
    return all(map(_is_unformed, map(inspect, map(os.path.abspath, paths))))


def _is_unformed(found: Found) -> bool:
    return found.identity is None or found.identity.membership.epoch == FORMING_EPOCH


def _refuse_same_directory(found: Sequence[Found]) -> None:
    places: dict[tuple[int, int], str] = {}
    for what in found:
        place = what.place
        if place is not None and place in places:
            raise DriveError(f"{what.path} and {places[place]} are the same directory")
        if place is not None:
            places[place] = what.path


def _listed(headline: str, found: Iterable[Found]) -> str:
    return "\n".join([f"{headline}:", *(f"  {f.path}: {f.reason or 'a drive'}" for f in found)])


def _deployment_of(found: Sequence[Found]) -> Membership:
    """The newest membership of the deployment that most of the drives belong to. Raises DriveError."""
    identities = [f.identity for f in found if f.identity is not None]
    count = Counter(identity.membership.deployment for identity in identities)
    ranked = count.most_common(2)
    if len(ranked) == 2 and ranked[0][1] == ranked[1][1]:
        lines = [f"  {f.path}: {f.identity.membership.deployment}" for f in found if f.identity is not None]
        raise DriveError("\n".join(["drives of two deployments, equally many of each:", *lines]))
    ours = [i.membership for i in identities if i.membership.deployment == ranked[0][0]]
    epoch = max(membership.epoch for membership in ours)
    newest = [membership for membership in ours if membership.epoch == epoch]
    return max(newest, key=lambda m: sum(other.drives == m.drives for other in newest))


def _form(found: Sequence[Found], data_shards: int, parity_shards: int) -> None:
    """Make a new deployment of blank directories.

    In two steps: first every drive gets an identity of FORMING_EPOCH, then one of epoch 1. A crash in
    between leaves no drive of epoch 1 without a complete set, and forming starts over. Raises DriveError.
    """
    unfit = [f for f in found if not (f.is_blank or _is_forming(f))]
    if unfit:
        raise DriveError(_listed("a new deployment needs empty directories, and these are not", unfit))
    total_shards = data_shards + parity_shards
    if len(found) < total_shards:
        raise DriveError(f"{data_shards}+{parity_shards} needs {total_shards} drives, there are {len(found)}")
    uuids = {number: uuid4().hex for number in range(len(found))}
    paths = {number: what.path for number, what in enumerate(found)}
    deployment = uuid4().hex
    roots = [f.root for f in found if f.root is not None]
    for root in roots:
        if not durable.try_lock(root.fd):
            raise DriveInUse(f"in use by another server: {durable.path_of(root.fd)}")
    for root in roots:
        _make_layout(root.fd)
    now_ms = clock.now_ms()
    for epoch in (FORMING_EPOCH, FORMING_EPOCH + 1):
        agreed = Membership(deployment, epoch, data_shards, parity_shards, uuids, len(found), paths)
        for number, root in enumerate(roots):
            identity = Identity(uuids[number], number, now_ms, agreed)
            durable.write_file(root.fd, IDENTITY_FILE, identity.dumps())


def _is_forming(found: Found) -> bool:
    return found.identity is not None and found.identity.membership.epoch == FORMING_EPOCH


@contextmanager
def _changing(found: Sequence[Found]) -> Iterator[None]:
    """Only one process changes the membership at a time; the server, which holds the roots, may run."""
    held: list[Handle] = []
    for what in found:
        if what.identity is not None and what.root is not None:
            handle = Handle(durable.open_directory(what.root.fd, "system"))
            if not durable.try_lock(handle.fd):
                raise DriveInUse(f"another command is changing the drives: {what.path}")
            held.append(handle)
    yield
    held.clear()


def add_drive(paths: Iterable[str | os.PathLike[str]], new_path: str | os.PathLike[str]) -> Identity:
    """Make the blank directory `new_path` a further drive of the deployment at `paths`; its identity.

    `paths` may hold `new_path`. A running server that has it among its drives takes it into use within
    10 s. Durable on more than half of the drives on return, or all but m. Raises DriveError, DriveInUse.
    """
    return _change(paths, new_path, lambda membership, here: None)


def replace_drive(
    paths: Iterable[str | os.PathLike[str]], new_path: str | os.PathLike[str], number: int | None = None
) -> Identity:
    """Make the blank directory `new_path` a drive in place of drive `number`; its identity.

    The new drive has a number of its own. The old one does not belong to the deployment afterwards: its
    shards count as lost and are rebuilt, and it is refused if it comes back. Without `number`, the
    member meant is one that is missing: the one that was added under this path, or else the only one.
    Otherwise as `add_drive`.
    """

    def chosen(membership: Membership, here: frozenset[int]) -> int:
        if number is not None:
            if number not in membership.drives:
                raise DriveError(f"there is no drive {number}; there are {sorted(membership.drives)}")
            return number
        missing = sorted(set(membership.drives) - here)
        target = os.path.abspath(new_path)  # noqa: PTH100
        meant = [n for n in missing if membership.paths.get(n) == target] or missing
        if len(meant) != 1:
            where = ", ".join(f"{n} (was at {membership.paths.get(n, 'an unknown path')})" for n in missing)
            raise DriveError(f"say which drive {target} replaces; missing: {where or 'none'}")
        return meant[0]

    return _change(paths, new_path, chosen)


def _change(
    paths: Iterable[str | os.PathLike[str]],
    new_path: str | os.PathLike[str],
    choose_removed: Callable[[Membership, frozenset[int]], int | None],
) -> Identity:
    target = os.path.abspath(new_path)  # noqa: PTH100
    others = [inspect(path) for path in map(os.path.abspath, paths) if path != target]
    _refuse_same_directory([*others, blank := inspect(target)])
    if not blank.is_blank or blank.root is None:
        reason = "already a drive" if blank.identity is not None else blank.reason
        raise DriveError(f"{target} cannot become a drive: {reason}")
    if not any(f.identity is not None for f in others):
        raise DriveError(_listed("no drive of a deployment among", others))
    with _changing(others):
        others = [inspect(f.path) for f in others]
        membership = _deployment_of(others)
        members = [
            (f.identity, f.root)
            for f in others
            if f.identity is not None
            and f.root is not None
            and membership.drives.get(f.identity.number) == f.identity.uuid
        ]
        removed = choose_removed(membership, frozenset(identity.number for identity, _ in members))
        count = len(membership.drives)
        needed = count // 2 + 1
        if removed is not None:  # what may be lost may be replaced, also where that is half of the drives
            needed = min(needed, count - membership.parity_shards)
        if len(members) < needed:
            raise DriveError(f"only {len(members)} of {count} drives are here: {needed} are needed")
        uuid = uuid4().hex
        changed = membership.changed(add=uuid, path=target, remove=removed)
        created = Identity(uuid, membership.next_number, clock.now_ms(), changed)
        _make_layout(blank.root.fd)
        durable.write_file(blank.root.fd, IDENTITY_FILE, created.dumps())
        for old, root in members:
            if old.number != removed:
                renewed = Identity(old.uuid, old.number, old.created_ms, changed)
                durable.write_file(root.fd, IDENTITY_FILE, renewed.dumps())
    return created
