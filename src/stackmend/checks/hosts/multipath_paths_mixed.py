# SPDX-License-Identifier: Apache-2.0
"""The paths of a multipath map lead to different volumes.

## What is wrong
The paths of one map say that they lead to different units (their WWIDs differ), or to another one than the map is
named after.

## Why it matters
What a guest reads and writes goes to one volume or another by turns, of which one is somebody else's: its file system
is being destroyed, and its data can be read by another project (CVE-2023-2088).

## How it comes about
A device was left behind when its volume was detached. Then the storage gave its LUN number to a new volume, and a
rescan of the bus made the old device lead there while multipath still counted it as a path of the old map.
`host-device-orphan` finds such devices before that.

## How to see it by hand
`multipath -ll <map>`, beside `cat /sys/block/<path>/device/wwid` of each of its paths; `virsh --readonly domblklist`
of the guests on it.

## Repair and its risk
By hand, and at once. Stop the guests on the map before anything else, with their owners' consent: what they write may
be somebody else's. Then take the paths away that lead elsewhere, flush the map, and let Nova connect the volume again
(stop and start the server). Have the file systems of **both** volumes checked by their owners. Paths that do not say
where they lead are not compared.
"""

from stackmend.model.check import OutsideCheck, Severity

OUTSIDE_CHECK = OutsideCheck(
    name="multipath-paths-mixed",
    catalogue="G6",
    severity=Severity.ERROR,
    message="the paths of {name} ({device}) on {host} lead to different volumes: {paths}; guests on it: {guests}",
    resource=("host", "host"),
    key=("host", "name"),
    reads={"host_maps": {"host": "host"}, "host_disks": {"host": "host"}},
    by_hand=(
        "stop what is on it ({guests}) with the consent of its owners. On {host}: see which paths lead elsewhere than"
        " {unit} ({paths}); for each of those: multipathd del path PATH; echo 1 > /sys/block/PATH/device/delete. Then"
        " multipath -f {name}, and start the guests again through Nova. Have the file systems of both volumes checked"
    ),
    sql="""
        SELECT m.host, m.name, m.device, m.unit, m.units, m.paths,
               COALESCE(STRING_AGG(DISTINCT k.uuid, ', '), 'none that libvirt names') AS guests
          FROM host_maps m
          LEFT JOIN host_disks k
            ON k.host = m.host AND k.source IN ('/dev/' || m.device, '/dev/mapper/' || m.name,
                                                '/dev/disk/by-id/dm-uuid-mpath-' || m.unit)
         WHERE m.mixed
         GROUP BY m.host, m.name, m.device, m.unit, m.units, m.paths""",
)
