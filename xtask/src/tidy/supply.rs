//! Rules for foreign crates: their source, their licence, and the unwanted ones; read from cargo's metadata, because a
//! program that does the same takes minutes to build.
//!
//! It knows nothing of published vulnerabilities: these change without a commit of ours, and are checked at a release.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Finding;
use crate::metadata::{array, members, text};

/// The only place that crates come from.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Licences that require no more than their own text.
const LICENCES: &[&str] =
    &["0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "Unicode-3.0", "Unlicense", "Zlib"];

/// Crates that must not come in, not even through others, and their replacements.
const UNWANTED: &[(&str, &str)] = &[
    ("anyhow", "an error type with its causes"),
    ("atty", "std::io::IsTerminal"),
    ("chrono", "the kernel's clocks, and view::when"),
    ("lazy_static", "std::sync::LazyLock"),
    ("native-tls", "no encryption of our own: the web board listens on this machine only"),
    ("nix", "psmith-sys on rustix"),
    ("num_cpus", "std::thread::available_parallelism"),
    ("openssl-sys", "sha2 and hmac"),
    ("structopt", "clap"),
];

/// Crates that are there in two versions, each with the reason. Another one is a finding.
const TWICE: Exceptions<'_> =
    &[("embedded-io", "two optional dependencies of postcard, of which our features compile neither")];

/// A crate, and the reason.
type Exceptions<'e> = &'e [(&'e str, &'e str)];

/// Checks the resolved dependencies, of this platform.
pub(super) fn check(metadata: &Value) -> Vec<Finding> {
    check_but_for(metadata, TWICE)
}

fn check_but_for(metadata: &Value, exceptions: Exceptions<'_>) -> Vec<Finding> {
    let ours: Vec<&Value> = members(metadata).collect();
    let foreign: Vec<&Value> =
        array(metadata, "packages").iter().filter(|package| !ours.contains(package)).collect();
    let mut findings = Vec::new();
    for package in &foreign {
        let name = text(package, "name");
        let mut wrong = |message: String| {
            findings.push(Finding::error(format!("dependency {name} {}", text(package, "version")), message));
        };
        let source = text(package, "source");
        if source != CRATES_IO {
            wrong(format!("comes from `{source}`: only crates.io keeps what it once gave"));
        }
        if let Some((_, instead)) = UNWANTED.iter().find(|(unwanted, _)| *unwanted == name) {
            wrong(format!(
                "is not wanted: use {instead}, or find what brings it in by `cargo tree -i {name}`"
            ));
        }
        let licence = text(package, "license");
        if !is_allowed(licence) {
            wrong(format!(
                "has the licence `{licence}`, which is not in xtask/src/tidy/supply.rs: choose another crate, or add \
                 it there once somebody has read it"
            ));
        }
    }
    findings.extend(twice(&foreign, exceptions));
    for package in ours {
        for dependency in array(package, "dependencies") {
            // A crate in the workspace needs no version, unless it is published with it.
            if text(dependency, "req") == "*" && dependency["path"].is_null() {
                findings.push(Finding::error(
                    format!("Cargo.toml of {}", text(package, "name")),
                    format!(
                        "takes any version of {}: name the least that has what is used",
                        text(dependency, "name")
                    ),
                ));
            }
        }
    }
    findings
}

fn twice(foreign: &[&Value], exceptions: Exceptions<'_>) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in foreign {
        versions.entry(text(package, "name")).or_default().push(text(package, "version"));
    }
    versions.retain(|_, versions| versions.len() > 1);
    let listed = |name: &str| exceptions.iter().any(|(listed, _)| *listed == name);
    let unlisted = versions.iter().filter(|(name, _)| !listed(name)).map(|(name, versions)| {
        Finding::error(
            format!("dependency {name}"),
            format!(
                "is there as {}: bring its users to one version (`cargo tree -i {name}`), or list it with the reason \
                 in xtask/src/tidy/supply.rs",
                versions.join(" and ")
            ),
        )
    });
    let done = exceptions.iter().filter(|(name, _)| !versions.contains_key(name)).map(|(name, _)| {
        Finding::error("xtask/src/tidy/supply.rs", format!("{name} is there once now: delete the exception"))
    });
    unlisted.chain(done).collect()
}

/// Returns whether an expression can be met by the licences that are allowed.
fn is_allowed(expression: &str) -> bool {
    // Before there was a grammar, a slash meant `OR`.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    either(&words, &mut at) && at == words.len()
}

fn either(words: &[&str], at: &mut usize) -> bool {
    let mut allowed = both(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        allowed |= both(words, at);
    }
    allowed
}

fn both(words: &[&str], at: &mut usize) -> bool {
    let mut allowed = licence(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        allowed &= licence(words, at);
    }
    allowed
}

fn licence(words: &[&str], at: &mut usize) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let allowed = either(words, at);
        *at += 1;
        return allowed;
    }
    // An exception only removes conditions.
    if words.get(*at) == Some(&"WITH") {
        *at += 2;
    }
    LICENCES.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn messages(packages: &Value) -> Vec<String> {
        let metadata = json!({"workspace_members": ["ours"], "packages": packages});
        check_but_for(&metadata, &[]).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn licences_are_read_as_expressions() {
        assert!(is_allowed("MIT"));
        assert!(is_allowed("MIT/Apache-2.0"));
        assert!(is_allowed("GPL-3.0-only OR MIT"));
        assert!(is_allowed("(MIT OR GPL-2.0-only) AND Unicode-3.0"));
        assert!(is_allowed("Apache-2.0 WITH LLVM-exception OR MIT"));
        assert!(!is_allowed("MIT AND GPL-3.0-only"));
        assert!(!is_allowed("GPL-3.0-only"));
        assert!(!is_allowed(""));
        assert!(!is_allowed("MIT MIT"));
    }

    #[test]
    fn foreign_crates_are_known_and_wanted() {
        let good = json!({"id": "a", "name": "a", "version": "1.0.0", "source": CRATES_IO, "license": "MIT"});
        assert_eq!(messages(&json!([good])), Vec::<String>::new());
        let mut other = good.clone();
        other["version"] = "2.0.0".into();
        assert!(messages(&json!([good, other]))[0].contains("1.0.0 and 2.0.0"));
        let git = json!({"id": "b", "name": "atty", "source": "git+https://x", "license": "GPL-3.0-only"});
        assert_eq!(messages(&json!([git])).len(), 3);
        let metadata = json!({"workspace_members": [], "packages": []});
        assert!(check_but_for(&metadata, &[("a", "so")])[0].message.contains("delete the exception"));
    }

    #[test]
    fn any_version_is_too_many() {
        let wild = |path: Value| {
            let dependency = json!({"name": "a", "req": "*", "path": path});
            json!([{"id": "ours", "name": "psmith", "dependencies": [dependency]}])
        };
        assert_eq!(messages(&wild(Value::Null)).len(), 1);
        assert_eq!(messages(&wild("/a".into())).len(), 0);
    }
}
