# SPDX-License-Identifier: Apache-2.0
"""Neutron itself records that OVN has not followed a change.

## What is wrong
With OVN, Neutron keeps a number for each object (`ovn_revision_numbers`): the revision that OVN has. It is not
Neutron's own, and nothing has changed for at least the age `settled`. The `code` says what is outstanding:

* `uncreated`: OVN never got the object (revision -1);
* `behind`: OVN has an older revision.

No access to OVN is needed to see this. Without OVN, or with another driver, the table is empty. Records of objects that
Neutron has deleted are no findings: nobody can tell a deletion of this moment from one that fails since weeks. What is
left in OVN is found there (ovn-object-orphan).

## Why it matters
What the user sees in Neutron is not what OVN does: a port without a network, a rule of a security group that has no
effect, an address that is still answered for.

## How it comes about
OVN did not answer, or Neutron was killed between its own commit and OVN's. Its maintenance repeats the change every
five minutes; so what is left after `settled` fails each time, or the maintenance does not run (bugs 1960006, 1874733).
Rows that were changed by SQL do not raise the revision, and are not seen here.

## How to see it by hand
`SELECT o.resource_type, o.resource_uuid, o.revision_number, s.revision_number FROM ovn_revision_numbers o JOIN
standardattributes s ON s.id = o.standard_attr_id WHERE s.revision_number > o.revision_number`; in the
log of Neutron: `Maintenance task: Failed to fix`.

## Repair and its risk
By hand. First look into Neutron's log for the reason, at the time of the maintenance: as long as it lasts, every repair
fails alike. Changing the object in Neutron (its description, for example) makes Neutron write it to OVN at once. For
many objects: `neutron-ovn-db-sync-util --ovn-neutron_sync_mode log`, which changes nothing in OVN; then, once its log
names nothing that you do not expect, with `repair`. Give it the very files that Neutron itself is given. With
`logical_switch_per_vlan_segment` it deletes the switches of all VLAN segments: do not use it there. It compares
neither whether ports are up, nor on which host they are. Never write the numbers by SQL: then nobody knows any more
that OVN is behind.
"""

from stackmend.checks.neutron.ovn import SYNCHRONISE
from stackmend.model.check import Check, Severity

CHECK = Check(
    name="ovn-db-drift",
    catalogue="I13",
    severity=Severity.WARNING,
    message="OVN has not followed Neutron for {resource} ({kind}): {code}",
    codes={
        "uncreated": "it was never created there",
        "behind": "it has revision {revision} there, and {neutron_revision} in Neutron",
    },
    resource=("ovn-object", "resource"),
    key=("resource", "kind"),
    needs=frozenset({"neutron"}),
    reads={"neutron_ovn_drift": {"resource_uuid": "resource", "resource_type": "kind"}},
    ages={"settled": 1800},
    explained_by={"standardattr-orphan": {"attribute": "attribute"}},
    by_hand=f"look into Neutron's log why its maintenance fails for {{resource}}. Then, on a controller: {SYNCHRONISE}",
    sql="""
        SELECT resource_uuid AS resource, resource_type AS kind, revision_number AS revision, neutron_revision,
               standard_attr_id AS attribute,
               CASE WHEN revision_number < 0 THEN 'uncreated' ELSE 'behind' END AS code
          FROM neutron_ovn_drift
         WHERE changed_at < $settled AND revision_number < neutron_revision""",
)
