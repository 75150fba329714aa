from __future__ import annotations

import os
import signal
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it is for the guest side, which is Linux")


@pytest.mark.parametrize("blocked", [False, True])
def test_ctrl_c_is_a_clones_end_and_not_its_parents_clean_up(blocked: bool) -> None:
    from labkit.runtime.kernel import namespaces  # local: it knows no other system

    before = signal.pthread_sigmask(signal.SIG_BLOCK if blocked else signal.SIG_UNBLOCK, [signal.SIGINT])
    try:
        pid = namespaces.clone(0)
        if pid == 0:
            try:
                in_child = signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
                if (signal.SIGINT in in_child) == blocked:  # as it was for the parent
                    os.kill(os.getpid(), signal.SIGINT)
            finally:
                os._exit(4)
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGINT
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert (signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])) == blocked
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
