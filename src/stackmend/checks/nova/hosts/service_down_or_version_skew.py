# SPDX-License-Identifier: Apache-2.0
"""A service is registered that has not reported for a week, or that cannot work as it is.

## What is wrong
A row of a service of Nova or Cinder is live although nobody reports under it, or says something that the service
contradicts. Neutron's agents have a check of their own, `agent-or-scheduler-binding-orphan`. The `code` says what is
wrong:

* `silent`: nothing has reported for a week;
* `pins-version`: nor that, and it is a nova-compute older than the others: its version counts for the oldest one;
* `forced-down`: a nova-compute is forced down, but reports;
* `old-release`: a nova-compute that reports is older than the newest one of the cloud supports.

## Why it matters
As long as an old row exists, Nova takes its version for the oldest of the cloud, and keeps features switched off that
older services lack. Nothing is scheduled to a host that is forced down, and its servers may be evacuated while they
run. If a nova-compute is too old, Nova's other services refuse to start.

## How it comes about
Hosts were taken out of the cloud without deleting their services; nobody cleared `forced_down` after an evacuation; a
host was left out of an upgrade.

## How to see it by hand
`openstack compute service list --long`, `openstack volume service list`.

## Repair and its risk
None: only you know whether a host comes back. The plan names the command for each. Never delete the nova-compute of a
host that has guests: it refuses to start again. Not reported: services that are disabled, with or without a reason;
those of Nova's APIs, which never report; and a version that is merely not the newest, as in the middle of an upgrade.
"""

from stackmend.model.check import Check, Obstacle, Severity

#: version of nova-compute -> the oldest one that its release still works with (nova/objects/service.py: each supports
#: the release before, and the one before that if it may be skipped)
_SUPPORTED = ((74, 72), (70, 68), (67, 66), (64, 61), (61, 57), (57, 54), (54, 52))
_OLDEST = " ".join(f"WHEN newest >= {version} THEN {oldest}" for version, oldest in _SUPPORTED)

CHECK = Check(
    name="service-down-or-version-skew",
    catalogue="C13",
    severity=Severity.INFO,
    message="{service} {kind} on {host}: {code}",
    codes={
        "silent": "last reported at {since}",
        "pins-version": "last reported at {since}; its version {version} holds back the others, which have {newest}",
        "forced-down": "it is forced down, but reports",
        "old-release": "its version {version} is too old for the others, which have {newest}",
    },
    resource=("host", "host"),
    key=("service", "kind", "host", "cell"),
    needs=frozenset({"cells", "cinder"}),
    reads={"nova_services": {}, "cinder_services": {"host": "host"}},
    ages={"silent": 7 * 86400, "reporting": 120},
    lasting=frozenset({"silent", "reporting"}),
    obstacles=(
        Obstacle(
            codes=frozenset({"old-release"}),
            what="Nova's other services refuse to start while such a nova-compute is registered",
            source="nova/utils.py, raise_if_old_compute",
        ),
        Obstacle(
            codes=frozenset({"pins-version"}),
            what="its version counts as the oldest of the cloud: Nova's services of a release that no longer works with"
            " it refuse to start",
            source="nova/db/main/api.py, service_get_minimum_version; nova/utils.py, raise_if_old_compute",
        ),
        Obstacle(
            codes=frozenset({"silent"}),
            what="its row keeps this version; that of a nova-compute which is not forced down, or of a service of"
            " Cinder, is taken for the oldest from this upgrade on",
            source="nova/db/main/api.py, service_get_minimum_version; cinder/objects/service.py, _get_minimum_version",
            blocks=False,
        ),
    ),
    by_hand="{remedy}",
    # services of APIs are registered once and never report again; Nova's API does not list them either
    sql=f"""
        WITH newest AS (
            SELECT "binary", MAX(version) AS newest FROM nova_services WHERE NOT deleted GROUP BY "binary"
        ), oldest AS (
            SELECT "binary", newest, CASE {_OLDEST} ELSE 0 END AS oldest FROM newest
        ), every_one AS (
            SELECT 'Nova' AS service, v."binary" AS kind, v.host, v.cell, v.version, o.newest,
                   COALESCE(v.last_seen_up, v.updated_at, v.created_at) AS since,
                   COALESCE(v.forced_down, FALSE) AS forced, v."binary" = 'nova-compute' AS compute,
                   v."binary" = 'nova-compute' AND v.version < o.newest AND NOT COALESCE(v.forced_down, FALSE) AS pins,
                   v.version < o.oldest AS too_old,
                   'if nothing is left of it (openstack server list --all-projects --host ' || v.host
                   || '), openstack compute service delete ID, which openstack compute service list --host ' || v.host
                   || ' shows' AS remedy
              FROM nova_services v
              JOIN oldest o ON o."binary" = v."binary"
             WHERE NOT v.deleted AND v.host IS NOT NULL AND v."binary" NOT IN ('nova-osapi_compute', 'nova-metadata')
            UNION ALL
            SELECT 'Cinder', "binary", host, '', 0, 0, COALESCE(updated_at, created_at), FALSE, FALSE, FALSE, FALSE,
                   'if it does not come back: cinder-manage service remove ' || "binary" || ' ' || host
              FROM cinder_services
             WHERE NOT deleted AND host IS NOT NULL
        )
        SELECT service, kind, host, cell, version, newest, CAST(since AS VARCHAR) AS since, 'forced-down' AS code,
               'if its guests may run again: openstack compute service set --up ' || host || ' nova-compute' AS remedy
          FROM every_one
         WHERE compute AND forced AND since >= $reporting
        UNION ALL
        SELECT service, kind, host, cell, version, newest, CAST(since AS VARCHAR), 'old-release' AS code,
               'upgrade nova-compute of ' || host || ' before any other service of Nova is restarted'
          FROM every_one
         WHERE compute AND NOT forced AND too_old AND since >= $reporting
        UNION ALL
        SELECT service, kind, host, cell, version, newest, CAST(since AS VARCHAR),
               CASE WHEN pins THEN 'pins-version' ELSE 'silent' END AS code, remedy
          FROM every_one
         WHERE since < $silent""",
)
