//! Checks of each published crate alone, with the sets of features that users choose: code that compiles with all of
//! them may lack an import with one.
//!
//! All sets of seven features would be 128 builds. Checked are no feature, each alone, and those that meet in one file;
//! all together are checked with the whole workspace.

use std::process::Command;

use serde_json::Value;

use crate::metadata;
use crate::shell::{self, Result};

/// Features whose code meets: a condition on one is within the code of the other.
const TOGETHER: &[(&str, &str)] =
    &[("psmith", "board,stacks"), ("psmith", "board,tokio"), ("psmith", "tokio,web")];

/// Returns the commands that check them.
pub(crate) fn checks() -> Result<Vec<Command>> {
    Ok(sets(&metadata::read()?).iter().map(|(package, features)| check(package, features)).collect())
}

fn check(package: &str, features: &str) -> Command {
    let mut cargo = shell::cargo(["clippy", "--quiet", "--package", package, "--no-default-features"]);
    if !features.is_empty() {
        cargo.args(["--features", features]);
    }
    cargo.args(["--", "-D", "warnings"]);
    cargo
}

/// Returns package and features, for each check.
fn sets(metadata: &Value) -> Vec<(String, String)> {
    let mut sets = Vec::new();
    for package in metadata::members(metadata).filter(|package| metadata::is_published(package)) {
        let name = metadata::text(package, "name");
        // `default` is a set like any other.
        let features = package["features"].as_object().into_iter().flat_map(|features| features.keys());
        let together = TOGETHER.iter().filter(|(of, _)| *of == name).map(|(_, features)| *features);
        let all = [""].into_iter().chain(features.map(String::as_str)).chain(together);
        sets.extend(all.map(|features| (name.to_owned(), features.to_owned())));
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_feature_is_checked_alone_and_without_any() {
        let metadata = json!({
            "workspace_members": ["a", "b"],
            "packages": [
                {"id": "a", "name": "psmith", "features": {"board": [], "web": ["board"]}},
                {"id": "b", "name": "hidden", "publish": [], "features": {"c": []}},
            ],
        });
        let sets = sets(&metadata);
        assert!(sets.iter().all(|(package, _)| package == "psmith"));
        let features: Vec<&str> = sets.iter().map(|(_, features)| features.as_str()).collect();
        assert_eq!(features, ["", "board", "web", "board,stacks", "board,tokio", "tokio,web"]);
    }
}
