//! The direction of dependencies among our own crates, from cargo's metadata.

use serde_json::Value;

use super::Finding;
use crate::metadata::{array, members, text};

/// Each crate, and those of ours that it may use outside its tests. A new crate needs a line first: a crate that is not
/// in the table may neither use them nor be used.
const ALLOWED: &[(&str, &[&str])] = &[
    ("psmith-core", &[]),
    ("psmith-sys", &[]),
    ("psmith-macros", &[]),
    ("psmith-engine", &["psmith-core", "psmith-sys"]),
    ("psmith-board", &["psmith-core", "psmith-sys"]),
    ("psmith-report", &["psmith-core", "psmith-board", "psmith-sys"]),
    ("psmith-store", &["psmith-core"]),
    (
        "psmith",
        &["psmith-core", "psmith-sys", "psmith-macros", "psmith-engine", "psmith-board", "psmith-report"],
    ),
    (
        "psmith-cli",
        &["psmith-core", "psmith-sys", "psmith-engine", "psmith-board", "psmith-report", "psmith-store"],
    ),
    ("psmith-testkit", &["psmith-core", "psmith-sys", "psmith-engine"]),
    ("xtask", &[]),
    ("psmith-bench", &["xtask"]),
];

/// The crate that tests and benches may use besides.
const TESTKIT: &str = "psmith-testkit";

/// Checks cargo's metadata.
pub(super) fn check(metadata: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in members(metadata) {
        let name = text(package, "name");
        let place = format!("Cargo.toml of {name}");
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            findings.push(Finding::error(
                place,
                "is a new crate: give it a line in xtask/src/tidy/dependencies.rs that says which of ours it may use",
            ));
            continue;
        };
        for dependency in array(package, "dependencies") {
            let used = text(dependency, "name");
            let ours = ALLOWED.iter().any(|(known, _)| *known == used);
            // Examples in the documentation of lower crates show items under the names that programs use.
            let for_tests = dependency["kind"] == "dev" && (used == TESTKIT || used == "psmith");
            if ours && !allowed.contains(&used) && !for_tests {
                findings.push(Finding::error(
                    &place,
                    format!(
                        "{name} must not depend on {used}: dependencies point one way, as the table in \
                         xtask/src/tidy/dependencies.rs says; move what is shared down, or pass it in"
                    ),
                ));
            }
        }
    }
    findings
}

/// Returns the version that all our crates share.
pub(super) fn workspace_version(metadata: &Value) -> String {
    members(metadata)
        .find(|package| package["name"] == "psmith")
        .map_or_else(String::new, |p| text(p, "version").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata(user: &str, used: &str, kind: Option<&str>) -> Value {
        json!({
            "workspace_members": ["a"],
            "packages": [
                {"id": "a", "name": user, "version": "0.1.0", "dependencies": [{"name": used, "kind": kind}]},
                {"id": "other", "name": "stranger", "version": "1.0.0", "dependencies": []},
            ],
        })
    }

    #[test]
    fn the_way_down_is_free() {
        assert_eq!(check(&metadata("psmith", "psmith-core", None)), []);
        assert_eq!(check(&metadata("psmith-cli", "psmith-engine", None)), []);
        assert_eq!(check(&metadata("psmith-core", "proptest", Some("dev"))), []);
        assert_eq!(check(&metadata("psmith", "psmith-testkit", Some("dev"))), []);
    }

    #[test]
    fn the_way_up_and_across_is_not() {
        for (user, used) in [
            ("psmith-core", "psmith-sys"),
            ("psmith-sys", "psmith-core"),
            ("psmith-core", "psmith"),
            ("psmith-engine", "psmith"),
            ("psmith-board", "psmith-engine"),
            ("psmith-report", "psmith-engine"),
            ("psmith", "psmith-testkit"),
            ("psmith", "psmith-bench"),
        ] {
            assert_eq!(check(&metadata(user, used, None)).len(), 1, "{user} -> {used}");
        }
    }

    #[test]
    fn a_new_crate_wants_a_line() {
        assert!(check(&metadata("psmith-new", "serde", None))[0].message.contains("give it a line"));
    }

    #[test]
    fn the_version_is_the_librarys() {
        assert_eq!(workspace_version(&metadata("psmith", "serde", None)), "0.1.0");
    }
}
