# SPDX-License-Identifier: Apache-2.0
"""Checks of what back ends of storage hold, beside the records of Cinder and Nova."""

#: how an object is put aside that nobody knows: SQL of columns kind, place, asked, program, name,
#: based, used
ASIDE = """
    CASE WHEN asked = '' THEN '' ELSE 'on ' || asked || ': ' END
    || CASE WHEN used <> '' THEN used || ', so find out by whom. ' ELSE '' END
    || CASE WHEN based = 0 THEN ''
            ELSE 'Leave it: ' || CAST(based AS VARCHAR) || ' other(s) there are based on it. If none was: ' END
    || CASE WHEN kind = 'rbd'
            THEN 'see who has it open (' || program || ' status ' || place || '/' || name || ') and what is based on'
                 || ' it, in any pool (' || program || ' children ' || place || '/' || name || '); if nothing: '
                 || program
                 || ' trash mv --expires-at ''30 days'' ' || place || '/' || name
                 || ' (rbd trash restore takes it back). What is purged from the trash is lost, IRREVERSIBLE: not'
                 || ' before somebody has looked into it'
            WHEN kind = 'lvm'
            THEN 'see that its device is neither open nor exported (lvs -o lv_device_open ' || place || '/' || name
                 || ', targetcli ls); if it is not: lvrename ' || place || ' ' || name || ' aside-' || name
                 || ' (lvrename takes it back). lvremove is IRREVERSIBLE: not before somebody has looked into it'
            ELSE 'see on each host with that share that nobody has it open (lsof), and that no file is based on it'
                 || ' (qemu-img info -U --backing-chain); if nothing: cd ''' || place
                 || CASE WHEN name LIKE '%/%' THEN '/' || split_part(name, '/', 1) ELSE '' END
                 || ''' && mkdir -p aside && mv -n '
                 || CASE WHEN name LIKE '%/%' THEN split_part(name, '/', 2) ELSE name END
                 || ' aside/ (mv takes it back). rm is IRREVERSIBLE: not before somebody has looked into it' END"""
