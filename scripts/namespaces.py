"""Groups of real processes in network namespaces, under bad conditions; started by scripts/namespaces.sh.

Each cell of the table is a group of its own: third party (or users), leader and three members, each on a host of its own, all on
one bridge. They join, talk, send a file while the condition holds and another one after it, change the key, leave and close.
Whatever arrives is compared by hash. Every wait has an end. Loss is by nftables, which knows no seed; the relay's is printed.
"""

import argparse
import hashlib
import heapq
import json
import os
import random
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

MEMBERS = ["ada", "bob", "cyd"]
HOSTS = {"ttp": 1, "lea": 2, "ada": 3, "bob": 4, "cyd": 5, "rel": 6}
TRANSPORTS = ["tcp", "udp", "mixed", "multicast", "quic"]
CONDITIONS = {
    "loss5": "5 % of all packets are lost",
    "loss20": "20 % of all packets are lost",
    "slow": "the leader has 8 Mbit/s",
    "oneway": "what the leader sends does not reach bob for 5 s",
    "cut": "nothing reaches bob or leaves it for 5 s",
    "long": "the same for so long that bob is lost; it comes back",
    "relay": "bob is behind a relay that delays, reorders and repeats",
    "ipv6": "over IPv6, with 5 % loss",
    "deaf": "no multicast reaches bob (R47), and then it does",
}
# Seconds that a step may take.
PATIENCE = 120
KIB = 1024


def cells():
    for system in ["antigone", "enclaves"]:
        for transport in TRANSPORTS:
            shared = transport in ("mixed", "multicast")
            # Enclaves is a star: nothing of it goes by multicast.
            if system == "enclaves" and shared:
                continue
            for condition in CONDITIONS:
                # A relay joins two by datagrams, or by a stream.
                if condition != "deaf" or shared:
                    yield f"{system}/{transport}/{condition}"


SHORT = [
    "antigone/udp/loss20",
    "antigone/mixed/ipv6",
    "antigone/mixed/deaf",
    "antigone/multicast/oneway",
    "antigone/quic/relay",
    "antigone/tcp/slow",
    "enclaves/udp/relay",
    "enclaves/quic/loss20",
    "enclaves/tcp/cut",
]


class Wrong(Exception):
    """Something did not happen."""


def run(*words, check=True):
    done = subprocess.run(words, capture_output=True, text=True)
    if check and done.returncode:
        raise Wrong(f"{' '.join(words)}: {done.stderr.strip()}")
    return done


