"""The calls that a container may make when nothing else is said: a list of what is allowed, no wider than docker's.

What is left out is what an ordinary program does not need and what has been a way out of containers before: making
namespaces and mounts, keys, modules, clocks, tracing where its kernel check came late (before Linux 4.8), io_uring.
Some of it comes back with the capability that it needs anyway.
"""

from __future__ import annotations

import os

from labkit.runtime.std.typing import Any

_FILES = """
access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
fadvise64_64 fallocate fchdir fchmod fchmodat fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr
flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd
getdents getdents64 getxattr ioctl lchown lchown32 lgetxattr link linkat listxattr llistxattr _llseek lremovexattr
lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pread64
preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr rename renameat
renameat2 rmdir sendfile sendfile64 setxattr splice stat stat64 statfs statfs64 statx symlink symlinkat sync
sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice
write writev
"""
_WAITING = """
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents
io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect pause pipe pipe2 poll ppoll ppoll_time64 pselect6
pselect6_time64 select signalfd signalfd4
"""
_MEMORY = """
brk madvise membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap msync
munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages
"""
_PROCESSES = """
capget capset execve execveat exit exit_group fork futex futex_time64 futex_waitv getcpu getitimer getpgid getpgrp
getpid getppid getpriority getrlimit get_robust_list getrusage getsid get_thread_area gettid ioprio_get ioprio_set
kill landlock_add_rule landlock_create_ruleset landlock_restrict_self pidfd_open pidfd_send_signal prctl prlimit64
process_mrelease restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam
sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp setitimer setpgid setpriority
setrlimit set_robust_list setsid set_thread_area set_tid_address sigaltstack sigprocmask sigreturn tgkill tkill
ugetrlimit vfork wait4 waitid waitpid
"""
_USERS = """
getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid getresuid32
getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32
setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32
"""
_TALKING = """
accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr mq_notify mq_open
mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd recv
recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop semtimedop_time64 send sendmmsg sendmsg
sendto setsockopt shmat shmctl shmdt shmget shutdown socketcall socketpair
"""
_TIME = """
adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
clock_nanosleep clock_nanosleep_time64 gettimeofday nanosleep time timer_create timer_delete timer_getoverrun
timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64
timerfd_settime timerfd_settime64 times
"""
_SYSTEM = "getrandom sysinfo uname"

#: What a capability brings back; without it these calls would be refused by the kernel's own check as well.
_WITH_CAPABILITY = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYSLOG": "syslog",
    "CAP_SYS_ADMIN": "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr "
    "move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 "
    "unshare",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
}

#: Machine -> architectures whose programs run on it, the machine's own first, and calls that only it has.
_MACHINES = {
    "x86_64": (["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "arch_prctl modify_ldt"),
    "aarch64": (
        ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
    ),
}

#: CLONE_NEW* of clone(2) without the time namespace's, which clone(2) does not take.
_NEW_NAMESPACES = 0x7E020000
_ENOSYS = 38
_AF_VSOCK = 40
#: personality(2): LINUX, LINUX32, both with UNAME26, and the question.
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)


def profile(capabilities: list[str], machine: str = "") -> dict[str, Any]:
    """``linux.seccomp`` of config.json for a process with these in its bounding set, on ``machine`` (this one)."""
    architectures, more = _MACHINES.get(machine or os.uname().machine, ([], ""))
    words = [_FILES, _WAITING, _MEMORY, _PROCESSES, _USERS, _TALKING, _TIME, _SYSTEM, more]
    if _traced_calls_are_checked():
        words.append("process_vm_readv process_vm_writev ptrace")
    words += [_WITH_CAPABILITY[name] for name in capabilities if name in _WITH_CAPABILITY]
    rules = [
        {"names": sorted({name for text in words for name in text.split()}), "action": "SCMP_ACT_ALLOW"},
        _allow("socket", 0, "SCMP_CMP_NE", _AF_VSOCK),  # it reaches the hypervisor, and no namespace holds it back
        *[_allow("personality", 0, "SCMP_CMP_EQ", number) for number in _PERSONALITIES],
    ]
    if "CAP_SYS_ADMIN" not in capabilities:
        rules.append(_allow("clone", 0, "SCMP_CMP_MASKED_EQ", _NEW_NAMESPACES))
        # Its flags lie in memory, where no filter can read them; for ENOSYS the C library has clone(2).
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": architectures,
        "syscalls": rules,
    }


def _allow(name: str, index: int, operator: str, value: int) -> dict[str, Any]:
    argument = {"index": index, "value": value, "valueTwo": 0, "op": operator}
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument]}


def _traced_calls_are_checked() -> bool:
    """From Linux 4.8 on the filter is asked again after a tracer has changed a call (seccomp(2))."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int("".join(filter(str.isdigit, minor)) or 0)) >= (4, 8)
