//! Circles between folders, which are forbidden: a reader of one must not have to know the other first, and back again.
//!
//! A folder is compared within its own parent: with the folders and files beside it; the parent's own file (`mod.rs`,
//! `lib.rs`) belongs to none of them. Files of one folder may use each other in a circle; these are only counted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Finding;
use super::budget::Budget;
use super::imports::{Imports, ModulePath};
use crate::source::Source;

/// The crates of the workspace, each with its imports.
#[derive(Default)]
pub(super) struct Folders(BTreeMap<PathBuf, Imports>);

/// Files and folders of one parent that can each be reached from each other.
struct Circle<'i> {
    parent: &'i [String],
    members: BTreeSet<&'i str>,
    has_folder: bool,
}

impl Folders {
    /// Adds a file, if it is a part of a crate's sources.
    pub(super) fn add(&mut self, file: &Path, source: &Source) {
        let parts: Vec<&Path> = file.iter().map(Path::new).collect();
        if let Some(at) = parts.iter().position(|part| *part == Path::new("src")) {
            let home: PathBuf = parts[..=at].iter().collect();
            let below: PathBuf = parts[at + 1..].iter().collect();
            self.0.entry(home).or_default().add(&below, source);
        }
    }

    /// Checks all crates. Returns the findings, and the number of circles within folders.
    pub(super) fn check(&self, budget: &mut Budget) -> (Vec<Finding>, usize) {
        let (mut findings, mut within) = (Vec::new(), 0);
        for (home, imports) in &self.0 {
            let (between, inside): (Vec<_>, Vec<_>) =
                circles(imports).into_iter().partition(|circle| circle.has_folder);
            within += inside.len();
            let mut places: BTreeMap<String, Vec<&Circle<'_>>> = BTreeMap::new();
            for circle in &between {
                places.entry(circle.place(home)).or_default().push(circle);
            }
            for (place, circles) in places {
                let members = circles.iter().map(|circle| circle.members.len()).sum();
                let reported = circles.iter().map(|circle| circle.finding(&place, imports));
                findings.extend(budget.spend("circle", &place, members, reported.collect()));
            }
        }
        (findings, within)
    }
}

impl Circle<'_> {
    /// Returns the folder that holds its members.
    fn place(&self, home: &Path) -> String {
        self.parent.iter().fold(home.to_owned(), |path, part| path.join(part)).display().to_string()
    }

    /// Reports each tie with one file that makes it.
    fn finding(&self, place: &str, imports: &Imports) -> Finding {
        let mut ties: BTreeMap<(&str, &str), String> = BTreeMap::new();
        for (user, used) in imports.edges() {
            if let (Some(one), Some(other)) = (child(self.parent, user), child(self.parent, used))
                && one != other
                && self.members.contains(one)
                && self.members.contains(other)
            {
                let example =
                    format!("{} uses {}", imports.file(user).display(), imports.file(used).display());
                ties.entry((one, other)).or_insert(example);
            }
        }
        let ties: Vec<String> =
            ties.iter().map(|((one, other), example)| format!("{one} -> {other} ({example})")).collect();
        Finding::error(
            place,
            format!(
                "a circle of {} folders or files, of which each needs the others: move what both sides need below \
                 them; {}",
                self.members.len(),
                ties.join("; ")
            ),
        )
    }
}

/// Returns the child of a parent that a module is, or in which it is.
fn child<'m>(parent: &[String], module: &'m ModulePath) -> Option<&'m str> {
    module.strip_prefix(parent)?.first().map(String::as_str)
}

fn circles(imports: &Imports) -> Vec<Circle<'_>> {
    let edges = imports.edges();
    let parents: BTreeSet<&[String]> = imports
        .modules()
        .filter(|module| !module.is_empty())
        .map(|module| &module[..module.len() - 1])
        .collect();
    let mut circles = Vec::new();
    for parent in parents {
        let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (user, used) in &edges {
            if let (Some(user), Some(used)) = (child(parent, user), child(parent, used))
                && user != used
            {
                uses.entry(user).or_default().insert(used);
            }
        }
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            uses.keys().map(|member| (*member, reachable(&uses, member))).collect();
        let is_folder = |member: &str| {
            imports
                .modules()
                .any(|module| module.len() > parent.len() + 1 && child(parent, module) == Some(member))
        };
        let mut done: BTreeSet<&str> = BTreeSet::new();
        for (member, others) in reached.iter().filter(|(member, others)| others.contains(*member)) {
            let members: BTreeSet<&str> = others
                .iter()
                .copied()
                .filter(|other| reached.get(other).is_some_and(|back| back.contains(member)))
                .collect();
            if done.insert(members.first().copied().unwrap_or_default()) {
                let has_folder = members.iter().any(|member| is_folder(member));
                circles.push(Circle { parent, members, has_folder });
            }
        }
    }
    circles
}

fn reachable<'e>(uses: &BTreeMap<&'e str, BTreeSet<&'e str>>, from: &str) -> BTreeSet<&'e str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = uses.get(from).into_iter().flatten().copied().collect();
    while let Some(next) = open.pop() {
        if found.insert(next) {
            open.extend(uses.get(next).into_iter().flatten());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)]) -> (Vec<String>, usize) {
        let mut folders = Folders::default();
        for (file, text) in files {
            folders.add(&Path::new("crates/x/src").join(file), &Source::new(text));
        }
        let (findings, within) = folders.check(&mut Budget::default());
        (findings.into_iter().map(|finding| finding.message).collect(), within)
    }

    #[test]
    fn a_circle_between_folders_is_found_with_its_ties() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\nmod c;\n"),
            ("a/mod.rs", "mod x;\n"),
            ("a/x.rs", "use crate::b::y::Y;\n"),
            ("b/mod.rs", "pub mod y;\n"),
            ("b/y.rs", "use crate::c;\n"),
            ("c.rs", "use crate::a::x;\n"),
        ];
        let (findings, within) = check(&files);
        assert_eq!((findings.len(), within), (1, 0));
        assert!(findings[0].contains("a -> b (a/x.rs uses b/y.rs)"), "{findings:?}");
        assert!(findings[0].contains("c -> a"), "{findings:?}");
        assert_eq!(check(&files[..5]).0.len(), 0);
    }

    #[test]
    fn circles_of_files_and_of_a_parent_with_its_children_are_none_of_folders() {
        let files = [
            ("lib.rs", "mod a;\npub use a::x::X;\n"),
            ("a/mod.rs", "mod x;\nmod y;\nuse x::X;\n"),
            ("a/x.rs", "use super::y::Y;\nuse super::Z;\n"),
            ("a/y.rs", "use super::x::X;\n"),
        ];
        assert_eq!(check(&files), (Vec::new(), 1));
    }
}
