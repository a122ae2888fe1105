"""A kernel that has no seccomp, for the module that is named: everything else is as it was.

python -m tests.support.no_seccomp MODULE ARGUMENTS...
"""

import ctypes
import errno
import os
import sys

_ALLOW, _NOT_KNOWN = 0x7FFF0000, 0x00050000 | errno.EINVAL
_SET_SECCOMP = 22


def forget_seccomp() -> None:
    """From now on neither this process nor what it starts can confine itself."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(_ALLOW))

    class Comparison(ctypes.Structure):
        _fields_ = (
            *(("argument", ctypes.c_uint), ("how", ctypes.c_int)),
            *(("first", ctypes.c_uint64), ("second", ctypes.c_uint64)),
        )

    equal = (Comparison * 1)(Comparison(0, 4, _SET_SECCOMP, 0))
    for name, given in (("seccomp", []), ("prctl", equal)):
        number = library.seccomp_syscall_resolve_name(name.encode())
        action = ctypes.c_uint32(_NOT_KNOWN)
        assert not library.seccomp_rule_add_array(rules, action, number, len(given), given or None)
    assert not library.seccomp_load(rules)


if __name__ == "__main__":
    forget_seccomp()
    os.execv(sys.executable, [sys.executable, "-m", *sys.argv[1:]])
