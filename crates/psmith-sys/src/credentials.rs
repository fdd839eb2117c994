//! The user, the groups and the root directory as which this process acts. Changes none of them but for
//! [`become_user`].

use std::io;

use crate::raw;

/// What a process may do, as far as it is a matter of its user, its groups and its root directory. A child that was
/// started before a change keeps what it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    ids: Ids,
    groups: Vec<u32>,
    root: (u64, u64),
}

/// The real, effective and saved user, and those of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    users: [u32; 3],
    groups: [u32; 3],
}

impl Ids {
    /// Returns those of the calling thread, which in a process that uses the C library are those of all threads.
    #[must_use]
    pub fn now() -> Ids {
        Ids { users: three(libc::SYS_getresuid), groups: three(libc::SYS_getresgid) }
    }

    /// Returns in words what has changed since.
    #[must_use]
    pub fn change(self) -> Option<String> {
        self.change_to(Ids::now())
    }

    fn change_to(self, now: Ids) -> Option<String> {
        let words = |what: &str, then: [u32; 3], now: [u32; 3]| {
            // The effective one is what most people mean; the others are named where they alone differ.
            let at = [1, 0, 2].into_iter().find(|&at| then[at] != now[at])?;
            let kind = ["real ", "", "saved "][at];
            Some(format!("its {kind}{what} (it was {}, and is {})", then[at], now[at]))
        };
        words("user", self.users, now.users).or_else(|| words("group", self.groups, now.groups))
    }
}

impl Credentials {
    /// Returns those of this process.
    #[must_use]
    pub fn now() -> Credentials {
        let groups = rustix::process::getgroups().unwrap_or_default();
        let groups = groups.into_iter().map(rustix::process::Gid::as_raw).collect();
        let root = rustix::fs::stat("/").map_or((0, 0), |root| (root.st_dev, root.st_ino));
        Credentials { ids: Ids::now(), groups, root }
    }

    /// Returns the numbers of its user and its group.
    #[must_use]
    pub fn ids(&self) -> Ids {
        self.ids
    }

    /// Returns in words what has changed since, as in "this process has changed ..".
    #[must_use]
    pub fn change(&self) -> Option<String> {
        let now = Credentials::now();
        self.ids.change_to(now.ids).or_else(|| {
            if self.groups != now.groups {
                Some("its supplementary groups".into())
            } else {
                (self.root != now.root).then(|| "its root directory".into())
            }
        })
    }
}

fn three(number: libc::c_long) -> [u32; 3] {
    let mut ids = [0_u32; 3];
    let places = ids.each_mut().map(|id| std::ptr::from_mut(id) as usize);
    // SAFETY: getresuid(2) and getresgid(2) write three numbers, at these places.
    unsafe { raw::call(number, [places[0], places[1], places[2], 0, 0, 0]) };
    ids
}

/// Makes this process one of another user and group, with no other group, for good: groups first, the user last.
///
/// # Errors
/// `EPERM` without the right to.
pub fn become_user(user: u32, group: u32) -> io::Result<()> {
    let done = |result: i32| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: setgroups(2) of none reads no memory; the C library has all threads follow.
    done(unsafe { libc::setgroups(0, std::ptr::null()) })?;
    // SAFETY: setgid(2) takes a number.
    done(unsafe { libc::setgid(group) })?;
    // SAFETY: setuid(2) takes a number.
    done(unsafe { libc::setuid(user) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_named_by_what_differs() {
        let then = Ids { users: [0; 3], groups: [5; 3] };
        assert_eq!(then.change_to(then), None);
        let now = Ids { users: [65_534; 3], groups: [65_534; 3] };
        assert_eq!(then.change_to(now).unwrap(), "its user (it was 0, and is 65534)");
        let now = Ids { groups: [6, 5, 5], ..then };
        assert_eq!(then.change_to(now).unwrap(), "its real group (it was 5, and is 6)");
        assert_eq!(Credentials::now().change(), None);
    }
}
