//! Rules for manifests of published crates: crates.io and docs.rs show nothing else of them.

use serde_json::Value;

use super::Finding;
use crate::metadata::{array, is_published, members, text};

/// The greatest number of keywords, and of categories, that crates.io accepts.
const KEYWORDS_MAX: usize = 5;

/// Checks the manifests in cargo's metadata.
pub(super) fn check(metadata: &Value) -> Vec<Finding> {
    members(metadata).filter(|package| is_published(package)).flat_map(check_one).collect()
}

fn check_one(package: &Value) -> Vec<Finding> {
    let place = format!("Cargo.toml of {}", text(package, "name"));
    let mut findings = Vec::new();
    let mut wrong = |message: String| findings.push(Finding::error(&place, message));
    for (key, cure) in [
        ("description", "one sentence that says what the crate does"),
        ("repository", "`repository.workspace = true`"),
        ("readme", "`readme = \"README.md\"`, or `readme.workspace = true`"),
        ("license", "`license.workspace = true`"),
        ("rust_version", "`rust-version.workspace = true`"),
    ] {
        if text(package, key).is_empty() {
            wrong(format!("has no `{}`: add {cure}", key.replace('_', "-")));
        }
    }
    for key in ["categories", "keywords"] {
        let count = array(package, key).len();
        if count == 0 || count > KEYWORDS_MAX {
            wrong(format!("has {count} {key}: give it one to {KEYWORDS_MAX}"));
        }
    }
    let has_features = package["features"].as_object().is_some_and(|features| !features.is_empty());
    let documented = &package["metadata"]["docs"]["rs"]["all-features"];
    if has_features && documented != &Value::Bool(true) {
        wrong(
            "hides its features from docs.rs: add `[package.metadata.docs.rs]` with `all-features = true`"
                .into(),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn messages(package: &Value) -> Vec<String> {
        let metadata = json!({"workspace_members": ["a"], "packages": [package]});
        check(&metadata).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_whole_manifest_is_silent_and_a_bare_one_gets_all_its_findings() {
        let mut package = json!({
            "id": "a", "name": "psmith", "description": "d", "repository": "r", "readme": "m", "license": "l",
            "rust_version": "1.88", "categories": ["c"], "keywords": ["k"], "features": {"f": []},
            "metadata": {"docs": {"rs": {"all-features": true}}},
        });
        assert_eq!(messages(&package), Vec::<String>::new());
        package["metadata"] = Value::Null;
        assert!(messages(&package)[0].contains("docs.rs"));
        let bare = json!({"id": "a", "name": "psmith", "features": {}});
        assert_eq!(messages(&bare).len(), 7);
        let private = json!({"id": "a", "name": "x", "publish": []});
        assert_eq!(messages(&private), Vec::<String>::new());
    }
}
