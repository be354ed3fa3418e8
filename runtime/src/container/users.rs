//! Who a container runs as, by the passwd and group files of its image. Pure.

use serde::{Deserialize, Serialize};

use crate::spec::User;

/// A user as the kernel knows it, and its home.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, with the primary one, sorted.
    pub groups: Vec<u32>,
    pub home: String,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// Looks up `user` in the texts of /etc/passwd and /etc/group. A numeric user need not be listed; a name must be.
pub fn lookup(user: &User, passwd: &str, group: &str) -> Result<Identity, UserError> {
    let (who, group_name) = match user.user.split_once(':') {
        Some((who, group)) => (who, Some(group)),
        None => (user.user.as_str(), None),
    };
    let accounts = || passwd.lines().filter_map(account);
    let (uid, account) = match (who, who.parse::<u32>()) {
        ("", _) => (0, accounts().find(|account| account.uid == 0)),
        (_, Ok(uid)) => (uid, accounts().find(|account| account.uid == uid)),
        (name, Err(_)) => {
            let account =
                accounts().find(|account| account.name == name).ok_or_else(|| UserError::NoUser(name.to_owned()))?;
            (account.uid, Some(account))
        }
    };
    let gid = match (user.gid, group_name) {
        (Some(gid), _) => gid,
        (None, Some(name)) if !name.is_empty() => find_group(name, group)?,
        _ => account.as_ref().map_or(0, |account| account.gid),
    };
    let mut groups = user.supplemental_groups.clone();
    groups.push(gid);
    if let Some(account) = &account {
        groups.extend(memberships(account.name, group));
    }
    groups.sort_unstable();
    groups.dedup();
    let home = account.map(|account| account.home).filter(|home| !home.is_empty()).unwrap_or("/").to_owned();
    Ok(Identity { uid, gid, groups, home })
}

/// A line `name:password:uid:gid:comment:home:shell`.
fn account(line: &str) -> Option<Account<'_>> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let uid = fields.nth(1)?.trim().parse().ok()?;
    let gid = fields.next()?.trim().parse().ok()?;
    Some(Account { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
}

/// Lines `name:password:gid:member,member` as name, gid and members.
fn group_entries(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.trim().parse().ok()?;
        Some((name, gid, fields.next().unwrap_or_default()))
    })
}

fn find_group(name: &str, group: &str) -> Result<u32, UserError> {
    if let Ok(gid) = name.parse() {
        return Ok(gid);
    }
    let entry = group_entries(group).find(|(known, ..)| *known == name);
    entry.map(|(_, gid, _)| gid).ok_or_else(|| UserError::NoGroup(name.to_owned()))
}

fn memberships<'a>(name: &'a str, group: &'a str) -> impl Iterator<Item = u32> + 'a {
    group_entries(group)
        .filter(move |(_, _, members)| members.split(',').any(|member| member.trim() == name))
        .map(|(_, gid, _)| gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# comment\nweb:x:33:34:www:/var/www:/bin/false\nbad:x:y\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\ntape:x:26:web,root\ndisk:x:6:root\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let identity = |uid, gid, groups: &[u32], home: &str| {
            Ok(Identity { uid, gid, groups: groups.to_vec(), home: home.to_owned() })
        };
        type Case<'a> = (&'a str, Option<u32>, &'a [u32], Result<Identity, &'a str>);
        let cases: [Case<'_>; 10] = [
            ("", None, &[], identity(0, 0, &[0, 6, 26], "/root")),
            ("web", None, &[], identity(33, 34, &[26, 34], "/var/www")),
            ("33", None, &[], identity(33, 34, &[26, 34], "/var/www")),
            ("web:tape", None, &[], identity(33, 26, &[26], "/var/www")),
            ("web:7", None, &[], identity(33, 7, &[7, 26], "/var/www")),
            ("1000", None, &[], identity(1000, 0, &[0], "/")),
            ("1000:1001", None, &[5, 4, 5], identity(1000, 1001, &[4, 5, 1001], "/")),
            ("web:tape", Some(9), &[], identity(33, 9, &[9, 26], "/var/www")),
            ("nobody", None, &[], Err("unable to find user nobody: no matching entries in passwd file")),
            ("web:none", None, &[], Err("unable to find group none: no matching entries in group file")),
        ];
        for (user, gid, supplemental, expected) in cases {
            let spec = User { user: user.to_owned(), gid, supplemental_groups: supplemental.to_vec() };
            let got = lookup(&spec, PASSWD, GROUP).map_err(|error| error.to_string());
            assert_eq!(got, expected.map_err(str::to_owned), "{user} {gid:?}");
        }
    }
}
