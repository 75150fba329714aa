#!/bin/sh
# Put labkit into the machine, from the checkout's package in /tmp/labkit-code.tar.gz. As root, after provision.sh;
# `invoke deploy` does the same from a computer that has Python.
set -eu

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
code=/tmp/labkit-code
fetched=/tmp/labkit-pyroute2

# The distributions have four generations of pyroute2, from 0.5 to 0.7. What the lab was tested with is pyproject.toml's,
# which the guest image has already.
if [ ! -d /opt/labkit/lib/pyroute2 ]; then
    if ! /usr/bin/python3 -m pip --version > /dev/null 2>&1; then
        echo "labkit: installing pip, which fetches pyroute2"
        DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes --option DPkg::Lock::Timeout=300 \
            install --no-install-recommends python3-pip > /dev/null
    fi
    PIP_ROOT_USER_ACTION=ignore /usr/bin/python3 -m pip --quiet --disable-pip-version-check install --target "$fetched" --no-deps --no-compile \
        --only-binary :all: --python-version 3.9 'pyroute2>=0.9,<0.10'
fi
rm -rf "$code" && mkdir "$code" && tar -xzf "$code.tar.gz" --no-same-owner -C "$code"
PYTHONPATH="$code:$fetched" python3 -B "$code/labkit/host/payload/installation.py"
rm -rf /tmp/labkit-code /tmp/labkit-code.tar.gz /tmp/labkit-pyroute2
