//! Allowances for rules that the tree does not keep everywhere yet: how often each may still be broken. A count may
//! only shrink, and a line that is no longer needed is itself a finding. It never judges a reason.

use std::collections::BTreeMap;
use std::path::Path;

use super::Finding;
use xtask::shell::{self, Result};

/// The file of the counts.
pub(super) const FILE: &str = "xtask/budgets.txt";

const HEADER: &str = "\
# How often a rule of `cargo xtask tidy` may be broken, a line each: rule, name, count, reason.
# Counts only shrink: `cargo xtask tidy --shrink` writes what is left and drops what is done. What stays says why.
";

/// The greatest number of places reported for one name: the author of a new one knows where it is.
const TOLD_MAX: usize = 20;

/// The counts that are allowed, and those that were found.
#[derive(Default)]
pub(super) struct Budget {
    allowed: BTreeMap<Key, Allowance>,
    found: BTreeMap<Key, usize>,
}

/// The rule, and the name of what breaks it.
type Key = (String, String);

#[derive(Debug, PartialEq)]
struct Allowance {
    count: usize,
    reason: String,
}

impl Budget {
    /// Reads the file.
    pub(super) fn read() -> Result<Self> {
        Self::parse(&shell::read(Path::new(FILE))?)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut allowed = BTreeMap::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let parts = (words.next(), words.next(), words.next().and_then(|count| count.parse().ok()));
            let reason = words.collect::<Vec<_>>().join(" ");
            let (Some(rule), Some(name), Some(count)) = parts else {
                return Err(format!("{FILE}: `{line}` is not a rule, a name, a count and a reason"));
            };
            if reason.is_empty() {
                return Err(format!("{FILE}: `{line}` gives no reason"));
            }
            allowed.insert((rule.to_owned(), name.to_owned()), Allowance { count, reason });
        }
        Ok(Self { allowed, found: BTreeMap::new() })
    }

    /// Counts the findings of a rule under one name, and returns those above the allowance: all of them, since none can
    /// be known as the new one.
    pub(super) fn spend(
        &mut self,
        rule: &str,
        name: &str,
        count: usize,
        findings: Vec<Finding>,
    ) -> Vec<Finding> {
        let key = (rule.to_owned(), name.to_owned());
        let allowed = self.allowed.get(&key).map_or(0, |allowance| allowance.count);
        self.found.insert(key, count);
        if count <= allowed {
            return Vec::new();
        }
        let mut over = findings;
        over.truncate(TOLD_MAX);
        if allowed > 0 {
            let message =
                format!("{rule} `{name}` is at {count}, and {allowed} are allowed: bring it down again");
            over.push(Finding::error(FILE, message));
        }
        over
    }

    /// Returns the lines that allow more than there is.
    pub(super) fn leftovers(&self) -> Vec<Finding> {
        let cure = "run `cargo xtask tidy --shrink`";
        let leftover = |(key, allowance): (&Key, &Allowance)| {
            let (rule, name) = key;
            let found = self.found.get(key).copied().unwrap_or(0);
            let message =
                format!("{rule} `{name}` allows {}, and only {found} are left: {cure}", allowance.count);
            (found < allowance.count).then(|| Finding::error(FILE, message))
        };
        self.allowed.iter().filter_map(leftover).collect()
    }

    /// Writes the counts that were found, if they are lower.
    pub(super) fn shrink(&self) -> Result<()> {
        shell::write(&shell::root().join(FILE), self.shrunk())
    }

    fn shrunk(&self) -> String {
        let mut text = HEADER.to_owned();
        for (key, allowance) in &self.allowed {
            let count = allowance.count.min(self.found.get(key).copied().unwrap_or(0));
            if count > 0 {
                let (rule, name) = key;
                text.push_str(&format!("{rule:<8} {name:<28} {count:>3} {}\n", allowance.reason));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding() -> Vec<Finding> {
        vec![Finding::error("a.rs", "is wrong")]
    }

    #[test]
    fn what_is_allowed_is_silent_and_what_is_more_is_not() {
        let mut budget = Budget::parse("# why\ntype State 2 one of each kind\n").expect("one line");
        assert_eq!(budget.spend("type", "State", 2, finding()), []);
        assert_eq!(budget.leftovers(), []);
        assert_eq!(budget.spend("type", "State", 3, finding()).len(), 2);
        assert_eq!(budget.spend("type", "Other", 1, finding()), finding());
    }

    #[test]
    fn what_is_no_longer_needed_is_a_finding_and_shrinks_away() {
        let mut budget = Budget::parse("type State 3 so\ncircle here 4 so\n").expect("two lines");
        assert_eq!(budget.spend("type", "State", 2, finding()), []);
        assert_eq!(budget.leftovers().len(), 2);
        let shrunk = budget.shrunk();
        assert!(shrunk.lines().last().expect("a line").split_whitespace().eq(["type", "State", "2", "so"]));
        assert!(!shrunk.contains("circle"));
    }

    #[test]
    fn a_line_without_a_reason_is_refused() {
        assert!(Budget::parse("type State 3\n").is_err_and(|message| message.contains("no reason")));
        assert!(Budget::parse("type State many so\n").is_err());
    }
}
