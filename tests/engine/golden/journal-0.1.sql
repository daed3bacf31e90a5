BEGIN TRANSACTION;
CREATE TABLE stackmend_actions (
	run VARCHAR(40) NOT NULL, 
	number INTEGER NOT NULL, 
	data TEXT(4294967295), 
	PRIMARY KEY (run, number)
);
INSERT INTO "stackmend_actions" VALUES('20261129-030000-beef',0,'{"id": "a1", "check": "allocation-orphan", "key": {"consumer": "c"}, "fingerprint": "0123456789abcdef", "resource_type": "consumer", "resource_id": "c", "message": "m", "target": {"consumer": "c", "n": 1, "at": null}, "repair": "r", "strategy": "db", "risk": "unsafe", "stage": 1, "steps": [], "statements": ["s0", "s1", "s2", "s3", "s4", "s5", "s6"], "why": "w", "instead": "no API", "required": false, "slots": [], "evidence": [], "irreversible": false}');
INSERT INTO "stackmend_actions" VALUES('20261129-030000-beef',1,'{"id": "a2", "check": "", "key": {"consumer": "c"}, "fingerprint": "0123456789abcdef", "resource_type": "consumer", "resource_id": "c", "message": "m", "target": {"consumer": "c", "n": 1, "at": null}, "repair": "r", "strategy": "db", "risk": "unsafe", "stage": 2, "steps": [], "statements": ["s0", "s1", "s2", "s3", "s4", "s5"], "why": "", "instead": "", "required": true, "slots": ["from:c01"], "evidence": ["it beats"], "irreversible": false}');
CREATE TABLE stackmend_entries (
	id INTEGER NOT NULL, 
	run VARCHAR(40), 
	step INTEGER, 
	state VARCHAR(16), 
	image TEXT(4294967295), 
	note TEXT, 
	batch INTEGER, 
	at VARCHAR(40), 
	PRIMARY KEY (id)
);
INSERT INTO "stackmend_entries" VALUES(1,'20261129-030000-beef',2,'intent',NULL,'',1,'2026-11-29T10:27:08.542337+00:00');
INSERT INTO "stackmend_entries" VALUES(2,'20261129-030000-beef',3,'intent',NULL,'',1,'2026-11-29T10:27:08.542337+00:00');
INSERT INTO "stackmend_entries" VALUES(3,'20261129-030000-beef',4,'intent','{"row": {"id": "v", "b": {"base64": "AQ=="}}, "sealed": "abc"}','',1,'2026-11-29T10:27:08.542337+00:00');
INSERT INTO "stackmend_entries" VALUES(4,'20261129-030000-beef',5,'intent','{"value": 7}','',1,'2026-11-29T10:27:08.542337+00:00');
INSERT INTO "stackmend_entries" VALUES(5,'20261129-030000-beef',2,'done',NULL,'',0,'2026-11-29T10:27:08.543840+00:00');
INSERT INTO "stackmend_entries" VALUES(6,'20261129-030000-beef',3,'done','{"pk": {"id": 12}}','',0,'2026-11-29T10:27:08.543840+00:00');
INSERT INTO "stackmend_entries" VALUES(7,'20261129-030000-beef',4,'done',NULL,'',0,'2026-11-29T10:27:08.543840+00:00');
INSERT INTO "stackmend_entries" VALUES(8,'20261129-030000-beef',5,'done','{"value": 8}','',0,'2026-11-29T10:27:08.543840+00:00');
INSERT INTO "stackmend_entries" VALUES(9,'20261129-030000-beef',7,'failed','{"rows": {"a": null}}','it was refused',0,'2026-11-29T10:27:08.543840+00:00');
CREATE TABLE stackmend_findings (
	cloud VARCHAR(64) NOT NULL, 
	fingerprint VARCHAR(16) NOT NULL, 
	"check" VARCHAR(64), 
	first_seen VARCHAR(40), 
	since VARCHAR(40), 
	last_seen VARCHAR(40), 
	gone VARCHAR(40), 
	PRIMARY KEY (cloud, fingerprint)
);
INSERT INTO "stackmend_findings" VALUES('cloud','f1','x','2026-11-29T03:00:00+00:00','2026-11-29T03:00:00+00:00','2026-11-29T04:00:00+00:00','');
INSERT INTO "stackmend_findings" VALUES('cloud','f2','y','2026-11-29T03:00:00+00:00','2026-11-29T03:00:00+00:00','2026-11-29T03:00:00+00:00','2026-11-29T04:00:00+00:00');
CREATE TABLE stackmend_leases (
	cloud VARCHAR(64) NOT NULL, 
	owner VARCHAR(32), 
	run VARCHAR(40), 
	operator VARCHAR(255), 
	host VARCHAR(255), 
	pid INTEGER, 
	process VARCHAR(128), 
	began VARCHAR(40), 
	beat VARCHAR(40), 
	expires VARCHAR(40), 
	PRIMARY KEY (cloud)
);
CREATE TABLE stackmend_locks (
	cloud VARCHAR(64) NOT NULL, 
	run VARCHAR(40), 
	host VARCHAR(255), 
	operator VARCHAR(255), 
	pid INTEGER, 
	beat VARCHAR(40), 
	PRIMARY KEY (cloud)
);
CREATE TABLE stackmend_meta (
	name VARCHAR(32) NOT NULL, 
	value VARCHAR(64), 
	PRIMARY KEY (name)
);
INSERT INTO "stackmend_meta" VALUES('version','2');
CREATE TABLE stackmend_remarks (
	id INTEGER NOT NULL, 
	run VARCHAR(40), 
	at VARCHAR(40), 
	text TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "stackmend_remarks" VALUES(1,'20261129-030000-beef','2026-11-29T10:27:08.544699+00:00','it was told to stop');
CREATE TABLE stackmend_runs (
	id VARCHAR(40) NOT NULL, 
	kind VARCHAR(16), 
	state VARCHAR(16), 
	"plan" VARCHAR(64), 
	sha256 VARCHAR(64), 
	cloud VARCHAR(64), 
	version VARCHAR(64), 
	undoes VARCHAR(64), 
	operator VARCHAR(255), 
	host VARCHAR(255), 
	pid INTEGER, 
	created_at VARCHAR(40), 
	ended_at VARCHAR(40), 
	limits TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "stackmend_runs" VALUES('20261129-030000-beef','apply','stopped','p-20261129','fd71770070a49ee73c03d971597c0de6cd35fe43281488f0505a7cd7b09d4b02','cloud','0.1.0','','op','h',1,'2026-11-29T03:00:00+00:00','2026-11-29T10:27:08.546035+00:00','{"max_rows": 9, "max_share": 1, "share_floor": 50, "max_failures": 10, "parallel": 2, "per_slot": 0}');
CREATE TABLE stackmend_steps (
	run VARCHAR(40) NOT NULL, 
	number INTEGER NOT NULL, 
	action INTEGER, 
	data TEXT(4294967295), 
	PRIMARY KEY (run, number)
);
INSERT INTO "stackmend_steps" VALUES('20261129-030000-beef',0,0,'{"kind": "expect", "database": "cell:cell1", "table": "instances", "pk": {"id": 3}, "expect": {"deleted": 0, "host": null}}');
INSERT INTO "stackmend_steps" VALUES('20261129-030000-beef',1,0,'{"kind": "expect-none", "database": "neutron", "table": "ports", "where": {"id": "11111111-2222-4333-8444-555555555555"}}');
INSERT INTO "stackmend_steps" VALUES('20261129-030000-beef',2,0,'{"kind": "update", "database": "cell:cell1", "table": "instances", "pk": {"id": 3}, "before": {"a": null, "b": 7, "c": 0.5, "d": "2026-11-21 03:00:00", "e": "F\u00fc\u00dfe \"x\"\n", "f": {"base64": "AP8="}}, "after": {"a": 1, "f": {"base64": ""}}}');
INSERT INTO "stackmend_steps" VALUES('20261129-030000-beef',3,0,'{"kind": "insert", "database": "placement", "table": "allocations", "key": {"consumer_id": "c"}, "values": {"a": null, "b": 7, "c": 0.5, "d": "2026-11-21 03:00:00", "e": "F\u00fc\u00dfe \"x\"\n", "f": {"base64": "AP8="}}, "sealed": ""}');
INSERT INTO "stackmend_steps" VALUES('20261129-030000-beef',4,0,'{"kind": "delete", "database": "cinder", "table": "volume_attachment", "pk": {"id": "v"}, "before": {"a": null, "b": 7, "c": 0.5, "d": "2026-11-21 03:00:00", "e": "F\u00fc\u00dfe \"x\"\n", "f": {"base64": "AP8="}}}');
INSERT INTO "stackmend_steps" VALUES('20261129-030000-beef',5,0,'{"kind": "bump", "database": "placement", "table": "resource_providers", "pk": {"id": 1}, "column": "generation", "by": 1, "left": null}');
INSERT INTO "stackmend_steps" VALUES('20261129-030000-beef',6,0,'{"kind": "bump", "database": "cinder", "table": "quota_usages", "pk": {"id": 1}, "column": "in_use", "by": -10, "left": null}');
INSERT INTO "stackmend_steps" VALUES('20261129-030000-beef',7,1,'{"kind": "api", "service": "block-storage", "operation": "begin-detaching", "arguments": {"volume": "3400a6bb-6dcc-450d-9114-419b4b02683c"}, "expect": {"status": "in-use"}, "inverse": {"kind": "api", "service": "block-storage", "operation": "roll-detaching", "arguments": {"volume": "3400a6bb-6dcc-450d-9114-419b4b02683c"}, "expect": {"status": "detaching", "migration": null, "attachments": 1}, "inverse": null, "waits": false}, "waits": false}');
INSERT INTO "stackmend_steps" VALUES('20261129-030000-beef',8,1,'{"kind": "command", "host": "c01", "argv": ["systemctl", "stop", "nova-compute"], "probe": ["systemctl", "is-active"], "inverse": ["systemctl", "start", "nova-compute"], "limit": 60, "back": false}');
INSERT INTO "stackmend_steps" VALUES('20261129-030000-beef',9,1,'{"kind": "command", "host": "", "argv": [], "probe": ["true"], "inverse": null, "limit": 0.5, "back": false}');
INSERT INTO "stackmend_steps" VALUES('20261129-030000-beef',10,1,'{"kind": "gate", "name": "fenced", "text": "is it off?"}');
INSERT INTO "stackmend_steps" VALUES('20261129-030000-beef',11,1,'{"kind": "manual", "text": "look at it", "awaited": false}');
INSERT INTO "stackmend_steps" VALUES('20261129-030000-beef',12,1,'{"kind": "manual", "text": "attach it", "awaited": true}');
CREATE TABLE stackmend_waivers (
	cloud VARCHAR(64) NOT NULL, 
	id VARCHAR(16) NOT NULL, 
	reason TEXT, 
	owner TEXT, 
	created_at VARCHAR(40), 
	expires VARCHAR(40), 
	fingerprint VARCHAR(16), 
	"check" VARCHAR(64), 
	resource VARCHAR(255), 
	PRIMARY KEY (cloud, id)
);
INSERT INTO "stackmend_waivers" VALUES('cloud','w1','r','o','2026-11-29T03:00:00+00:00','','','x','');
CREATE INDEX ix_stackmend_entries_run ON stackmend_entries (run);
CREATE INDEX ix_stackmend_remarks_run ON stackmend_remarks (run);
COMMIT;
