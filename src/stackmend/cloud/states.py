# SPDX-License-Identifier: Apache-2.0
"""The services' names for states, grouped by what they imply. Each group is defined only here."""

from __future__ import annotations

from collections.abc import Mapping

from stackmend.tables.views import TERMINAL

# -- migrations of Nova (nova/objects/migration.py)

#: a migration that has ended
OVER = frozenset(TERMINAL)
#: ended without showing where the guest is
UNSETTLED = frozenset({"error", "failed"})
#: failed: the guest is where it was
CAME_TO_NOTHING = frozenset({"error", "failed", "cancelled"})
#: an evacuation in progress on its destination
EVACUATING = ("accepted", "pre-migrating")
#: an evacuation that nova-compute of the source acts on when it starts (_destroy_evacuated_instances)
EVACUATED = (*EVACUATING, "done")

# -- servers (nova/compute/vm_states.py, task_states.py)

#: vm_states of servers that Nova evacuates as they are (nova/compute/api.py: evacuate)
EVACUABLE = frozenset({"active", "stopped", "error"})
#: vm_states of servers that can be rebuilt from their disks; memory is lost with the host
REMADE = frozenset({"active", "stopped", "error", "paused", "suspended"})
#: vm_states of servers whose guest has memory
IN_MEMORY = frozenset({"active", "paused"})
#: vm_states of servers whose guest has memory, or a saved image of it
WITH_STATE = IN_MEMORY | {"suspended"}
#: vm_states of servers that Nova can migrate: live with memory, cold if stopped
MOVED = WITH_STATE | {"stopped"}
#: vm_states in which volumes can be attached and detached (nova/compute/api.py: attach_volume, detach_volume)
ATTACHES = IN_MEMORY | {"stopped"}
#: vm_states of servers that can be stopped and started
POWERED = frozenset({"active", "stopped"})
#: as IN_MEMORY, including rescue mode
RAN = IN_MEMORY | {"rescued"}
#: vm_states with something in progress without a task_state, or awaiting the owner
UNDECIDED = frozenset({"building", "resized"})
#: task_states of a server that is being deleted
DELETING = frozenset({"deleting", "soft-deleting"})
#: task_states of an operation that, cut off, leaves neither a disk nor the definition of the guest half-way
CUT_OFF = frozenset({
    "rebooting", "reboot_pending", "reboot_started", "rebooting_hard", "reboot_pending_hard", "reboot_started_hard",
    "powering-off", "powering-on", "pausing", "unpausing", "suspending", "resuming", "updating_password",
    "image_snapshot_pending", "image_snapshot", "image_pending_upload", "image_uploading", "image_backup",
})  # fmt: skip
#: ``power_state`` of a guest -> vm_state of an idle server (nova/compute/power_state.py)
BY_POWER: Mapping[object, str] = {1: "active", 3: "paused", 4: "stopped", 7: "suspended"}
#: ``power_state`` of a running guest
RUNNING = 1

# -- ports (neutron_lib/api/definitions/portbindings.py)

#: ``vif_type`` of a port without an interface on any host
UNBOUND = frozenset({"unbound", "binding_failed"})

# -- volumes and what belongs to them (cinder/objects/fields.py)

#: statuses in which a volume stays until somebody acts on it
SETTLED = frozenset({"in-use", "available", "error"})
#: of a volume that certainly has data on its back end
STORED = frozenset({"in-use", "available"})
#: statuses in which a volume may be given up; in "deleting" a service may still be at work
VOLUME_GIVEN_UP = frozenset({"error_deleting", "error", "available", "error_restoring", "error_extending"})
#: statuses of a volume on the way to its first use
CREATING = frozenset({"creating", "downloading"})
#: statuses of a snapshot that is being deleted, or was never created
SNAPSHOT_GIVEN_UP = ("deleting", "error_deleting", "deleted", "error")
#: statuses of a volume that a copy, a transfer or its driver holds, and that one of them should end
VOLUME_HELD = frozenset({
    "uploading", "retyping", "extending", "error_extending", "backing-up", "error_backing-up", "restoring-backup",
    "awaiting-transfer",
})  # fmt: skip
#: statuses of a snapshot that its driver, or a backup, should end
SNAPSHOT_HELD = frozenset(
    {"creating", "deleting", "error_deleting", "updating", "unmanaging", "restoring", "backing-up"}
)
#: statuses of a backup whose content is complete
BACKUP_WHOLE = frozenset({"available", "restoring"})
#: statuses of a backup that cinder-backup is working on -> what it sets when it starts again
BACKUP_SETTLED: Mapping[object, str] = {"creating": "error", "restoring": "available", "deleting": "error"}
#: statuses of a backup that is being created or restored
COPYING = ("creating", "restoring")
#: (status, attach_status) of an attached volume
HELD = ("in-use", "attached")
