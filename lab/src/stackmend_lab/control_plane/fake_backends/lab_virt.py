# SPDX-License-Identifier: Apache-2.0
"""A Nova driver without a hypervisor that behaves like one.

* Guests outlive a restart of nova-compute (``guests.json`` in its state folder), and so does the node's uuid.
* A plugged interface is a file ``<state>/plugged/<host>/<port id>``: the agent fake tells Neutron, so that
  network-vif-plugged is real; spawn waits for it as libvirt's driver does.
* A port that is not bound is refused, as os-vif would.
* The image of a server is fetched from Glance, once a host, as libvirt's driver does (``_base``).
* A guest that boots writes a login prompt to its console, or what ``consoles/<uuid>.boots`` holds; with
  ``consoles/<uuid>.none`` it has no console.
* Levers (lab_levers) make an action wait or fail.
"""

import io
import json
import os
import threading
import time

import nova.conf
from lab_levers import STATE, obey
from nova import exception
from nova.compute import power_state, task_states
from nova.image import glance
from nova.virt import fake
from oslo_log import log as logging
from oslo_utils import uuidutils

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)
PLUGGED = STATE / "plugged"
_SAVING = threading.Lock()
try:
    from nova.exception import InstanceEventTimeout
except ImportError:  # where nova-compute works on green threads
    from eventlet.timeout import Timeout as InstanceEventTimeout


