"""The explanation is the truth: the script of a dry run, run by bash alone in a machine that was reset, is redis."""

from __future__ import annotations

from labkit.host.machines.base import Machine

START = "labkit run --dry-run -d -p 6379:6379 redis > /root/start.sh"
#: labkit is out of the way: what runs is bash, util-linux, iproute2 and iptables.
RUN = "mv /usr/local/bin/labkit /root/; mv /opt/labkit /root/; bash /root/start.sh"
ASK = "for _ in $(seq 50); do redis-cli -h 127.0.0.1 ping && exit; sleep 0.2; done 2>&1"


def test_the_script_of_a_dry_run_answers_pong(machine: Machine) -> None:
    def do(command: str) -> str:
        return str(machine.connection().run(command, hide=True, in_stream=False).stdout)

    do(START)
    assert do("labkit ps -aq; ip netns list; iptables -t nat -S | grep -v ^-P || true") == "", "a dry run did something"
    do(RUN)
    assert do(ASK).splitlines()[-1] == "PONG"
    assert "to-destination 10.77.0.2:6379" in do("iptables -t nat -S LABKIT")
    status = do("grep -h NSpid /proc/$(pgrep -x redis-server)/status").split()
    assert status[-1] == "1", "redis is not pid 1 of a namespace"