class Net:
    """A bridge, and a host for each name."""

    def __init__(self, prefix):
        self.prefix, self.made = prefix, []

    def ns(self, host):
        return f"{self.prefix}-{host}"

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def build(self):
        self.add("hub")
        hub = self.ns("hub")
        run("ip", "-n", hub, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        run("ip", "-n", hub, "link", "set", "br0", "up")
        for host, number in HOSTS.items():
            self.add(host)
            ns = self.ns(host)
            run("ip", "-n", hub, "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", ns)
            run("ip", "-n", hub, "link", "set", host, "master", "br0", "up")
            run("ip", "-n", ns, "link", "set", "lo", "up")
            run("ip", "-n", ns, "link", "set", "eth0", "up")
            run("ip", "-n", ns, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
            run("ip", "-n", ns, "address", "add", f"fd77::{number}/64", "dev", "eth0", "nodad")
            run("ip", "-n", ns, "route", "add", "239.0.0.0/8", "dev", "eth0")
            self.nft(host, "add table inet bad", "add chain inet bad in { type filter hook input priority 0 ; }")

    def add(self, host):
        run("ip", "netns", "add", self.ns(host))
        self.made.append(host)

    def nft(self, host, *rules):
        for rule in rules:
            run("ip", "netns", "exec", self.ns(host), "nft", rule)

    def lose(self, percent):
        for host in HOSTS:
            self.nft(host, f'add rule inet bad in iifname "eth0" numgen random mod 100 < {percent} drop')

    def drop(self, host, what):
        self.nft(host, f'add rule inet bad in iifname "eth0" {what} drop')

    def heal(self):
        for host in HOSTS:
            self.nft(host, "flush chain inet bad in")

    def limit(self, host, rate):
        tbf = ["root", "tbf", "rate", rate, "burst", "32kbit", "latency", "100ms"]
        run("tc", "-n", self.ns(host), "qdisc", "add", "dev", "eth0", *tbf)
        run("tc", "-n", self.ns("hub"), "qdisc", "add", "dev", host, *tbf)

    def __exit__(self, *_):
        for host in reversed(self.made):
            run("ip", "netns", "delete", self.ns(host), check=False)


class Party:
    """A process of the program on one of the hosts."""

    def __init__(self, net, host, program, folder, *args):
        self.name, self.at, self.lines, self.changed = f"{host} ({args[0]})", 0, [], threading.Condition()
        words = ["ip", "netns", "exec", net.ns(host), program, *args, "--json"]
        self.errors = tempfile.TemporaryFile("w+")
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(words, cwd=folder, stdin=pipe, stdout=pipe, stderr=self.errors, text=True, bufsize=1)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.child.stdout:
            with self.changed:
                self.lines.append(json.loads(line))
                self.changed.notify_all()
        with self.changed:
            self.lines.append(None)
            self.changed.notify_all()

    def type(self, line):
        self.child.stdin.write(line + "\n")

    def sees(self, what, limit=PATIENCE, **wanted):
        """The next line of that kind with these fields. Within a shorter limit than usual there may be none."""
        until = time.monotonic() + limit
        with self.changed:
            at = self.at
            while True:
                while at < len(self.lines):
                    line = self.lines[at]
                    if line is None:
                        raise Wrong(f"{self.name} ends before {what} {wanted}: {self.last()}")
                    at += 1
                    if line["what"] == what and all(str(value) in str(line.get(key)) for key, value in wanted.items()):
                        self.at = at
                        return line
                left = until - time.monotonic()
                if left <= 0:
                    if limit == PATIENCE:
                        raise Wrong(f"{self.name} does not show {what} {wanted}: {self.last()}")
                    return None
                self.changed.wait(left)

    def last(self):
        self.errors.seek(0)
        texts = [line.get("text", line["what"]) for line in self.lines[-8:] if line and line["what"] != "progress"]
        return " | ".join(texts) + " " + self.errors.read().strip()

    def ends(self):
        try:
            status = self.child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Wrong(f"{self.name} does not end: {self.last()}") from None
        if status:
            raise Wrong(f"{self.name} ends with {status}: {self.last()}")

    def kill(self):
        self.child.kill()
        self.child.wait()


def policy(condition):
    # Patient where much is lost, and not where somebody has to be.
    misses = {"long": 4, "deaf": 6}.get(condition, 20)
    return f"[rekey]\ngrace_ms = 300\nsettle_ms = 100\n[detection]\nperiod_ms = 1000\nmisses = {misses}\n"


def secret(path, text):
    with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)


class Cell:
    """A group under a condition."""

    def __init__(self, name, program, number, seed):
        self.name, self.program, self.seed = name, program, seed
        self.system, self.transport, self.condition = name.split("/")
        self.six = self.condition == "ipv6"
        self.net = Net(f"sod{os.getpid() % 10000}-{number}")
        self.parties, self.relay = [], None

    def address(self, host, port):
        number = HOSTS[host]
        return f"[fd77::{number}]:{port}" if self.six else f"10.77.0.{number}:{port}"

    def start(self, host, *args):
        party = Party(self.net, host, self.program, self.folder, *args)
        self.parties.append(party)
        return party

    def way(self):
        words = ["--transport", self.transport]
        if self.transport in ("mixed", "multicast"):
            if self.six:
                words += ["--group", "[ff15::7719]:7719", "--interface", "eth0"]
        return words

    def lead(self):
        common = ["--app", "tea", "--listen", self.address("lea", 7401), "--policy", "policy.toml", "--out", "in-lea", *self.way()]
        program = [self.program]
        if self.system == "enclaves":
            for name in MEMBERS:
                subprocess.run(program + ["user", name, "--users", "users", "--leader", "lea"], cwd=self.folder, check=True, capture_output=True)
            return self.start("lea", "lead", "lea", "--system", "enclaves", "--users", "users", *common)
        for name in ["lea", *MEMBERS]:
            leads = ["--leader"] if name == "lea" else []
            subprocess.run(program + ["register", name, *leads, "--registry", "reg"], cwd=self.folder, check=True, capture_output=True)
        self.start("ttp", "ttp", "--registry", "reg", "--listen", self.address("ttp", 7400)).sees("listening")
        return self.start("lea", "lead", "lea", "--key", "lea.key", "--ttp", self.address("ttp", 7400), *common)

    def join(self, name, pin):
        at = self.address("rel" if name == "bob" and self.condition == "relay" else "lea", 7401)
        words = ["join", name, "--leader", "lea", "--app", "tea", "--key", f"{name}.key", "--at", at, "--wait", "60", "--rejoin"]
        words += ["--out", f"in-{name}", *self.way()] + (["--pin", pin] if pin else [])
        words += ["--system", "enclaves"] if self.system == "enclaves" else []
        return self.start(name, *words)

    def begin(self):
        """What is bad from the beginning."""
        loss = {"loss5": 5, "loss20": 20, "ipv6": 5}.get(self.condition)
        if loss:
            self.net.lose(loss)
        if self.condition == "slow":
            self.net.limit("lea", "8mbit")
        if self.condition == "deaf":
            # Not its own datagrams, which come back to it by the same interface.
            self.net.drop("bob", "ip saddr != 10.77.0.4 ip daddr 239.0.0.0/8")
        if self.condition == "relay":
            kind = "stream" if self.transport == "tcp" else "datagrams"
            words = [sys.executable, os.path.abspath(__file__), "--relay", kind, str(self.seed), "10.77.0.6", "10.77.0.2", "7401"]
            self.relay = subprocess.Popen(["ip", "netns", "exec", self.net.ns("rel"), *words])

    def amid(self):
        """What is bad for a while; gives how long, and what ends it."""
        number = HOSTS["lea"]
        if self.condition == "oneway":
            self.net.drop("bob", f"ip saddr 10.77.0.{number}")
        elif self.condition in ("cut", "long"):
            for host in HOSTS:
                self.net.drop(host, "ip saddr 10.77.0.4" if host != "bob" else "ip saddr 10.77.0.0/24")
        else:
            return
        time.sleep(5 if self.condition != "long" else 14)
        self.net.heal()

    def says(self, speaker, hearers, text):
        """Messages are best effort: it is said until all have heard it."""
        for attempt in range(40):
            words = f"{text} {attempt}"
            speaker.type(words)
            if all(hearer.sees("heard", limit=3, text=words) for hearer in hearers):
                return attempt + 1
        raise Wrong(f"{self.name}: {text!r} is not heard")

    def sends(self, speaker, name, size, hearers):
        data = random.Random(f"{self.seed} {name}").randbytes(size)
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(data)
        speaker.type(f"/send {name}")
        speaker.sees("offers", file=name)
        if name == "first.bin":
            self.amid()
        if self.condition == "long" and name == "first.bin":
            # It was out when the file was offered; it comes back to the group, and is offered it again.
            back = self.parties_of["bob"]
            back.sees("joined")
            self.settled()
            speaker.type(f"/send {name}")
        for who, hearer in hearers.items():
            hearer.sees("stored", file=name)
            with open(os.path.join(self.folder, f"in-{who}", name), "rb") as file:
                if hashlib.sha256(file.read()).digest() != hashlib.sha256(data).digest():
                    raise Wrong(f"{self.name}: {name} of {who} is another one")

    def settled(self):
        time.sleep(1)

    def play(self):
        began = time.monotonic()
        with self.net, tempfile.TemporaryDirectory() as self.folder:
            try:
                self.session()
            finally:
                for party in self.parties:
                    party.kill()
                if self.relay:
                    self.relay.kill()
        return time.monotonic() - began

    def session(self):
        with open(os.path.join(self.folder, "policy.toml"), "w") as file:
            file.write(policy(self.condition))
        self.begin()
        lea = self.lead()
        pin = lea.sees("listening").get("pin")
        members = {name: self.join(name, pin) for name in MEMBERS}
        self.parties_of = members
        for name in MEMBERS:
            members[name].sees("joined")
        ada, bob, cyd = (members[name] for name in MEMBERS)
        # All are in one view before anything is said.
        self.settled()
        self.says(ada, [lea, bob, cyd], "good day")
        self.says(lea, [ada, bob, cyd], "and to you")
        if self.condition == "deaf":
            bob.sees("multicast-silent", probe="back")
        size = 256 * KIB if self.condition == "loss20" and self.transport == "tcp" else 1024 * KIB
        everybody = {"lea": lea, **members}
        self.sends(ada, "first.bin", size, {name: of for name, of in everybody.items() if name != "ada"})
        if self.condition == "deaf":
            self.net.heal()
            bob.sees("multicast-heard")
        lea.type("/rekey")
        cyd.sees("installed", causes="asked for")
        self.settled()
        self.sends(lea, "second.bin", 200 * KIB, members)
        bob.type("/leave")
        bob.sees("left")
        bob.ends()
        self.settled()
        self.says(cyd, [lea, ada], "without bob")
        lea.type("/quit")
        lea.ends()
        for member in (ada, cyd):
            member.ends()


def relay(kind, seed, here, there, port):
    """Passes on between whoever comes and one peer: each piece delayed by 2 to 40 ms, datagrams out of order, each twentieth twice."""
    rng, late, order = random.Random(int(seed)), [], 0
    port = int(port)
    ways, last = {}, {}
    if kind == "datagrams":
        near, far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        near.bind((here, port))
        far.connect((there, port))
        client = None
        while True:
            pause = max(0, late[0][0] - time.monotonic()) if late else None
            for ready in select.select([near, far], [], [], pause)[0]:
                try:
                    data, sender = ready.recvfrom(65536)
                except OSError:
                    continue
                client = sender if ready is near else client
                for _ in range(2 if rng.random() < 0.05 else 1):
                    order += 1
                    heapq.heappush(late, (time.monotonic() + rng.uniform(0.002, 0.04), order, ready is near, data))
            while late and late[0][0] <= time.monotonic():
                _, _, up, data = heapq.heappop(late)
                try:
                    far.send(data) if up else near.sendto(data, client)
                except OSError:
                    pass
    door = socket.create_server((here, port))
    watched = [door]
    while True:
        pause = max(0, late[0][0] - time.monotonic()) if late else None
        for ready in select.select(watched, [], [], pause)[0]:
            if ready is door:
                one, other = door.accept()[0], socket.create_connection((there, port))
                ways.update({one: other, other: one})
                watched += [one, other]
                continue
            try:
                data = ready.recv(65536)
            except OSError:
                data = b""
            if not data:
                watched.remove(ready)
            # A stream keeps its order.
            due = max(last.get(ready, 0), time.monotonic() + rng.uniform(0.002, 0.04))
            last[ready], order = due, order + 1
            heapq.heappush(late, (due, order, ready, data))
        while late and late[0][0] <= time.monotonic():
            _, _, source, data = heapq.heappop(late)
            try:
                ways[source].sendall(data) if data else ways[source].shutdown(socket.SHUT_WR)
            except OSError:
                pass


def possible():
    missing = [tool for tool in ("ip", "nft", "tc") if not shutil.which(tool)]
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    if missing:
        return f"not installed: {', '.join(missing)} (iproute2, nftables)"
    probe = f"sod{os.getpid() % 10000}-probe"
    if run("ip", "netns", "add", probe, check=False).returncode:
        return "this system makes no network namespaces"
    run("ip", "netns", "delete", probe)
    return None


def main():
    if sys.argv[1:2] == ["--relay"]:
        return relay(*sys.argv[2:])
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--seed", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("cells", nargs="*")
    args = parser.parse_args()
    everything = list(cells())
    if args.list:
        print(*everything, sep="\n")
        return 0
    why = possible()
    if why:
        print(f"SKIPPED: {why}", file=sys.stderr)
        return 77
    chosen = args.cells or (SHORT if args.short else everything)
    unknown = [name for name in chosen if name not in everything]
    if unknown:
        print(f"no such cell: {', '.join(unknown)}; see --list", file=sys.stderr)
        return 2
    print(f"{len(chosen)} cells, seed of the relay {args.seed}")
    failed = []
    program = os.path.abspath(args.program)

    def play(numbered):
        number, name = numbered
        try:
            seconds = Cell(name, program, number, args.seed).play()
            print(f"passed {seconds:6.1f} s  {name:<28} {CONDITIONS[name.split('/')[2]]}", flush=True)
        except Wrong as wrong:
            failed.append(name)
            print(f"FAILED           {name:<28} {wrong}", flush=True)

    with ThreadPoolExecutor(args.at_once) as pool:
        list(pool.map(play, enumerate(chosen)))
    print(f"{len(chosen) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