class LabDriver(fake.FakeDriverWithoutFakeNodes):
    """The driver; method names and arguments are Nova's."""

    vcpus = 64
    memory_mb = 262144
    local_gb = 4000
    capabilities = dict(fake.FakeDriver.capabilities, supports_bfv_rescue=True)

    def _obey(self, action):
        obey(CONF.host, action, exception.NovaException(f"lab: {action} fails, as its lever says"))

    # ---- guests are persistent ----

    @property
    def _file(self):
        return os.path.join(CONF.state_path, "guests.json")

    def _save(self):
        # several servers may be changed at the same time
        with _SAVING:
            guests = {
                uuid: {"name": guest.name, "state": guest.state, "vifs": sorted(getattr(guest, "vifs", ()))}
                for uuid, guest in list(self.instances.items())
            }
            temporary = self._file + ".new"
            with open(temporary, "w") as file:
                json.dump(guests, file, indent=1)
            os.replace(temporary, self._file)

    def init_host(self, host):
        super().init_host(host)
        self._plugged.mkdir(parents=True, exist_ok=True)
        if os.path.exists(self._file):
            with open(self._file) as file:
                kept = json.load(file)
            for uuid, guest in kept.items():
                self.instances[uuid] = fake.FakeInstance(guest["name"], guest["state"], uuid)
                self.instances[uuid].vifs = set(guest["vifs"])

    # ---- interfaces ----

    @property
    def _plugged(self):
        return PLUGGED / (self._host or CONF.host)

    def _touch(self, vif):
        path = self._plugged / vif["id"]
        path.touch()
        os.utime(path)

    def _plug(self, vif):
        if vif["type"] in ("binding_failed", "unbound", None):
            raise exception.InternalError(f"Unsupported VIF type {vif['type']}")
        self._touch(vif)
        self._interfaces[vif["id"]] = vif

    def _unplug(self, port):
        (self._plugged / port).unlink(missing_ok=True)
        self._interfaces.pop(port, None)

    def plug_vifs(self, instance, network_info):
        for vif in network_info or []:
            self._plug(vif)

    def unplug_vifs(self, instance, network_info):
        for vif in network_info or []:
            self._unplug(vif["id"])

    def attach_interface(self, context, instance, image_meta, vif):
        self._obey("attach_interface")
        self._plug(vif)
        guest = self.instances.get(instance.uuid)
        if guest is not None:
            guest.vifs = set(getattr(guest, "vifs", ())) | {vif["id"]}
        self._save()

    def detach_interface(self, context, instance, vif):
        self._obey("detach_interface")
        self._unplug(vif["id"])
        guest = self.instances.get(instance.uuid)
        if guest is not None:
            guest.vifs = set(getattr(guest, "vifs", ())) - {vif["id"]}
        self._save()

    # ---- volumes ----

    def attach_volume(self, context, connection_info, instance, mountpoint, **more):
        self._obey("attach_volume")
        super().attach_volume(context, connection_info, instance, mountpoint, **more)

    def detach_volume(self, context, connection_info, instance, mountpoint, encryption=None):
        self._obey("detach_volume")
        super().detach_volume(context, connection_info, instance, mountpoint, encryption)

    # ---- life cycle ----

    def _start(self, instance, network_info, power_on=True, wait=False):
        guest = fake.FakeInstance(
            instance.name, power_state.RUNNING if power_on else power_state.SHUTDOWN, instance.uuid
        )
        guest.vifs = {vif["id"] for vif in network_info or []}
        events = []
        if wait and power_on and CONF.vif_plugging_timeout:
            events = [("network-vif-plugged", v["id"]) for v in network_info or [] if not v.get("active", True)]
        try:
            with self.virtapi.wait_for_instance_event(instance, events, CONF.vif_plugging_timeout):
                if power_on:
                    self.plug_vifs(instance, network_info)
        except InstanceEventTimeout:
            LOG.warning("Timeout waiting for %s", events, instance=instance)
            if CONF.vif_plugging_is_fatal:
                self.unplug_vifs(instance, network_info)
                raise exception.VirtualInterfaceCreateException() from None
        self.instances[instance.uuid] = guest
        self._save()
        if power_on:
            self._boot(instance.uuid)

    def _boot(self, uuid):
        # "<uuid>.boots", if written by a test, holds what this guest prints when it boots; nothing if empty
        folder = os.path.join(CONF.state_path, "consoles")
        os.makedirs(folder, exist_ok=True)
        text = f"lab: booted at {time.time()}\nlab login: "
        if os.path.exists(os.path.join(folder, uuid + ".boots")):
            with open(os.path.join(folder, uuid + ".boots")) as file:
                said = file.read()
            if not said:
                return
            text = f"lab: booted at {time.time()}\n{said}"
        with open(os.path.join(folder, uuid), "w") as file:
            file.write(text)

    def get_console_output(self, context, instance):
        if os.path.exists(os.path.join(CONF.state_path, "consoles", instance.uuid + ".none")):
            raise exception.ConsoleNotAvailable()
        try:
            with open(os.path.join(CONF.state_path, "consoles", instance.uuid)) as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def spawn(
        self, context, instance, image_meta, injected_files, admin_password, allocations, network_info=None,
        block_device_info=None, power_on=True, accel_info=None,
    ):  # fmt: skip
        # waits for the addresses, as other drivers do: their allocation may fail
        for vif in network_info or []:
            vif.fixed_ips()
        self._obey("spawn")
        self._fetch(context, instance.image_ref)
        self._start(instance, network_info, power_on, wait=True)

    def _fetch(self, context, image_id):
        # once a host, into a cache, and by whichever node of Glance answers
        if not image_id:
            return
        folder = os.path.join(CONF.state_path, "_base")
        os.makedirs(folder, exist_ok=True)
        base = os.path.join(folder, image_id)
        if not os.path.exists(base):
            part = f"{base}.{uuidutils.generate_uuid()}.part"
            try:
                glance.API().download(context, image_id, dest_path=part)
                os.replace(part, base)
            finally:
                if os.path.exists(part):
                    os.unlink(part)

    def destroy(
        self, context, instance, network_info, block_device_info=None, destroy_disks=True, destroy_secrets=True
    ):
        self._obey("destroy")
        guest = self.instances.pop(instance.uuid, None)
        if guest is None:
            LOG.warning("guest not here", instance=instance)
        for port in set(getattr(guest, "vifs", ())) | {vif["id"] for vif in network_info or []}:
            self._unplug(port)
        self._save()

    def cleanup(
        self, context, instance, network_info, block_device_info=None, destroy_disks=True, migrate_data=None,
        destroy_vifs=True, destroy_secrets=True,
    ):  # fmt: skip
        if destroy_vifs:
            self.unplug_vifs(instance, network_info)

    def reboot(
        self, context, instance, network_info, reboot_type, block_device_info=None, bad_volumes_callback=None,
        accel_info=None, share_info=None,
    ):  # fmt: skip
        if reboot_type.lower() == "hard":
            # undefined, and defined again from Nova's records
            old = self.instances.pop(instance.uuid, None)
            for port in getattr(old, "vifs", ()):
                self._unplug(port)
            self._start(instance, network_info)
        else:
            self.power_on(context, instance, network_info)

    def power_off(self, instance, timeout=0, retry_interval=0):
        super().power_off(instance, timeout, retry_interval)
        for port in getattr(self.instances[instance.uuid], "vifs", ()):
            self._unplug(port)
        self._save()

    def power_on(self, context, instance, network_info, block_device_info=None, accel_info=None, share_info=None):
        self.instances.pop(instance.uuid, None)
        self._start(instance, network_info)

    # ---- moves ----

    def migrate_disk_and_power_off(
        self, context, instance, dest, flavor, network_info, block_device_info=None, timeout=0, retry_interval=0
    ):
        self._obey("migrate")
        self.power_off(instance)
        return "[]"

    def finish_migration(
        self, context, migration, instance, disk_info, network_info, image_meta, resize_instance, allocations,
        block_device_info=None, power_on=True, share_info=None,
    ):  # fmt: skip
        self._obey("finish_migration")
        self._start(instance, network_info, power_on, wait=True)

    def finish_revert_migration(
        self, context, instance, network_info, migration, block_device_info=None, power_on=True, share_info=None
    ):
        self._start(instance, network_info, power_on)

    def confirm_migration(self, context, migration, instance, network_info):
        if migration.source_compute != migration.dest_compute:
            self.destroy(context, instance, network_info)

    def pre_live_migration(self, context, instance, block_device_info, network_info, disk_info, migrate_data):
        self._obey("pre_live_migration")
        for vif in network_info or []:
            self._touch(vif)
        return migrate_data

    def live_migration(
        self, context, instance, dest, post_method, recover_method, block_migration=False, migrate_data=None
    ):
        try:
            self._obey("live_migration")
        except exception.NovaException:
            recover_method(context, instance, dest, migrate_data)
            raise
        post_method(context, instance, dest, block_migration, migrate_data)

    def post_live_migration(self, context, instance, block_device_info, migrate_data=None):
        self.destroy(context, instance, None)

    def post_live_migration_at_source(self, context, instance, network_info):
        # the guest and its ports have moved; the target has not been informed
        self._obey("post_live_migration_at_source")

    def post_live_migration_at_destination(
        self, context, instance, network_info, block_migration=False, block_device_info=None
    ):
        self._start(instance, network_info)

    def rollback_live_migration_at_destination(
        self, context, instance, network_info, block_device_info, destroy_disks=True, migrate_data=None
    ):
        self.unplug_vifs(instance, network_info)

    def snapshot(self, context, instance, image_id, update_task_state):
        update_task_state(task_state=task_states.IMAGE_PENDING_UPLOAD)
        update_task_state(task_state=task_states.IMAGE_UPLOADING, expected_state=task_states.IMAGE_PENDING_UPLOAD)
        api = glance.API()
        old = api.get(context, image_id)
        fields = {
            "disk_format": "raw", "container_format": "bare", "name": old["name"], "properties": old["properties"],
        }  # fmt: skip
        api.update(context, image_id, fields, io.BytesIO(b"\0" * 65536))
