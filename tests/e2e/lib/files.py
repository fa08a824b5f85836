# SPDX-License-Identifier: Apache-2.0
"""hull-files as a guest would have it, with this machine's own kernel as the guest:
mounted through /dev/fuse, or driven with FUSE messages over its socket."""
import ctypes
import os
import pathlib
import socket
import struct
import subprocess

from lib.hull import BUILD, need

MAGIC = 0x686C6631
READ_ONLY, PRIVATE, LOCAL_LOCKS = 1, 2, 4
USERNS, DEVICE = 1, 2
SHARES_MAX = 200
ERR_SIZE = 4 + 4 + 600 + 240 + 240
O_PATH = os.O_PATH | os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]
OPEN_TREE, MOUNT_SETATTR = 428, 442


def check(result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


class UserNamespace:
    """One of 65536 ids that begin far above the host's."""

    def __init__(self, first=0x10000000):
        self.keeper = subprocess.Popen(["unshare", "--user", "sh", "-c", "echo; exec sleep 1000"], stdout=subprocess.PIPE)
        self.keeper.stdout.readline()
        for name in ("uid_map", "gid_map"):
            pathlib.Path(f"/proc/{self.keeper.pid}/{name}").write_text(f"0 {first} 65536\n", encoding="ascii")
        self.fd = os.open(f"/proc/{self.keeper.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)

    def share(self, path):
        """A descriptor of @path whose files show their owners inside."""
        tree = check(_libc.syscall(OPEN_TREE, -100, str(path).encode(), 1 | os.O_CLOEXEC | 0x8000))
        attr = struct.pack("=QQQQ", 0x100000, 0, 0, self.fd)
        check(_libc.syscall(MOUNT_SETATTR, tree, b"", 0x1000 | 0x8000, attr, len(attr)))
        return tree

    def close(self):
        os.close(self.fd)
        self.keeper.kill()
        self.keeper.wait()
        self.keeper.stdout.close()


class Server:
    """One hull-files. @shares: (name, path or descriptor, flags)."""

    def __init__(self, shares, userns=None, device=None, threads=0, program=None, nofile=None):
        self.sock, theirs = socket.socketpair()
        program = program or BUILD / "src/cmd/hull-files/hull-files"
        # The program finds its socket as descriptor 3.
        self.process = subprocess.Popen(["sh", "-c", (f"ulimit -n {nofile};" if nofile else "") +
                                         f'exec "$0" 3<&{theirs.fileno()} {theirs.fileno()}<&-', program],
                                        pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        flags = (USERNS if userns else 0) | (DEVICE if device is not None else 0)
        data = struct.pack("=IIII", MAGIC, flags, threads, len(shares))
        fds, ours = [], []
        if userns:
            fds.append(userns.fd)
        if device is not None:
            fds.append(device)
        for name, where, share_flags in shares:
            data += struct.pack("=64sII", name.encode(), share_flags, 0)
            if not isinstance(where, int):
                where = userns.share(where) if userns else os.open(where, O_PATH)
                ours.append(where)
            fds.append(where)
        data += bytes(72 * (SHARES_MAX - len(shares)))
        self.sock.sendall(data)
        for at in range(0, len(fds), 16):
            socket.send_fds(self.sock, [b"\0"], fds[at:at + 16])
        for fd in ours:
            os.close(fd)
        answer = self._exactly(8 + ERR_SIZE)
        magic, self.result = struct.unpack_from("=Ii", answer) if len(answer) >= 8 else (0, -1)
        self.error = answer[16:616].split(b"\0")[0].decode() if magic == MAGIC else "it ended"

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            if not more:
                break
            data += more
        return data

    def pid(self):
        """The process that serves; the one that was started waits for it."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as f:
            return int(f.read())

    def started(self):
        if self.result != 0:
            self.close()
            raise AssertionError(f"hull-files: {self.error}")
        return self

    def send(self, message):
        self.sock.sendall(message)

    def receive(self):
        """The next reply: (unique, error, payload)."""
        head = self._exactly(16)
        if len(head) < 16:
            raise EOFError
        size, error, unique = struct.unpack("=IiQ", head)
        return unique, error, self._exactly(size - 16)

    def close(self):
        self.sock.close()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


class Mount:
    """A server mounted at @target by this kernel; @relay: a program between /dev/fuse and the socket."""

    def __init__(self, target, shares, relay=None, **kwargs):
        need(os.path.exists("/dev/fuse"), "no /dev/fuse")
        self.target = pathlib.Path(target)
        self.target.mkdir(exist_ok=True)
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        self.relay = None
        try:
            options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
            check(_libc.mount(b"hull-files", str(target).encode(), b"fuse", 0, options.encode()))
            try:
                self.server = Server(shares, device=None if relay else device, **kwargs).started()
                if relay:
                    self.relay = subprocess.Popen([relay, str(device), str(self.server.sock.fileno())],
                                                  pass_fds=[device, self.server.sock.fileno()])
            except BaseException:
                _libc.umount2(str(target).encode(), 2)
                raise
        finally:
            os.close(device)

    def __truediv__(self, name):
        return self.target / name

    def close(self):
        check(_libc.umount2(str(self.target).encode(), 2))
        if self.relay:
            self.relay.wait(60)
        return self.server.close()
