//! A test aid: makes this process behave as if the kernel lacked a facility, so that each fallback is run by tests.
//!
//! The environment variable `PSMITH_FORBID` holds a comma-separated list of the names in [`KernelFacility`]. It is
//! read once, at the first query. It can only take facilities away, never grant one, so it is harmless in production,
//! where it is not set.

use std::sync::OnceLock;

/// The facilities that can be forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelFacility {
    /// `cgroup`: no control group at all, neither for containment nor for limits.
    Cgroup,
    /// `cgroup-birth`: no process is spawned in a group (before Linux 5.7).
    CgroupBirth,
    /// `cgroup-kill`: no `cgroup.kill` file (before Linux 5.14).
    CgroupKill,
    /// `close-range`: no `close_range` (before Linux 5.9, or an old seccomp profile).
    CloseRange,
    /// `fork`: function workers are not forked but executed, as where the warden has more than one thread.
    Fork,
    /// `pidfd-group`: no signal to a process group by pidfd (before Linux 6.9).
    PidfdGroup,
    /// `subreaper`: orphans are not adopted.
    Subreaper,
    /// `v1-limits`: no limits by the first version of control groups.
    V1Limits,
    /// `v2-limits`: no limits by the second version of control groups.
    V2Limits,
}

impl KernelFacility {
    const ALL: [(KernelFacility, &'static str); 9] = [
        (KernelFacility::Cgroup, "cgroup"),
        (KernelFacility::CgroupBirth, "cgroup-birth"),
        (KernelFacility::CgroupKill, "cgroup-kill"),
        (KernelFacility::CloseRange, "close-range"),
        (KernelFacility::Fork, "fork"),
        (KernelFacility::PidfdGroup, "pidfd-group"),
        (KernelFacility::Subreaper, "subreaper"),
        (KernelFacility::V1Limits, "v1-limits"),
        (KernelFacility::V2Limits, "v2-limits"),
    ];
}

/// The name of the environment variable.
pub const VARIABLE: &str = "PSMITH_FORBID";

/// Returns whether `facility` is to be treated as missing.
#[must_use]
pub fn is_forbidden(facility: KernelFacility) -> bool {
    static FORBIDDEN: OnceLock<u16> = OnceLock::new();
    let forbidden = *FORBIDDEN.get_or_init(|| match std::env::var(VARIABLE) {
        Ok(list) => parse(&list),
        Err(_) => 0,
    });
    forbidden & (1 << facility as u16) != 0
}

fn parse(list: &str) -> u16 {
    let named = |word: &str| KernelFacility::ALL.iter().find(|(_, name)| *name == word.trim());
    list.split(',').filter_map(named).fold(0, |bits, (facility, _)| bits | 1 << *facility as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_a_comma_list_and_unknown_ones_are_passed_over() {
        let bits = parse("cgroup-kill, v2-limits,nonsense");
        assert_eq!(bits, 1 << KernelFacility::CgroupKill as u16 | 1 << KernelFacility::V2Limits as u16);
        assert_eq!(parse(""), 0);
    }
}
