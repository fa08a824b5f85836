# SPDX-License-Identifier: Apache-2.0
"""Project quotas, asked of the file system itself."""
import ctypes
import os
import struct

_libc = ctypes.CDLL(None, use_errno=True)
SYS_QUOTACTL_FD = 443
PROJECTS = 2
Q_GETNEXTQUOTA, Q_SETQUOTA = 0x800009, 0x800008
LIMITS_ARE_MEANT = 1
# hard, soft, space, inode hard, inode soft, inodes, times, what is meant; then the id
RECORD = struct.Struct("=QQQQQQQQII")


def _call(path, command, number, data):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syscall(SYS_QUOTACTL_FD, fd, command << 8 | PROJECTS, number, data) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(fd)


def limits(path):
    """{project: bytes} of those that have a limit."""
    found, number = {}, 1
    while True:
        data = ctypes.create_string_buffer(RECORD.size)
        try:
            _call(path, Q_GETNEXTQUOTA, number, data)
        except OSError:
            return found
        fields = RECORD.unpack(data.raw)
        if fields[0]:
            found[fields[9]] = fields[0] * 1024
        number = fields[9] + 1


def set_limit(path, number, size):
    data = RECORD.pack(size // 1024, size // 1024, 0, 0, 0, 0, 0, 0, LIMITS_ARE_MEANT, 0)
    _call(path, Q_SETQUOTA, number, ctypes.create_string_buffer(data, RECORD.size))
