"""Addresses that nothing is fetched from, however they are written."""

import pytest

from tests.unit.steps.sources.webserver import impatient
from tidemill.steps.failures import StepError
from tidemill.steps.sources.client import is_refused

REFUSED = [
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
]
ALLOWED = ["127.0.0.1", "10.0.0.1", "192.168.1.1", "93.184.216.34", "::1", "2606:2800::1"]


@pytest.mark.parametrize("address", REFUSED)
def test_refused(address: str) -> None:
    assert is_refused(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_allowed(address: str) -> None:
    assert not is_refused(address)


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/a", "https://169.254.169.254/a", "http://[::ffff:169.254.169.254]/a"],
)
@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe", "169.254.43518"])
def test_other_ways_to_write_an_address_are_no_way_around(url: str, host: str) -> None:
    for one in (url, f"http://{host}/a"):
        with pytest.raises(StepError) as raised, impatient().ask("GET", one):
            pass
        assert raised.value.reason == "InvalidUri"
