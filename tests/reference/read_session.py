#!/usr/bin/env python3
"""Reads a recorded session: parses every frame, and opens all that the keys which it is told open.

usage: read_session.py FILE

The file has a JSON value in each line. The first is {"suite": …, "edition": …, "long_term": {name: hex}}, each other one a
frame: {"at": microseconds, "from": name, "to": name, "frame": hex}. Keys and frames are all there is: suites, systems and
editions are read from the headers of the frames. Beside long-term keys (of Enclaves: P_a of the users) there may be
"ephemeral": [hex], the private halves of ephemeral shares, and "public": {name: hex}, the keys that signatures verify
under, one of them perhaps that of an "issuer".

Of the published edition the long-term keys open everything, today or in ten years: σ follows from K_A and the leader's
name, K_g from σ. Of the repaired one they open what was said without an ephemeral exchange; of a session with one, nothing
after the join (forward secrecy), until somebody gives the ephemeral secrets away. In a mix of both, the bridges of RA §2 lead from one to the other.

exit: 0 all opened, 1 a frame is malformed or forged, 2 all well, but something stays shut.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import layout
from codec import Malformed
from read_enclaves import EnclaveSession
from read_enclaves_first import FirstSession
from read_enclaves_published import VersionTwoSession
from read_published import PublishedSession
from read_repaired import RepairedSession
from suites import SUITES, Forged


class Shut(Exception):
    """No key opens it."""


def text_of(payload):
    """The payload of a message, behind its port."""
    try:
        return repr(payload.decode())
    except UnicodeDecodeError:
        return payload.hex()


def read(lines):
    """One line for each frame, and what was said in the session."""
    first, *frames = [json.loads(line) for line in lines if line.strip()]
    keys = {name: bytes.fromhex(key) for name, key in first["long_term"].items()}
    print(f"{first['edition']}, suite {SUITES.get(first['suite'], first['suite'])}, keys of {', '.join(sorted(keys))}")
    published, repaired = PublishedSession(keys, Shut), RepairedSession(keys, Shut)
    published.beside, repaired.beside = repaired, published
    readers = {
        (layout.ANTIGONE, layout.PUBLISHED): published,
        (layout.ANTIGONE, layout.REPAIRED): repaired,
        (layout.FIRST_ENCLAVES, layout.PUBLISHED): FirstSession(first, Shut),
        (layout.ENCLAVES, layout.PUBLISHED): VersionTwoSession(first, Shut),
        (layout.ENCLAVES, layout.REPAIRED): EnclaveSession(first, Shut),
    }
    # Who has a recording can look ahead: the first pass only learns keys, some of which come after what they open.
    for line in frames:
        try:
            frame = layout.Frame(bytes.fromhex(line["frame"]))
            readers[frame.message.system, frame.message.edition].read(frame)
        except (Shut, Malformed, Forged, KeyError):
            pass
    verdicts, ids, said = Counter(), Counter(), []
    for line in frames:
        place = f"{line['at'] / 1e6:10.6f} {line['from']} → {line['to']}"
        try:
            frame = layout.Frame(bytes.fromhex(line["frame"]))
            ids[frame.id] += 1
            found, spoken = readers[frame.message.system, frame.message.edition].read(frame)
            note = found
            if spoken is not None:
                port, payload = spoken[0], spoken[1:]
                note = f"{found} says {text_of(payload) if port == 0 else 'something about objects'}"
                said.append((line["to"], found, port, payload))
            print(f"{place} {frame.id}: {note}")
            verdicts["opened"] += 1
        except Shut as why:
            verdicts["shut"] += 1
            print(f"{place} {frame.id}: shut: {why}")
        except (Malformed, Forged, KeyError) as why:
            verdicts["wrong"] += 1
            print(f"{place} wrong: {type(why).__name__}: {why}")
    exchanged = any(reader.shut_joins for reader in readers.values())
    return verdicts, ids, said, exchanged


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    verdicts, ids, said, exchanged = read(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines())
    print()
    print("frames: " + ", ".join(f"{count} {name}" for name, count in sorted(ids.items())))
    for who in sorted({(sender, text_of(payload)) for _, sender, port, payload in said if port == 0}):
        print(f"said: {who[0]}: {who[1]}")
    print(f"{verdicts['opened']} opened, {verdicts['shut']} shut, {verdicts['wrong']} wrong")
    if verdicts["shut"] and exchanged:
        print("What is shut was said under keys that follow from an ephemeral exchange: the long-term keys do not open it.")
    sys.exit(1 if verdicts["wrong"] else 2 if verdicts["shut"] else 0)


if __name__ == "__main__":
    main()
