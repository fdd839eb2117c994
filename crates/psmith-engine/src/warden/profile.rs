//! The settings that the starts of a warden share. Starts nothing.

use std::borrow::Cow;
use std::os::fd::OwnedFd;

use psmith_sys::rlimit::Rlimit;
use psmith_sys::spawn::EnvBlock;

use crate::warden::messages::Start;

/// The settings that all starts share.
pub(super) struct Profile {
    pub(super) env: EnvBlock,
    pub(super) umask: Option<u32>,
    pub(super) rlimits: Vec<Rlimit>,
    pub(super) nice: i32,
    pub(super) no_new_privs: bool,
    pub(super) terminal: Option<OwnedFd>,
}

impl Profile {
    pub(super) fn empty() -> Profile {
        Profile {
            env: EnvBlock::new(Vec::new()),
            umask: None,
            rlimits: Vec::new(),
            nice: 0,
            no_new_privs: false,
            terminal: None,
        }
    }

    /// Returns the environment of a start, before what it adds.
    pub(super) fn env_of(&self, start: &Start<'_>) -> Cow<'_, EnvBlock> {
        start.own_env.map_or(Cow::Borrowed(&self.env), |own| Cow::Owned(EnvBlock::new(own.to_vec())))
    }

    /// Returns the limits of a start that has these of its own. No limit is raised here that was lowered before: each
    /// resource is set once.
    pub(super) fn rlimits_with(&self, own: &[(u8, u64, u64)]) -> Cow<'_, [Rlimit]> {
        if own.is_empty() {
            return Cow::Borrowed(&self.rlimits);
        }
        let own = of_raw(own);
        let is_own = |limit: &Rlimit| own.iter().any(|of_own| of_own.resource == limit.resource);
        let mut rlimits: Vec<Rlimit> = self.rlimits.iter().filter(|limit| !is_own(limit)).copied().collect();
        rlimits.extend(own);
        Cow::Owned(rlimits)
    }
}

pub(super) fn of_raw(rlimits: &[(u8, u64, u64)]) -> Vec<Rlimit> {
    rlimits.iter().filter_map(|&(resource, soft, hard)| Rlimit::from_raw(resource, soft, hard)).collect()
}
