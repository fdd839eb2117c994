//! Cargo's metadata of the workspace. Only read here: the rules are elsewhere.

use std::process::Command;

use serde_json::Value;

use crate::shell::{self, Result};

/// Reads the workspace with its dependencies, on this platform. All of them were fetched when xtask was built.
pub(crate) fn read() -> Result<Value> {
    let rustc = shell::output(Command::new("rustc").arg("-vV"))?;
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc names no host")?;
    let mut ask = shell::cargo(["metadata", "--format-version", "1", "--locked", "--filter-platform", host]);
    serde_json::from_str(&shell::output(&mut ask)?)
        .map_err(|error| format!("failed to read cargo's metadata: {error}"))
}

/// Returns our own crates.
pub(crate) fn members(metadata: &Value) -> impl Iterator<Item = &Value> {
    let ids = array(metadata, "workspace_members");
    array(metadata, "packages").iter().filter(|package| ids.contains(&package["id"]))
}

/// Returns whether a crate goes to crates.io: `publish = false` is an empty list of registries.
pub(crate) fn is_published(package: &Value) -> bool {
    package["publish"].as_array().is_none_or(|registries| !registries.is_empty())
}

/// Returns the list of this name, or an empty one.
pub(crate) fn array<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// Returns the text of this name, or an empty one.
pub(crate) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}
