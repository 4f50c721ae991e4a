"""NFS as a program sees it whose code begins with :data:`ON_NFS`, where there is no server of it to be had."""

ON_NFS = """
import errno, fcntl, os; flock = fcntl.flock
def of_nfs(descriptor, operation):  # a lock is for what is open for writing
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "Bad file descriptor")
    flock(descriptor, operation)
fcntl.flock = of_nfs
"""
