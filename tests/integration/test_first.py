from __future__ import annotations
from host import Host

def test_network(host: Host) -> None:
    r = host.quartet("bridge_network", name="pods0", subnets=["10.90.0.0/24", "fd00:90::/64"])
    a = host.quartet("pod_sandbox", name="web", network="pods0")["sandbox"]
    b = host.quartet("pod_sandbox", name="db", network="pods0")["sandbox"]
    assert host.pings(a, b["container_ip"])
    info = host.do("pod_sandbox_info")
    assert [s["state"] for s in info["sandboxes"]] == ["running"] * 2, info
    host.quartet("pod_sandbox", name="db", state="absent")

def test_faults(host: Host) -> None:
    create = {"networks": [{"name": "pods0", "subnets": ["10.90.0.0/24", "fd00:90::/64"]}], "compare": True}
    n = 1
    while True:
        r = host.drive({**create, "fail_after": n})
        print(n, r.get("error"), r["operations"][-1:], r.get("differs"))
        if "error" not in r: break
        assert not r["differs"], r["differs"]
        n += 1
    create = {"sandboxes": [{"name": "web", "network": "pods0"}], "compare": True}
    n = 1
    while True:
        r = host.drive({**create, "fail_after": n})
        print(n, r.get("error"), r["operations"][-1:], r.get("differs"))
        if "error" not in r: break
        assert not r["differs"], r["differs"]
        n += 1
